"""`factorgrid plan`: what a study will do, without doing it."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from support.small_study import REAL_TRAINING, STUDY, Done, factorgrid, write_study

from analysis.comparison.replay import run_search
from analysis.comparison.tuners import RESPONSE, carry_out
from analysis.factors import Factor
from analysis.search.budget import least_budget, space_of
from analysis.search.procedure import CellRun
from flows.cli import main
from tasks.planning.past_runs import PastRuns, _of_table
from tasks.planning.plan_study import StudyPlan
from tasks.planning.probe import (
    CellTiming,
    Probe,
    _extrapolated,
    best_timings,
    cells_to_time,
    probe_study,
    training_pictures,
)
from tasks.planning.show_plan import plan_as_json, plan_as_text
from tasks.search.stages import epochs_of
from tasks.settings import Settings
from tasks.study.study_file import DataPart, built_in_studies, load_study


def _run(
    home: Path, monkeypatch: pytest.MonkeyPatch, *words: str | Path, probe: bool = False
) -> Result:
    monkeypatch.setenv("FACTORGRID_HOME", str(home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    options = [] if probe else ["--no-probe"]
    return CliRunner().invoke(main, ["plan", *map(str, words), *options])


def _next(responses: Iterator[float], _: object) -> float:
    return next(responses)


@pytest.mark.parametrize("name", built_in_studies())
def test_every_built_in_study_can_be_planned_and_searched(name: str) -> None:
    study = load_study(name)
    assert plan_as_text(StudyPlan(study, PastRuns()))
    if study.method != "budget":
        return
    # Enough for pilot and screen, three cells more, and their confirmation.
    fewest = max(8, least_budget(study.ranges, study.full_epochs, screen=study.screen) + 5)
    for budget in (fewest, fewest + 4):
        sized = study.model_copy(update={"minutes": None, "budget": budget, "parallel": 3})
        plan = StudyPlan(sized, PastRuns())
        assert plan_as_json(plan)["smallest_effect"]
        assert "3 cells at a time" in plan_as_text(plan)
        space = space_of(study.ranges)
        responses = iter(np.random.default_rng(1).normal(0.7, 0.05, 500).tolist())
        rules = replace(sized.rules, space=space, response=RESPONSE)
        search = carry_out(rules, space, 8 * budget)
        history, best = run_search(search, partial(_next, responses))
        assert best in [tuple(cell) for cell, _ in history]


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
    # Its own runs are on this machine: nothing is timed.
    assert (plan["seconds_from"], plan["probe"]) == ("past runs", None)
    assert 0 < plan["seed_spread"] < 0.1


def test_a_plan_without_earlier_runs_creates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = _run(tmp_path / "home", monkeypatch, write_study(tmp_path))
    assert result.exit_code == 0, result.output
    assert "Minutes: unknown" in result.stdout
    assert "No run is started, and nothing is stored." in result.stdout
    assert "standard deviations" in result.stdout
    assert not (tmp_path / "home").exists()


def test_without_earlier_runs_a_few_epochs_are_timed_and_nothing_is_stored(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    before = set(_temporary_files(tmp_path))
    ended = factorgrid("plan", write_study(tmp_path), "--json", home=home, **REAL_TRAINING)
    assert ended.returncode == 0, ended.stderr
    plan = json.loads(ended.stdout)
    probe = plan["probe"]
    assert (plan["seconds_from"], probe["fault"]) == ("probe", "")
    # The largest cell has two layers, the smallest has one; on a busy machine fewer are timed.
    layers = [cell["levels"]["conv_layers"] for cell in probe["cells"]]
    assert layers[:2] in ([2, 1], [2], [1])
    assert all(cell["epochs"] >= 1 and cell["seconds"] > 0 for cell in probe["cells"])
    # 240 drawn pictures, of which 70 % are for training.
    assert (probe["pictures"], probe["study_pictures"]) == (168, 168)
    mean = sum(cell["seconds"] for cell in probe["cells"]) / len(layers)
    assert plan["seconds_per_training"] == pytest.approx(mean)
    rounds = math.ceil(4 / plan["devices"])
    assert plan["minutes"]["at_least"] == pytest.approx(rounds * mean / 60)
    assert not home.exists()
    assert set(_temporary_files(tmp_path)) - before == {tmp_path / "study.toml"}


def _temporary_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("pictures", ["nowhere.zip", "s3://bucket/pictures.zip"])
def test_a_plan_for_pictures_that_are_not_here_says_why_the_minutes_are_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: str
) -> None:
    path, home = write_study(tmp_path), tmp_path / "home"
    result = _run(home, monkeypatch, path, "--data", pictures, probe=True)
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    assert "Minutes: unknown, because no earlier run" in text
    assert ("nowhere.zip: no such file" in text) == pictures.startswith("nowhere")
    assert not (tmp_path / "home").exists()


def test_a_training_process_that_cannot_train_is_a_reason_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "network.py").write_text(
        "def build(*, image_size, classes, conv_layers):\n    raise ValueError('too small')\n"
    )
    text = STUDY.replace("filters = 4\ndense_units = 8", 'builder = "network:build"')
    result = _run(tmp_path / "home", monkeypatch, write_study(tmp_path, text), probe=True)
    assert result.exit_code == 0, result.output
    assert "too small" in result.stdout


def test_an_epoch_that_takes_longer_than_the_probe_is_cut_off(tmp_path: Path) -> None:
    study = load_study(str(write_study(tmp_path)))
    found = probe_study(study, Settings(tmp_path / "home", ""), seconds=0.0)
    assert found.seconds is None
    assert "another study may be training" in found.fault


def test_the_largest_and_the_smallest_cell_are_timed_first(tmp_path: Path) -> None:
    study = load_study(str(write_study(tmp_path)))
    cells = cells_to_time(study)
    assert [cell["conv_layers"] for cell in cells[:2]] == [2, 1]
    # Every other cell of the screen comes after them, once.
    assert len(cells) == len({tuple(sorted(cell.items())) for cell in cells}) == 4


def test_of_a_backbone_the_cells_with_the_most_and_the_fewest_trained_blocks_are_timed() -> None:
    cells = cells_to_time(load_study("transfer"))
    assert [cell["unfreeze"] for cell in cells[:2]] == [1, "none"]


def test_cells_of_one_size_are_timed_from_the_most_unlike_ones_on() -> None:
    first, second, *others = cells_to_time(load_study("dogs-vs-cats"))
    assert {name for name in first if first[name] != second[name]} == set(first)
    assert len(others) == 2


def test_a_first_epoch_counts_only_if_there_is_no_other() -> None:
    first, more = CellTiming({"a": 1}, 99.0, 1), CellTiming({"a": 2}, 5.0, 3)
    assert best_timings([first, more]) == (more,)
    assert best_timings([first]) == (first,)
    assert Probe((first,)).seconds == 99.0


def test_a_probe_s_timing_is_shown_with_what_it_was_extrapolated_from(plan: StudyPlan) -> None:
    cells = (CellTiming({"a": 2}, 30.0, 3), CellTiming({"a": 1}, 10.0, 1))
    probe = Probe(cells, 168, 3000, 7.0)
    text = " ".join(plan_as_text(replace(plan, past=PastRuns(), probe=probe)).split())
    assert "4 epochs on drawn pictures took 7 s" in text
    # 11 and 25 trainings of 20 s on two devices: 6 and 13 rounds.
    assert (
        "Minutes: 2 to 4, 2 trainings at once, from one training of 20.0 s. This is extrapolated"
        in text
    )
    assert "168 drawn training pictures to the study's about 3,000" in text
    assert "a=2 30.0 s (3 epochs timed); a=1 10.0 s (1 epoch timed, with the compilation" in text


def test_pictures_are_counted_per_class_up_to_the_limit(tmp_path: Path) -> None:
    for name, number in (("cat", 30), ("dog", 10)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for index in range(number):
            (tmp_path / "pictures" / name / f"{index}.jpg").write_bytes(b"not read")
    data = DataPart(source=tmp_path / "pictures")
    assert training_pictures(data) == 28
    assert training_pictures(data.model_copy(update={"per_class": 20})) == 21
    assert training_pictures(DataPart(drawn=1000)) == 700


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=5), st.integers(1, 50), st.floats(1, 100))
def test_more_epochs_and_more_pictures_never_take_less(
    epochs: list[float], number: int, times: float
) -> None:
    seconds = _extrapolated(epochs, number, times)
    # Rounding may change the last digit.
    assert seconds >= (1 - 1e-9) * number * times * min(epochs)
    assert _extrapolated(epochs, number + 1, times) > seconds
    assert _extrapolated(epochs, number, 2 * times) > seconds


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
    assert [stage["stage"] for stage in plan_as_json(plan)["stages"]] == [
        *("pilot", "screen", "refine", "confirm")
    ]
    # Four epochs each.
    assert plan.epochs == (4 * 11, 4 * 25)
    assert plan.full_trainings == (11.0, 25.0)
    # Half a minute each, on two devices: 2 + 4 rounds, then 6 of the grid and 1 that confirms.
    assert plan.minutes == (6 / 2, 13 / 2)


def test_the_final_training_is_counted_with_its_length(plan: StudyPlan) -> None:
    longer = replace(plan, study=plan.study.model_copy(update={"final_epochs": 12}))
    counted = plan_as_json(longer)["trainings"]
    assert counted["final"] == 1
    assert (counted["at_least"], counted["at_most"]) == (12, 26)
    assert longer.full_trainings == (11.0 + 3, 25.0 + 3)
    # It runs alone, on the whole CPU if a search divides it.
    assert longer.minutes == (6 / 2 + 3 / 2, 13 / 2 + 3 / 2)
    faster = replace(longer, final_speed=2.0)
    assert faster.minutes == (6 / 2 + 3 / 4, 13 / 2 + 3 / 4)
    text = plan_as_text(longer)
    assert "final: 1, of the chosen cell, with 12 epochs" in text
    assert "12 to 26 trainings of 4 to 12 epochs, 56 to 112 epochs together" in text
    assert plan_as_json(plan)["trainings"]["final"] == 0


def test_a_short_run_costs_as_many_epochs_as_it_trains(plan: StudyPlan) -> None:
    @dataclass(frozen=True)
    class ShortRun(CellRun):
        epochs: int | None = None

    levels = plan.screen[0].levels
    assert epochs_of(plan.study, ShortRun(levels, 1, epochs=1)) == 1
    assert epochs_of(plan.study, ShortRun(levels, 1)) == 4
    assert epochs_of(plan.study, CellRun({**levels, "epochs": 7}, 1)) == 7


def test_the_length_of_training_may_be_a_factor(tmp_path: Path) -> None:
    text = STUDY.replace("[model]", "[factors.epochs]\nlow = 2\nhigh = 6\n[model]")
    study = load_study(str(write_study(tmp_path, text)))
    varied = StudyPlan(study, PastRuns(seconds=60, trained=5))
    screen = next(stage for stage in varied.stages if stage.stage == "screen")
    assert (screen.most, screen.most_epochs) == (8, 4 * 2 + 4 * 6)
    assert varied.minutes == (8.0, 8.0 + 6 + 2)
    assert "trainings of 2 to 6 epochs" in plan_as_text(varied)


def test_the_smallest_effect_is_in_units_of_the_response_if_the_spread_is_known(
    plan: StudyPlan,
) -> None:
    content = plan_as_json(plan)["smallest_effect"]
    ratio = content["in_units_of_the_response"] / content["in_standard_deviations"]
    assert ratio == pytest.approx(0.01)
    text = plan_as_text(plan)
    assert f"An effect of {content['in_units_of_the_response']:.4f} of val_accuracy" in text
    assert "With replicates = 4, twice as many" in text
    assert "the median of 5 runs on this machine" in " ".join(text.split())
    assert "the ends of the ranges" in text


def test_a_plan_of_a_budget_names_only_keys_that_the_study_may_have() -> None:
    text = " ".join(plan_as_text(StudyPlan(load_study("quick"), PastRuns())).split())
    assert 'With method = "published" and replicates = 2, twice as many' in text


def test_the_spread_is_pooled_over_cells_that_learnt() -> None:
    runs = pd.DataFrame(
        {
            "rate": [1, 1, 2, 2, 3, 3],
            "y": [0.7, 0.8, 0.5, 0.7, 0.1, 0.9],
            "collapsed": [False, False, False, False, True, False],
            "reused_from": ["", "", "", "a", "", ""],
            "train_seconds": [1.0, 2.0, 3.0, 99.0, 4.0, 5.0],
            "run_id": list("abcdef"),
        }
    )
    found = _of_table(runs, [Factor("rate", 1, 3)], "y", set("abcdef"))
    assert (found.seconds, found.trained, found.spread_df) == (3.0, 5, 2)
    # Seconds of another machine do not count; its seeds do.
    there = _of_table(runs, [Factor("rate", 1, 3)], "y", {"a", "b"})
    assert (there.seconds, there.trained, there.spread_df) == (1.5, 2, 2)
    # A training of half the length takes twice as long at the whole length; one that continued
    # another has not trained all of its epochs.
    lengths = {"epochs": [4, 4, 4, 8, 8, 8], "epochs_trained": [4, 4, 4, 8, 4, 8]}
    scaled = _of_table(runs.assign(**lengths), [Factor("rate", 1, 3)], "y", set("abcdef"), 8)
    assert (scaled.seconds, scaled.trained) == (4.5, 4)
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


LATE = """
name = "late"
budget = 20
{more}
[model]
network = "modern"
[factors.augment]
values = ["none", "strong"]
[factors.width]
low = 8
high = 32
"""


@pytest.mark.parametrize("more", ["", "short_trainings = false"])
def test_short_trainings_with_factors_against_overfitting_are_mentioned(
    tmp_path: Path, more: str
) -> None:
    study = load_study(str(write_study(tmp_path, LATE.format(more=more))))
    text = " ".join(plan_as_text(StudyPlan(study, PastRuns())).split())
    assert ("and augment may pay only in long ones" in text) == (not more)


def test_a_cpu_that_trains_one_cell_at_a_time_could_train_several(tmp_path: Path) -> None:
    study = load_study(str(write_study(tmp_path, LATE.format(more=""))))
    hint = "parallel = 4 trains 4 cells at once"
    assert hint in plan_as_text(StudyPlan(study, PastRuns(), most_devices=4))
    # One core, or GPUs, whose number is that of the devices; or the study says it.
    assert "at once" not in plan_as_text(StudyPlan(study, PastRuns(), most_devices=1))
    assert hint not in plan_as_text(StudyPlan(study, PastRuns(), devices=4, most_devices=4))
    said = study.model_copy(update={"parallel": 2})
    assert hint not in plan_as_text(StudyPlan(said, PastRuns(), devices=2, most_devices=4))
    backbone = load_study("transfer")
    assert hint not in plan_as_text(StudyPlan(backbone, PastRuns(), most_devices=4))
