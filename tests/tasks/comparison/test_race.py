"""Comparisons with real training: which runs are trained, which are reused, and the result."""

import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from support.small_study import STUDY, factorgrid, open_tracker, write_study

from analysis.comparison.replay import CellOfLength, Run, Search, run_search
from analysis.comparison.summary import (
    best_after_seconds,
    curves,
    default_target,
    effect_estimates,
    summarize_tuners,
)
from analysis.comparison.tuners import (
    DEFAULT_TUNER,
    TUNERS,
    Tuner,
    confirmation_runs,
    full_grid,
    random_search,
    with_confirmation,
)
from analysis.factors import Factor
from analysis.plots.comparison import best_so_far
from analysis.search.space import Cell, Space
from tasks.comparison.entrants import study_space, study_tuners
from tasks.comparison.optuna_tuners import HYPERBAND, HyperbandTuner, OptunaTuner
from tasks.comparison.race import RunningSearch, TrainedRun, _table_of_runs, race
from tasks.comparison.request import (
    REPLICATES_PER_REPETITION,
    ComparisonOptions,
    StudyRequest,
    check_options,
    check_request,
    read_study,
)
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


def test_the_default_tuner_of_a_study_trains_a_quarter_of_the_epochs_first(tmp_path: Path) -> None:
    study = load_study(str(write_study(tmp_path, STUDY.replace("epochs = 4", "epochs = 8"))))
    tuners, _ = study_tuners(study, study_space(study), [DEFAULT_TUNER])
    search = tuners[DEFAULT_TUNER](SPACE, 8, np.random.default_rng(1))
    running = RunningSearch(DEFAULT_TUNER, 3, search, requested=next(search))
    epochs = []
    while replicates := running.requested_replicates():
        epochs += [length for _, _, length in replicates]
        runs = [TrainedRun(*one, f"run{n}", _hill(one[0]), 1.0) for n, one in enumerate(replicates)]
        running.advance(runs)
    assert set(epochs) == {2, 8}
    assert epochs.count(2) == 16
    first = REPLICATES_PER_REPETITION * 2
    assert all(first < run.number < first + 10 for run in running.runs)
    # A training of full length continues the short one of its cell and seed.
    costs = [run["cost"] for run in _table_of_runs([running], study, SPACE).to_dict("records")]
    assert 7 < sum(costs) <= 8
    assert set(costs) <= {0.25, 0.75, 1}
    whole = {run.cell for run in running.runs if run.epochs == 8}
    assert running.delivered in whole


def _run(tuner: Tuner, budget: int) -> tuple[list[Run], Cell]:
    return run_search(tuner(SPACE, budget, np.random.default_rng(4)), _hill)


@pytest.mark.parametrize("tuner", [random_search, full_grid, OptunaTuner("TPESampler")])
@pytest.mark.parametrize("budget", [5, 12, 20])
def test_confirmation_uses_the_end_of_the_budget_and_changes_no_run_before_it(
    tuner: Tuner, budget: int
) -> None:
    plain, _ = _run(tuner, budget)
    whole, delivered = _run(with_confirmation(tuner), budget)
    again = confirmation_runs(budget)
    assert len(whole) == budget
    assert whole[:-again] == plain[:-again]
    best = sorted({_hill(cell) for cell, _ in whole[:-again]}, reverse=True)
    assert {_hill(cell) for cell, _ in whole[-again:]} <= set(best[:3])
    assert _hill(delivered) == best[0]


def test_a_search_that_ends_before_its_budget_is_used_is_confirmed() -> None:
    def two_cells(space: Space, budget: int, rng: np.random.Generator) -> Search:
        yield [(0, 0)]
        yield [(3, 1)]
        return (3, 1)

    whole, delivered = _run(with_confirmation(two_cells), 10)
    assert [cell for cell, _ in whole] == [(0, 0), (3, 1), (3, 1), (0, 0)]
    assert delivered == (3, 1)


