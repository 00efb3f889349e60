"""The scripts behind the figures of `infra/docs/statistics.md` run, on few experiments."""

import subprocess
import sys
from pathlib import Path

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
        ("decisions", ["--n", "2"], ("corner", "Corner right")),
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
