"""FactorGrid in notebooks and scripts: the names of the module `factorgrid`."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from support.small_study import BEST, ROOT, Done, environment

import factorgrid as fg
from tasks.errors import StudyError, TrackingError, UserError
from tasks.search.stages import stage_costs, study_as_line

PAPER = ROOT / "infra" / "docs" / "paper.csv"
#: Runs the examples in the docstrings, and prints how many failed and how many there are.
EXAMPLES = """
import doctest, sys, factorgrid, flows.api
found = [doctest.testmod(module) for module in (factorgrid, flows.api)]
print(sum(f.failed for f in found), sum(f.attempted for f in found))
"""


def _use_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a home until the end of the test; a session of Python has one home otherwise."""
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_HOME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("FACTORGRID_HOME", str(home))


@pytest.fixture
def result(done: Done, monkeypatch: pytest.MonkeyPatch) -> fg.Result:
    _use_home(done.home, monkeypatch)
    return fg.open("tiny")


def test_the_examples_of_the_documentation_are_true(done: Done, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(done.path.read_text(encoding="utf-8"), encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-c", EXAMPLES],
        env=environment(done.home),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    *report, last = ended.stdout.splitlines()
    failed, attempted = map(int, last.split())
    assert not failed, "\n".join(report)
    assert attempted > 15


def test_the_command_loads_nothing_for_notebooks() -> None:
    code = "import sys, factorgrid; assert not {'flows', 'pandas', 'mlflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_result_has_effects_with_intervals_cells_and_runs(result: fg.Result, done: Done) -> None:
    terms = done.outcome["screen"]["terms"]
    assert list(result.effects.index) == ["conv_layers", "learning_rate"]
    for name, row in result.effects.iterrows():
        assert row["effect"] == pytest.approx(terms[str(name)]["effect"])
        assert row["low"] < row["effect"] < row["high"]
        # The interval of the effect is symmetric around it.
        assert row["high"] - row["effect"] == pytest.approx(row["effect"] - row["low"])
    assert result.winner == BEST
    assert result.cells["mean"].tolist() == [row["mean"] for row in done.outcome["cells"]]
    assert len(result.runs) == len(done.execution.children())
    assert result.test_accuracy is not None
    assert result.test_accuracy[0] == done.outcome["registered"]["test_accuracy"]
    assert result.links == done.outcome["links"]
    assert [step.text for step in result.next] == [m["text"] for m in done.outcome["next_moves"]]


def test_a_result_is_shown_in_a_notebook_and_printed_as_by_the_command(result: fg.Result) -> None:
    shown = result._repr_html_()
    assert "conv_layers=2 learning_rate=0.001" in shown
    assert shown.count("<tr") == len(result.cells) + 1
    assert "Effects (screen)" in str(result)
    assert repr(result) == "<Result of study tiny: conv_layers=2 learning_rate=0.001>"


@pytest.mark.parametrize("name", ["pareto", "main_effects", "heatmap"])
def test_a_result_draws_its_figures(name: str, result: fg.Result) -> None:
    assert isinstance(result.plot(name), Figure)


def test_a_figure_that_does_not_exist_is_refused_with_those_that_do(result: fg.Result) -> None:
    with pytest.raises(UserError, match=r"plot 'pie': no such figure; .*: pareto, .*heatmap"):
        result.plot("pie")


def test_a_study_that_was_not_run_is_refused_with_those_that_were(result: fg.Result) -> None:
    assert result.study.name == "tiny"
    with pytest.raises(TrackingError, match=r"'nowhere'.*there are: .*tiny"):
        fg.open("nowhere")


def test_a_table_is_analyzed_as_by_the_command() -> None:
    found = fg.analyze(pd.read_csv(PAPER), response="accuracy", log=["learning_rate"])
    assert found.effects.loc["learning_rate", "effect"] == pytest.approx(-0.2896, abs=1e-4)
    # Half of the runs collapsed, so the effects on all runs are not tested.
    assert not found.effects["active"].any()
    assert any("0.0001, 0.001, 0.01" in line for line in found.next)
    assert "This makes a grid of 12 cells." in str(found)
    assert isinstance(found.plot("pareto"), Figure)
    assert "<table" in found._repr_html_()


def test_a_study_is_built_in_code_and_mistakes_are_one_line() -> None:
    factors = {"learning_rate": {"low": 1e-4, "high": 0.1}}
    assert fg.load({"name": "mine", "budget": 12, "factors": factors}).budget == 12
    with pytest.raises(StudyError, match="did you mean budget"):
        fg.load({"name": "mine", "budgett": 12, "factors": factors})
    with pytest.raises(UserError, match="change the dict"):
        fg.load({"name": "mine", "factors": factors}, budget=12)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fg.nothing  # noqa: B018 # the access is the test


def test_a_plan_has_the_trainings_of_each_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _use_home(tmp_path / "home", monkeypatch)
    planned = fg.plan(fg.load("quick"))
    costs = stage_costs(planned.study, planned.study.rules)
    assert planned.trainings == {cost.stage: cost.most for cost in costs}
    assert len(planned.screen) == planned.trainings["screen"]
    longer = fg.plan(fg.load("quick").model_copy(update={"final_epochs": 40}))
    assert longer.trainings == planned.trainings | {"final": 1}
    assert "Order of training" in str(planned)
    assert not (tmp_path / "home").exists()


def test_a_study_is_announced_with_its_trainings_and_their_lengths() -> None:
    study = fg.load("quick")
    short = study.rules.short
    assert short is not None
    lengths = f"short ones of {short.epochs} and full ones of {short.full} epochs"
    assert f", {lengths} (pilot 3, screen 8, refine " in study_as_line(study)
    assert study_as_line(fg.load("quick", minutes=5)) == "Study quick: 5 minutes of training"
