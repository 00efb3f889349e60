"""What MLflow's pages show of a finished study without a search."""

import json

from support.small_study import BEST, CONFIRMED, Done

from tasks.report.markdown import MOST_CHARACTERS, run_note
from tasks.report.mlflow_pages import TIED, WINNER, describe_in_mlflow, leading_factors
from tasks.report.outcome import outcome_of


def test_the_run_of_the_study_has_the_winner_as_params_and_metrics(done: Done) -> None:
    run = done.tracker.client.get_run(done.outcome["run_id"])
    assert {name: run.data.params[name] for name in BEST} == {
        "conv_layers": "2",
        "learning_rate": "0.001",
    }
    chosen = done.outcome["cells"][0]
    assert run.data.metrics["val_accuracy"] == chosen["mean"]
    assert run.data.metrics["winner_runs"] == chosen["n"]
    test = done.outcome["registered"]["test_accuracy"]
    # Other tests may have registered this shared study again.
    history = done.tracker.client.get_metric_history(run.info.run_id, "test_accuracy")
    assert history[0].value == test


def test_the_description_begins_with_the_answer_and_has_figures_and_next_moves(done: Done) -> None:
    run = done.tracker.client.get_run(done.outcome["run_id"])
    note = run.data.tags["mlflow.note.content"]
    assert note == run_note(outcome_of(done.execution))
    first = note.splitlines()[0].replace("\\", "")
    assert "conv_layers=2 learning_rate=0.001" in first
    assert f"{100 * done.outcome['registered']['test_accuracy']:.1f}%" in first
    pages = done.execution.links.within_pages
    for link in (pages.table, pages.charts, pages.report):
        assert f"]({link})" in note
    assert "| **2** | **0.001** | **2** |" in note
    assert "## What next" in note
    assert "factorgrid search tiny.toml" in note
    assert len(note) <= MOST_CHARACTERS


def test_the_replicates_of_the_winner_and_of_tied_cells_are_tagged(done: Done) -> None:
    found: dict[str, set[str]] = {}
    for run in done.execution.children():
        verdict = run.data.tags.get("factorgrid.verdict", "")
        found.setdefault(verdict, set()).add(run.data.tags["factorgrid.cell"])
    best, second = (" ".join(f"{k}={v}" for k, v in cell.items()) for cell in CONFIRMED)
    assert found[WINNER] == {best}
    assert found[TIED] == {second}
    assert len(found[""]) == len(done.outcome["cells"]) - 2


def test_describing_a_study_again_changes_nothing(done: Done) -> None:
    client, execution = done.tracker.client, done.execution
    before = client.get_run(execution.run_id).data.params
    describe_in_mlflow(execution, outcome_of(execution))
    assert client.get_run(execution.run_id).data.params == before


def test_the_chart_of_two_factors_has_the_leading_factors(done: Done) -> None:
    assert leading_factors(outcome_of(done.execution)) == ["learning_rate", "conv_layers"]
    tags = done.tracker.client.get_experiment(done.execution.experiment).tags
    view = json.loads(tags["mlflow.sharedViewState.factorgrid-charts"])
    charts = {chart["type"]: chart for chart in json.loads(view["state"])["compareRunCharts"]}
    assert charts["CONTOUR"]["xaxis"]["key"] == "learning_rate"


def test_runs_are_named_by_levels_and_seed(done: Done) -> None:
    names = {run.info.run_name for run in done.execution.children()}
    assert "conv 2, lr 0.001 · seed 2" in names
    assert len(names) == len(done.execution.children())
