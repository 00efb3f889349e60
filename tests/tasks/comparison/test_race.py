"""Tuners against each other with real trainings: what is run, what is reused, what it comes to."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.small_study import STUDY, factorgrid, open_tracker, write_study

from analysis.comparison.replay import Run, Tuner, play
from analysis.comparison.summary import (
    at_seconds,
    curves,
    default_target,
    effect_estimates,
    summary,
)
from analysis.comparison.tuners import (
    TUNERS,
    Start,
    confirm_runs,
    full_grid,
    random_search,
    with_confirm,
)
from analysis.factors import Factor
from analysis.plots.comparison import best_so_far
from analysis.search.space import Cell, Space
from tasks.comparison.entrants import entrants, space_of
from tasks.comparison.optuna_tuners import sampler
from tasks.comparison.request import ComparisonOptions, check_options, check_request, study_of
from tasks.errors import StudyError, UserError
from tasks.study.study_file import Study, load_study
from tasks.tracking.tags import KEY, KIND, PARENT, REUSED_FROM

COMPARED = (
    STUDY
    + """
[compare]
manual = [{conv_layers = 1, learning_rate = 0.001}, {conv_layers = 2, learning_rate = 0.1}]
levels = {learning_rate = [0.001, 0.01]}
"""
)
FACTORS = (Factor("a", 0.0, 4.0, "linear"), Factor("b", 0.0, 4.0, "linear"))
SPACE = Space(FACTORS, ((0.0, 1.0, 2.0, 3.0, 4.0),) * 2)


def _hill(cell: Cell) -> float:
    return 1.0 - 0.1 * (cell[0] - 3) ** 2 - 0.05 * (cell[1] - 1) ** 2


def _played(start: Start, budget: int) -> tuple[list[Run], Cell]:
    return play(start(SPACE, budget, np.random.default_rng(4)), _hill)


@pytest.mark.parametrize("start", [random_search, full_grid, sampler("tpe")])
@pytest.mark.parametrize("budget", [5, 12, 20])
def test_confirmation_takes_the_end_of_the_budget_and_changes_nothing_before(
    start: Start, budget: int
) -> None:
    plain, _ = _played(start, budget)
    whole, delivered = _played(with_confirm(start), budget)
    again = confirm_runs(budget)
    assert len(whole) == budget
    assert whole[:-again] == plain[:-again]
    best = sorted({_hill(cell) for cell, _ in whole[:-again]}, reverse=True)
    assert {_hill(cell) for cell, _ in whole[-again:]} <= set(best[:3])
    assert _hill(delivered) == best[0]


def test_a_list_that_ends_before_its_budget_is_confirmed() -> None:
    def short(space: Space, budget: int, rng: np.random.Generator) -> Tuner:
        return _two()

    def _two() -> Tuner:
        yield [(0, 0)]
        yield [(3, 1)]
        return (3, 1)  # a tuner delivers so

    whole, delivered = _played(with_confirm(short), 10)
    assert [cell for cell, _ in whole] == [(0, 0), (3, 1), (3, 1), (0, 0)]
    assert delivered == (3, 1)


#: Two searches of each tuner, by hand.
SEARCHES = pd.DataFrame(
    [
        ("x", 1, 1, 0.5, 2.0),
        ("x", 1, 2, 0.7, 2.0),
        ("x", 1, 3, 0.6, 2.0),
        ("x", 2, 1, 0.6, 3.0),
        ("x", 2, 2, 0.5, 1.0),
        ("x", 2, 3, 0.8, 1.0),
        ("y", 1, 1, 0.4, 1.0),
        ("y", 1, 2, 0.5, 1.0),
        ("y", 2, 1, 0.9, 1.0),
        ("y", 2, 2, 0.2, 4.0),
    ],
    columns=["tuner", "repetition", "order", "accuracy", "train_seconds"],
)
DELIVERED = pd.DataFrame(
    [("x", 1, 0.65), ("x", 2, 0.75), ("y", 1, 0.45), ("y", 2, 0.55)],
    columns=["tuner", "repetition", "fresh"],
)


def test_the_summary_is_that_by_hand() -> None:
    curve = curves(SEARCHES.sample(frac=1, random_state=3), "accuracy")
    assert curve["best"].tolist() == [0.5, 0.7, 0.7, 0.6, 0.6, 0.8, 0.4, 0.5, 0.9, 0.9]
    assert curve["seconds"].tolist() == [2, 4, 6, 3, 4, 5, 1, 2, 1, 5]
    assert default_target(curve) == 0.75  # of 0.5, 0.7, 0.8, 0.9
    x, y = summary(curve, DELIVERED, 0.7).to_dict("records")
    assert (x["tuner"], x["n"], x["runs"], x["reached"]) == ("x", 2, 3, 2)
    assert (x["runs_to_target"], x["seconds_to_target"]) == (2.5, 4.5)
    assert x["fresh"] == pytest.approx(0.70)
    assert (x["fresh_least"], x["fresh_most"], x["best"]) == (0.65, 0.75, 0.75)
    assert x["optimism"] == pytest.approx(0.05)
    assert x["seconds"] == 5.5
    assert (y["reached"], y["runs"]) == (1, 2)
    assert np.isnan(y["seconds_to_target"])  # half of the searches never got there
    assert at_seconds(curve, 3).to_dict() == pytest.approx({"x": 0.55, "y": 0.7})


def test_a_figure_has_a_panel_a_tuner_and_its_median() -> None:
    figure = best_so_far(curves(SEARCHES, "accuracy"), "accuracy", ["y", "x"], "runs")
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in shown] == ["y", "x"]
    np.testing.assert_allclose(np.asarray(shown[1].lines[-1].get_ydata()), [0.55, 0.65, 0.75])
    assert all(tick.is_integer() for tick in shown[0].get_xticks())


def test_effects_are_told_where_the_runs_can_tell_them() -> None:
    factors = (Factor("a", 1, 3, "integer"), Factor("b", 0.01, 1.0, "log"))
    corners = pd.DataFrame([(a, b) for a in (1, 3) for b in (0.01, 1.0)], columns=["a", "b"])
    runs = pd.concat([corners, corners], ignore_index=True)
    runs["y"] = 0.5 + 0.1 * (runs["a"] - 2) + [0.01, -0.01, -0.01, 0.01] * 2
    found = effect_estimates(runs, factors, "y")
    assert found["effect"].tolist() == pytest.approx([0.2, 0.0])
    # By hand: residual variance 8 x 1e-4 / 5, an effect's standard error sqrt(4 / 8) of its root.
    assert found["half"].tolist() == pytest.approx([2.5706 * np.sqrt(1.6e-4 / 2)] * 2, rel=1e-4)
    assert effect_estimates(runs.iloc[[0, 1, 0, 1]], factors, "y").isna().all(axis=None)


def _study(tmp_path: Path, text: str = COMPARED) -> Study:
    return load_study(str(write_study(tmp_path, text)))


def test_a_study_says_its_cells_and_its_list(tmp_path: Path) -> None:
    study = _study(tmp_path)
    space = space_of(study)
    assert space.levels == ((1, 2), (0.001, 0.01))
    starts, _ = entrants(study, space, ())
    assert {"manual", "manual + confirm", "random + confirm", *TUNERS} <= set(starts)
    assert space_of(_study(tmp_path, STUDY)).levels[1] == (0.001, 0.00316, 0.01, 0.0316, 0.1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("manual = [{conv_layers = 1}]", "compare.manual: cell 1 names conv_layers; it must"),
        ("levels = {dropout = [0.1, 0.2]}", "compare.levels.dropout: no factor of this study"),
        ("levels = {conv_layers = [1]}", "compare.levels.conv_layers"),
        ("budget = 8", "compare.budget: unknown key"),
    ],
)
def test_what_cannot_be_compared_is_said(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(StudyError, match=words.replace(".", r"\.")):
        _study(tmp_path, f"{STUDY}\n[compare]\n{line}\n")


@pytest.mark.parametrize(
    "asked",
    [
        ComparisonOptions(3),
        ComparisonOptions(8, 0),
        ComparisonOptions(8, 1, 0),
        ComparisonOptions(901),
    ],
)
def test_a_comparison_of_nothing_is_refused(asked: ComparisonOptions) -> None:
    with pytest.raises(UserError, match=rf"--budget {asked.budget}"):
        check_options(asked)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name a study"),
        (("quick", "--table", "x.csv"), "not both"),
        (("quick",), "--budget: name one"),
        (("quick", "--budget", "8", "--tuner", "luck"), "--tuner 'luck': none of that name"),
        (("quick", "--budget", "8", "--response", "x"), "--response: only of a table"),
        (("--table", "x.csv", "--fresh", "3"), "--fresh: only of a study"),
        (("quick", "--export", "out.csv"), "no such database"),
        (("quick", "--export", "out.csv", "--budget", "8"), "trains nothing; leave --budget out"),
    ],
)
def test_a_wrong_question_gets_a_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    ended = factorgrid("compare", *words, home=tmp_path / "home")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_study_is_compared_and_one_tuner_more_trains_only_what_is_new(tmp_path: Path) -> None:
    path, home = write_study(tmp_path, COMPARED), tmp_path / "home"
    words: list[str | Path] = [
        "compare",
        path,
        "--budget",
        "4",
        "--repetitions",
        "1",
        "--fresh",
        "1",
    ]
    first = factorgrid(*words, "--tuner", "full grid", "--json", home=home)
    assert first.returncode == 0, first.stderr
    answer = json.loads(first.stdout)
    assert answer["cells"] == 4
    assert [row["tuner"] for row in answer["tuners"]] == ["full grid"]

    more: list[str | Path] = [
        "--tuner",
        "full grid",
        "--tuner",
        "manual",
        "--plots",
        tmp_path / "plots",
        "--json",
    ]
    second = factorgrid(*words, *more, home=home)
    assert second.returncode == 0, second.stderr
    answer = json.loads(second.stdout)
    rows = {row["tuner"]: row for row in answer["tuners"]}
    assert (rows["full grid"]["runs"], rows["manual"]["runs"]) == (4, 2)
    page = (tmp_path / "plots" / "comparison.html").read_text(encoding="utf-8")
    assert "What each delivers" in page
    assert "http" not in page.replace("http://www.w3.org", "")

    tracker = open_tracker(home)
    experiment = tracker.existing_experiment("tiny")
    replicates = tracker.search([experiment], f"tags.`{KEY}` != ''")
    trained = [run for run in replicates if REUSED_FROM not in run.data.tags]
    # Every cell once, and the delivered ones with a fresh seed: the list's two were in the grid.
    fresh = {run.data.tags[KEY] for run in trained if run.data.params["replicate"] == "901"}
    assert len(trained) == 4 + len(fresh)
    assert len(fresh) == 2
    searches = tracker.search([experiment], f"tags.`{KIND}` = 'search'")
    own = [run for run in searches if run.data.tags[PARENT] == answer["run_id"]]
    assert {run.data.params["tuner"] for run in own} == {"full grid", "manual"}
    grid = next(run for run in own if run.data.params["tuner"] == "full grid")
    told = tracker.client.get_metric_history(grid.info.run_id, "best_so_far")
    assert [point.step for point in told] == [1, 2, 3, 4]
    assert told[-1].value == pytest.approx(rows["full grid"]["best"])

    table = tmp_path / "cells.csv"
    exported = factorgrid("compare", path, "--export", table, "--json", home=home)
    assert json.loads(exported.stdout) == {"rows": len(trained)}
    replayed = factorgrid(
        *("compare", "--table", table, "--budget", "4", "--repetitions", "2"),
        *("--tuner", "random", "--json"),
        home=home,
    )
    assert replayed.returncode == 0, replayed.stderr
    assert json.loads(replayed.stdout)["cells"] == 4


#: What the command line has where nothing is asked for.
NOTHING = (
    *("study", "table", "response", "repetitions", "fresh", "target", "data"),
    *("per_class", "image_size", "manual", "plots", "export"),
)


def _asked(**given: object) -> dict[str, object]:
    return {**dict.fromkeys(NOTHING), "budgets": (8,), "tuners": (), **given}


def test_a_list_of_cells_comes_from_a_file_as_well(tmp_path: Path) -> None:
    path, listed = write_study(tmp_path, STUDY), tmp_path / "mine.csv"
    listed.write_text("learning_rate,conv_layers,note\n1e-2,2,first\n0.1,1,then\n", "utf-8")
    study = study_of(check_request(_asked(study=str(path), manual=listed)))
    assert study.compare.manual == (
        {"conv_layers": 2, "learning_rate": 0.01},
        {"conv_layers": 1, "learning_rate": 0.1},
    )
    listed.write_text("learning_rate\n0.1\n", "utf-8")
    with pytest.raises(StudyError, match=r"with --manual .*cell 1 names learning_rate; it must"):
        study_of(check_request(_asked(study=str(path), manual=listed)))
    with pytest.raises(UserError, match=r"--manual .*nowhere\.csv: no list of cells"):
        study_of(check_request(_asked(study=str(path), manual=tmp_path / "nowhere.csv")))