def _learning(cell: Cell, number: int, epochs: int) -> float:
    """Return the response of a training after some epochs; cells learn at different rates."""
    noise = np.random.default_rng([*cell, number, epochs]).normal(0, 0.03)
    return float(_hill(cell) * (1 - np.exp(-epochs * (1 + cell[1]) / 8)) + noise)


def _stopped_by_optuna(
    seed: int, budget: int, epochs: int, reduction: int
) -> list[tuple[Cell, int]]:
    """Return the trials of Optuna's own loop, which reports each epoch, and their epochs."""
    name = int(np.random.default_rng(seed).integers(2**31))
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=name),
        pruner=optuna.pruners.HyperbandPruner(1, epochs, reduction),
        study_name=str(name),
    )
    left, used = budget * epochs, Counter[Cell]()
    trials: list[tuple[Cell, int]] = []
    while left > 0:
        trial = study.ask()
        cell = (trial.suggest_int("a", 0, 4), trial.suggest_int("b", 0, 4))
        used[cell] += 1
        for epoch in range(1, epochs + 1):
            left -= 1
            value = _learning(cell, used[cell], epoch)
            trial.report(value, epoch)
            if epoch < epochs and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, value)
        trials.append((cell, epoch))
    return trials


@pytest.mark.parametrize(("epochs", "reduction"), [(16, 3), (16, 4), (9, 3), (5, 2), (2, 3)])
@pytest.mark.parametrize("seed", [1, 2])
def test_hyperband_stops_the_trials_that_optuna_stops(
    seed: int, epochs: int, reduction: int
) -> None:
    """Optuna stops trials at certain epochs only, so that trainings of these lengths are enough."""
    search = HyperbandTuner(epochs, reduction=reduction)(SPACE, 12, np.random.default_rng(seed))
    trials: dict[tuple[Cell, int], list[int]] = defaultdict(list)

    def respond(cell: Cell) -> float:
        assert isinstance(cell, CellOfLength)
        trials[tuple(cell), cell.number].append(cell.epochs)
        return _learning(cell, cell.number, cell.epochs)

    _, delivered = run_search(search, respond)
    assert sum(max(lengths) for lengths in trials.values()) <= 12 * epochs
    found = [(cell, max(lengths)) for (cell, _), lengths in trials.items()]
    expected = _stopped_by_optuna(seed, 12, epochs, reduction)
    assert len(found) > 5
    # The last trial of each has what is left of the budget.
    assert found[:-1] == expected[: len(found) - 1]
    assert len({epochs for _, epochs in found}) > 1
    finished = {
        key: _learning(key[0], key[1], epochs) for key, each in trials.items() if epochs in each
    }
    assert delivered == max(finished, key=finished.__getitem__)[0]


def test_hyperband_takes_part_in_the_comparison_of_a_study_with_a_fixed_length(
    tmp_path: Path,
) -> None:
    study = load_study(str(write_study(tmp_path, STUDY.replace("epochs = 4", "epochs = 8"))))
    tuners, _ = study_tuners(study, study_space(study), [HYPERBAND])
    assert tuners[HYPERBAND] == HyperbandTuner(8, continues=True)
    assert HyperbandTuner(8).lengths == (1, 3, 8)
    varied = STUDY.replace("[factors.learning_rate]", "[factors.epochs]").replace(
        "low = 0.001\nhigh = 0.1", "low = 2\nhigh = 4"
    )
    study = load_study(str(write_study(tmp_path, varied)))
    with pytest.raises(UserError, match="stops trainings early, which needs a study of more"):
        study_tuners(study, study_space(study), [HYPERBAND])
    with pytest.raises(UserError, match=r"unknown tuner; did you mean 'full grid'[?] available"):
        study_tuners(study, study_space(study), ["fullgrid"])


#: Two searches of each of two tuners.
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
).assign(cost=1.0, is_full=True)
DELIVERED = pd.DataFrame(
    [("x", 1, 0.65), ("x", 2, 0.75), ("y", 1, 0.45), ("y", 2, 0.55)],
    columns=["tuner", "repetition", "fresh"],
)


