"""`factorgrid plan`: what a study will do, without doing it."""

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from support.small_study import STUDY, Done, write_study

from analysis.factors import Factor
from flows.cli import main
from tasks.planning.past_runs import PastRuns, _of_table
from tasks.planning.plan_study import StudyPlan
from tasks.planning.show_plan import plan_as_json, plan_as_text
from tasks.study.study_file import load_study


def _run(home: Path, monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> Result:
    monkeypatch.setenv("FACTORGRID_HOME", str(home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return CliRunner().invoke(main, ["plan", *map(str, words)])


def test_the_plan_of_a_study_that_ran_is_what_it_did(
    done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = _run(done.home, monkeypatch, done.path, "--json")
    assert result.exit_code == 0, result.output
    plan = json.loads(result.stdout)
    runs = done.execution.runs()
    screen = runs[runs["stage"] == "screen"]
    asked = [
        (run["levels"]["conv_layers"], run["levels"]["learning_rate"]) for run in plan["order"]
    ]
    assert sorted(asked) == sorted(zip(screen["conv_layers"], screen["learning_rate"], strict=True))
    assert plan["trainings"]["screen"] == len(screen)
    assert plan["trainings"]["at_least"] <= len(runs) <= plan["trainings"]["at_most"]
    seconds = runs["train_seconds"].median()
    assert plan["seconds_per_training"] == pytest.approx(seconds)
    expected = plan["trainings"]["at_most"] * seconds / 60
    assert plan["minutes"]["at_most"] == pytest.approx(expected)
    assert 0 < plan["seed_spread"] < 0.1


def test_a_plan_without_earlier_runs_creates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = _run(tmp_path / "home", monkeypatch, write_study(tmp_path))
    assert result.exit_code == 0, result.output
    assert "Minutes: unknown" in result.stdout
    assert "standard deviations" in result.stdout
    assert not (tmp_path / "home").exists()


def test_an_unknown_study_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = _run(tmp_path, monkeypatch, "nowhere.toml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1


@pytest.fixture
def plan(tmp_path: Path) -> StudyPlan:
    text = STUDY.replace("[refine]", "[pilot]\nenabled = true\n[refine]").replace(
        'name = "tiny"', 'name = "tiny"\nreplicates = 2'
    )
    study = load_study(str(write_study(tmp_path, text)))
    return StudyPlan(study, PastRuns(seconds=30, trained=5, spread=0.01, spread_df=4), devices=2)


def test_the_trainings_of_all_stages_are_counted(plan: StudyPlan) -> None:
    counted = plan_as_json(plan)["trainings"]
    assert (counted["pilot"], counted["screen"]) == (3, 8)
    assert counted["at_least"] == 11
    # Six cells in two seeds, then two cells in one fresh seed.
    assert counted["at_most"] == 11 + 12 + 2
    # Two devices, half a minute each.
    assert plan.minutes == (11 / 4, 25 / 4)


def test_the_smallest_effect_is_in_units_of_the_response_if_the_spread_is_known(
    plan: StudyPlan,
) -> None:
    content = plan_as_json(plan)["smallest_effect"]
    ratio = content["in_units_of_the_response"] / content["in_standard_deviations"]
    assert ratio == pytest.approx(0.01)
    text = plan_as_text(plan)
    assert f"An effect of {content['in_units_of_the_response']:.4f} of val_accuracy" in text
    assert "With replicates = 4, twice as many" in text
    assert "the median of 5 runs" in text
    assert "the ends of the ranges" in text


def test_the_spread_is_pooled_over_cells_that_learnt() -> None:
    runs = pd.DataFrame(
        {
            "rate": [1, 1, 2, 2, 3, 3],
            "y": [0.7, 0.8, 0.5, 0.7, 0.1, 0.9],
            "collapsed": [False, False, False, False, True, False],
            "reused_from": ["", "", "", "a", "", ""],
            "train_seconds": [1.0, 2.0, 3.0, 99.0, 4.0, 5.0],
        }
    )
    found = _of_table(runs, [Factor("rate", 1, 3)], "y")
    assert (found.seconds, found.trained, found.spread_df) == (3.0, 5, 2)
    # Sums of squares 0.005 and 0.02 on one degree of freedom each.
    assert found.spread == pytest.approx((0.025 / 2) ** 0.5)


MANY = """
[factors.batch_size]
values = [16, 32, 64]
[factors.optimizer]
values = ["adam", "sgd", "rmsprop"]
[factors.activation]
values = ["relu", "gelu", "tanh"]
[factors.dropout]
low = 0.1
high = 0.3
"""


def test_the_plan_says_why_many_factors_have_a_fraction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_study(tmp_path, STUDY.replace("[factors.learning", f"{MANY}[factors.learning"))
    text = " ".join(_run(tmp_path / "home", monkeypatch, path).stdout.split())
    assert "fraction of a mixed-level design of resolution" in text
    assert "optimizer (adam, sgd, rmsprop) is held by the columns optimizer.1, optimizer.2." in text
    assert "the full design has 144 cells, so the screen is the smallest suitable fraction" in text
    assert "Aliases, up to two-way interactions" in text
    plan = json.loads(_run(tmp_path / "home", monkeypatch, path, "--json").stdout)
    assert plan["trainings"]["screen"] <= 32
    assert {run["levels"]["batch_size"] for run in plan["order"]} == {16, 64}
    assert {run["levels"]["optimizer"] for run in plan["order"]} == {"adam", "sgd", "rmsprop"}


def test_whole_numbers_on_a_log_scale_are_planned_as_whole_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filters = '[factors.filters]\nlow = 4\nhigh = 16\nscale = "log"\n[factors.learning'
    text = STUDY.replace("[factors.learning", filters).replace("filters = 4\n", "")
    path = write_study(tmp_path, text.replace('"tiny"', '"tiny"\ncentre_points = 2'))
    plan = json.loads(_run(tmp_path / "home", monkeypatch, path, "--json").stdout)
    assert {run["levels"]["filters"] for run in plan["order"]} == {4, 8, 16}


def test_the_plan_says_when_a_factor_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factors = """
[factors.optimizer]
values = ["adam", "sgd", "rmsprop"]
[factors.batch_size]
low = 16
high = 64
when = { optimizer = ["sgd", "rmsprop"] }
[factors.learning"""
    path = write_study(tmp_path, STUDY.replace("[factors.learning", factors))
    text = " ".join(_run(tmp_path / "home", monkeypatch, path).stdout.split())
    assert "batch_size counts only with optimizer = sgd or rmsprop; cells that differ" in text
    plan = json.loads(_run(tmp_path / "home", monkeypatch, path, "--json").stdout)
    # Four cells of the other two factors: adam once, the others with two batch sizes.
    assert plan["trainings"]["screen"] == 4 * (1 + 2 + 2)


@pytest.mark.parametrize(
    ("when", "message"),
    [("optimiser = 'sgd'", "optimiser is not another factor"), ("optimizer = 'x'", "'x' is not a")],
)
def test_an_unknown_condition_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, message: str
) -> None:
    factors = (
        '[factors.optimizer]\nvalues = ["adam", "sgd"]\n[factors.batch_size]\n'
        f"values = [16, 32]\nwhen = {{ {when} }}\n[factors.learning"
    )
    path = write_study(tmp_path, STUDY.replace("[factors.learning", factors))
    result = _run(tmp_path / "home", monkeypatch, path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
