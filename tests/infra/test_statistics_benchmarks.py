"""The scripts behind the figures of `infra/docs/statistics.md` run, on few experiments."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "options", "words"),
    [
        (
            "verdicts",
            ["--n", "5"],
            ("False alarms", "Power", "Half the screen", "Partial collapse"),
        ),
        ("decisions", ["--n", "2"], ("sharp cliff", "soft cliff", "Corner right")),
        ("promotion", ["--n", "2"], ("52 challengers", "the product")),
        ("winner", ["--n", "2"], ("27 scattered", "recipe")),
        ("analysis_speed", [], ("384 runs, 128 terms",)),
    ],
)
def test_a_benchmark_runs_and_prints_its_figures(
    script: str, options: list[str], words: tuple[str, ...]
) -> None:
    path = ROOT / "infra/benchmarks" / f"{script}.py"
    ended = subprocess.run(
        [sys.executable, path, *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    for word in words:
        assert word in ended.stdout


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"infra/benchmarks/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_weekly_promotion_of_equal_networks_is_rarely_wrong() -> None:
    script = _script("promotion")
    years = {
        rule: [script.year(seed, 0.0, level)[0] for seed in range(40)]
        for rule, level in script.LEVELS.items()
    }
    # Without shares of alpha about a third of the years are wrong; with them at most 5 %.
    assert sum(years["alpha each time"]) >= 6
    assert sum(years["the product"]) <= 4