def test_the_summary_agrees_with_one_by_hand() -> None:
    curve = curves(SEARCHES.sample(frac=1, random_state=3), "accuracy")
    assert curve["best"].tolist() == [0.5, 0.7, 0.7, 0.6, 0.6, 0.8, 0.4, 0.5, 0.9, 0.9]
    assert curve["seconds"].tolist() == [2, 4, 6, 3, 4, 5, 1, 2, 1, 5]
    assert default_target(curve) == 0.75  # of 0.5, 0.7, 0.8, 0.9
    x, y = summarize_tuners(curve, DELIVERED, 0.7).to_dict("records")
    assert (x["tuner"], x["n"], x["runs"], x["reached"]) == ("x", 2, 3, 2)
    assert (x["trainings_to_target"], x["seconds_to_target"]) == (2.5, 4.5)
    assert x["fresh"] == pytest.approx(0.70)
    assert (x["fresh_least"], x["fresh_most"], x["best"]) == (0.65, 0.75, 0.75)
    assert x["optimism"] == pytest.approx(0.05)
    assert x["seconds"] == 5.5
    assert (y["reached"], y["runs"]) == (1, 2)
    assert np.isnan(y["seconds_to_target"])  # half of the searches did not reach it
    assert best_after_seconds(curve, 3).to_dict() == pytest.approx({"x": 0.55, "y": 0.7})


def test_a_short_training_costs_its_part_and_is_not_the_best_so_far() -> None:
    rows = [(1, 0.9, 0.25, False), (2, 0.5, 0.75, True), (3, 0.8, 0.25, False), (4, 0.6, 1, True)]
    searches = pd.DataFrame(rows, columns=["order", "accuracy", "cost", "is_full"])
    searches = searches.assign(tuner="x", repetition=1, train_seconds=1.0)
    curve = curves(searches, "accuracy")
    np.testing.assert_equal(curve["best"].to_numpy(), [np.nan, 0.5, 0.5, 0.6])
    assert curve["trainings"].tolist() == [0.25, 1, 1.25, 2.25]
    delivered = pd.DataFrame([("x", 1, 0.6)], columns=["tuner", "repetition", "fresh"])
    (row,) = summarize_tuners(curve, delivered, 0.55).to_dict("records")
    assert (row["runs"], row["trainings"], row["trainings_to_target"]) == (4, 2.25, 2.25)
    figure = best_so_far(curve, "accuracy", ["x"], "trainings")
    line = figure.axes[0].lines[-1]
    assert np.asarray(line.get_xdata()).tolist() == [1, 1.25, 2.25]
    assert np.asarray(line.get_ydata()).tolist() == [0.5, 0.5, 0.6]


def test_the_figure_has_one_panel_per_tuner_with_the_median_of_its_searches() -> None:
    figure = best_so_far(curves(SEARCHES, "accuracy"), "accuracy", ["y", "x"], "trainings")
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in shown] == ["y", "x"]
    np.testing.assert_allclose(np.asarray(shown[1].lines[-1].get_ydata()), [0.55, 0.65, 0.75])
    assert all(tick.is_integer() for tick in shown[0].get_xticks())


def test_effects_are_estimated_if_the_runs_allow_it_and_nan_otherwise() -> None:
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


def test_a_study_defines_the_cells_and_the_manual_list(tmp_path: Path) -> None:
    study = _study(tmp_path)
    space = study_space(study)
    assert space.levels == ((1, 2), (0.001, 0.01))
    tuners, _ = study_tuners(study, space, ())
    assert {"manual", "manual + confirm", "random + confirm", *TUNERS} <= set(tuners)
    assert study_space(_study(tmp_path, STUDY)).levels[1] == (0.001, 0.00316, 0.01, 0.0316, 0.1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("manual = [{conv_layers = 1}]", "compare.manual: cell 1 has conv_layers; it must"),
        ("levels = {dropout = [0.1, 0.2]}", "compare.levels.dropout: not a factor of this study"),
        ("levels = {conv_layers = [1]}", "compare.levels.conv_layers"),
        ("budget = 8", "compare.budget: unknown key"),
    ],
)
def test_an_invalid_comparison_in_a_study_is_refused(
    tmp_path: Path, line: str, message: str
) -> None:
    with pytest.raises(StudyError, match=message.replace(".", r"\.")):
        _study(tmp_path, f"{STUDY}\n[compare]\n{line}\n")


@pytest.mark.parametrize(
    "options",
    [
        ComparisonOptions(3),
        ComparisonOptions(8, 0),
        ComparisonOptions(8, 1, 0),
        ComparisonOptions(901),
    ],
)
def test_a_comparison_that_is_too_small_or_too_large_is_refused(
    options: ComparisonOptions,
) -> None:
    with pytest.raises(UserError, match=rf"--budget {options.budget}"):
        check_options(options)


def test_a_factor_with_the_name_of_another_column_is_refused() -> None:
    # A network builder of the user may have any hyperparameter.
    context: Any = SimpleNamespace(study=SimpleNamespace(name="own", factors={"a": 1, "cost": 2}))
    with pytest.raises(UserError, match=r"study own: factors\.cost: .*rename the factor"):
        race(context, ComparisonOptions(8), lambda *_: [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "name a study"),
        (("quick", "--table", "x.csv"), "not both"),
        (("quick",), "--budget: give exactly one"),
        (("quick", "--budget", "8", "--tuner", "luck"), "--tuner 'luck': unknown tuner"),
        (("quick", "--budget", "8", "--response", "x"), "--response: only possible with a table"),
        (("--table", "x.csv", "--fresh", "3"), "--fresh: only possible with a study"),
        (("quick", "--export", "out.csv"), "no such database"),
        (("quick", "--export", "out.csv", "--budget", "8"), "trains nothing; leave --budget out"),
    ],
)
def test_invalid_options_end_with_a_message_of_one_line(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    ended = factorgrid("compare", *options, home=tmp_path / "home")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_second_comparison_with_one_more_tuner_trains_only_new_replicates(tmp_path: Path) -> None:
    path, home = write_study(tmp_path, COMPARED), tmp_path / "home"
    words: list[str | Path] = ["compare", path, "--budget", "4"]
    words += ["--repetitions", "1", "--fresh", "1"]
    first = factorgrid(*words, "--tuner", "full grid", "--json", home=home)
    assert first.returncode == 0, first.stderr
    answer = json.loads(first.stdout)
    assert answer["cells"] == 4
    assert [row["tuner"] for row in answer["tuners"]] == ["full grid"]

    more: list[str | Path] = ["--tuner", "full grid", "--tuner", "manual", "--json"]
    more += ["--plots", tmp_path / "plots"]
    second = factorgrid(*words, *more, home=home)
    assert second.returncode == 0, second.stderr
    answer = json.loads(second.stdout)
    rows = {row["tuner"]: row for row in answer["tuners"]}
    assert (rows["full grid"]["runs"], rows["manual"]["runs"]) == (4, 2)
    page = (tmp_path / "plots" / "comparison.html").read_text(encoding="utf-8")
    assert "What each tuner delivers" in page
    assert "://" not in page.replace("http://www.w3.org", "")
    # Two figures, for broad and for slim windows, and a table of contents.
    assert page.count("<svg") == 4
    contents = page.partition("<nav")[2].partition("</nav>")[0]
    assert re.findall(r'href="#(\w+)"', contents) == re.findall(r'<section id="(\w+)"', page)

    tracker = open_tracker(home)
    experiment = tracker.existing_experiment("tiny")
    replicates = tracker.search([experiment], f"tags.`{KEY}` != ''")
    trained = [run for run in replicates if REUSED_FROM not in run.data.tags]
    # Every cell once, and the delivered ones with a fresh seed. The two cells of the manual list
    # are in the grid.
    fresh = {run.data.tags[KEY] for run in trained if run.data.params["replicate"] == "901"}
    assert len(trained) == 4 + len(fresh)
    assert len(fresh) == 2
    searches = tracker.search([experiment], f"tags.`{KIND}` = 'search'")
    own = [run for run in searches if run.data.tags[PARENT] == answer["run_id"]]
    assert {run.data.params["tuner"] for run in own} == {"full grid", "manual"}
    grid = next(run for run in own if run.data.params["tuner"] == "full grid")
    curve = tracker.client.get_metric_history(grid.info.run_id, "best_so_far")
    assert [point.step for point in curve] == [1, 2, 3, 4]
    assert curve[-1].value == pytest.approx(rows["full grid"]["best"])

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


#: Options of the command line that are None if they are not given.
OPTIONS = (
    *("study", "table", "response", "repetitions", "fresh", "target", "data"),
    *("per_class", "image_size", "manual", "plots", "export", "lang"),
)


def _study_with_options(**given: object) -> Study:
    options = {**dict.fromkeys(OPTIONS), "budgets": (8,), "tuners": (), **given}
    request = check_request(options)
    assert isinstance(request, StudyRequest)
    return read_study(request.source)


@pytest.mark.parametrize(
    ("name", "value", "option"),
    [
        ("fresh", 3, "--fresh"),
        ("repetitions", 3, "--repetitions"),
        ("target", 0.9, "--target"),
        ("tuners", ("random",), "--tuner"),
        ("manual", Path("x.csv"), "--manual"),
        ("plots", Path("x"), "--plots"),
        ("data", Path("x"), "--data"),
        ("per_class", 8, "--per-class"),
    ],
)
def test_an_option_without_effect_on_an_export_is_refused(
    name: str, value: object, option: str
) -> None:
    options = {**dict.fromkeys(OPTIONS), "budgets": (), "tuners": (), "study": "quick"}
    options |= {"export": Path("x.csv"), name: value}
    with pytest.raises(UserError, match=f"{option}.*(no effect with --export|only used by)"):
        check_request(options)


def test_a_manual_list_beside_other_tuners_is_refused() -> None:
    options = {**dict.fromkeys(OPTIONS), "budgets": (8,), "study": "quick"}
    options |= {"manual": Path("x.csv"), "tuners": ("random",)}
    with pytest.raises(UserError, match=r"--manual x\.csv: only used by the tuner manual"):
        check_request(options)
    assert check_request({**options, "tuners": ("random", "manual + confirm")})


def test_a_manual_list_leaves_the_pictures_where_the_file_has_them(tmp_path: Path) -> None:
    text = STUDY.replace("drawn = 240", 'source = "pets"')
    path, listed = write_study(tmp_path, text), tmp_path / "mine.csv"
    listed.write_text("learning_rate,conv_layers\n1e-2,2\n", "utf-8")
    study = _study_with_options(study=str(path), manual=listed)
    assert study.data.source_place == tmp_path / "pets"


def test_a_manual_list_can_be_read_from_a_file(tmp_path: Path) -> None:
    path, listed = write_study(tmp_path, STUDY), tmp_path / "mine.csv"
    listed.write_text("learning_rate,conv_layers,note\n1e-2,2,first\n0.1,1,then\n", "utf-8")
    study = _study_with_options(study=str(path), manual=listed)
    assert study.compare.manual == (
        {"conv_layers": 2, "learning_rate": 0.01},
        {"conv_layers": 1, "learning_rate": 0.1},
    )
    listed.write_text("learning_rate\n0.1\n", "utf-8")
    with pytest.raises(StudyError, match=r"with --manual .*cell 1 has learning_rate; it must"):
        _study_with_options(study=str(path), manual=listed)
    with pytest.raises(UserError, match=r"nowhere\.csv: no such file"):
        _study_with_options(study=str(path), manual=tmp_path / "nowhere.csv")
