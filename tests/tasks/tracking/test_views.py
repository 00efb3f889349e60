"""Prepared views: what MLflow's pages read, on a real server, and the links that open them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from support.mlflow_server import MlflowServer, mlflow_server
from support.small_study import STUDY, write_study

from tasks.settings import Settings
from tasks.study.study_file import Study, load_study
from tasks.tracking.links import links_of
from tasks.tracking.tags import KIND, PARENT
from tasks.tracking.tracker import Tracker
from tasks.tracking.views import newest_studies_as_text, prepare_views, view_tags

#: The largest value of an experiment tag of MLflow.
LARGEST_TAG = 5000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.fixture
def tracker(server: MlflowServer, tmp_path: Path) -> Tracker:
    return Tracker.open(Settings(tmp_path, server.uri))


def _study(folder: Path, text: str = STUDY) -> Study:
    return load_study(str(write_study(folder, text)))


def _state(tags: dict[str, str], link: str) -> dict[str, Any]:
    """Return what MLflow's front end reads for a link: the saved view of its key."""
    (key,) = parse_qs(urlsplit(link).fragment.partition("?")[2])["viewStateShareKey"]
    view = json.loads(tags[f"mlflow.sharedViewState.{key}"])
    # MLflow's pages refuse a view that lacks one of these.
    assert (type(view["name"]), type(view["createdAt"]), type(view["state"])) == (str, int, str)
    state: dict[str, Any] = json.loads(view["state"])
    return state


def test_a_link_opens_the_runs_of_the_study_on_a_server_with_the_best_first(
    server: MlflowServer, tracker: Tracker, tmp_path: Path
) -> None:
    study = _study(tmp_path)
    experiment = tracker.experiment('it\'s "quoted"')
    parent = tracker.client.create_run(experiment, tags={KIND: "study"}).info.run_id
    other = tracker.client.create_run(experiment, tags={KIND: "study"}).info.run_id
    for accuracy, above in ((0.6, parent), (0.9, parent), (0.7, parent), (0.99, other)):
        run = tracker.client.create_run(experiment, tags={PARENT: above})
        tracker.client.log_metric(run.info.run_id, "val_accuracy", accuracy)
    prepare_views(tracker, experiment, parent, study)

    # As a browser does it: only the server's own interface.
    api = f"{server.uri}/api/2.0/mlflow"
    found = httpx.get(f"{api}/experiments/get", params={"experiment_id": experiment}).json()
    tags = {tag["key"]: tag["value"] for tag in found["experiment"]["tags"]}
    state = _state(tags, links_of(server.uri, experiment, parent).table)
    asked = {
        "experiment_ids": [experiment],
        "filter": state["searchFilter"],
        "order_by": [f"{state['orderByKey']} {'ASC' if state['orderByAsc'] else 'DESC'}"],
    }
    runs = httpx.post(f"{api}/runs/search", json=asked).json()["runs"]
    accuracies = [run["data"]["metrics"][0]["value"] for run in runs]
    assert accuracies == [0.9, 0.7, 0.6]
    assert "conv_layers" in tags["factorgrid.factors"]
    assert tags["mlflow.note.content"].startswith("A study by FactorGrid")


def test_the_table_has_factors_figures_stage_length_and_verdict(tmp_path: Path) -> None:
    study = _study(tmp_path)
    state = _state(view_tags("r1", study), links_of("sqlite:///x", "1", "r1").table)
    assert state["selectedColumns"] == [
        "metrics.`val_accuracy`",
        "metrics.`train_seconds`",
        "params.`conv_layers`",
        "params.`learning_rate`",
        "params.`stage`",
        "params.`training.epochs`",
        "tags.`factorgrid.verdict`",
    ]


def test_the_charts_show_the_factors_with_the_largest_effects(tmp_path: Path) -> None:
    text = STUDY + '[factors.optimizer]\nvalues = ["adam", "sgd", "rmsprop"]\n'
    study = _study(tmp_path, text)
    tags = view_tags("r1", study, ["optimizer", "learning_rate", "conv_layers"])
    state = _state(tags, links_of("sqlite:///x", "1", "r1").charts)
    charts = {chart["type"]: chart for chart in state["compareRunCharts"]}
    assert charts.keys() == {"PARALLEL", "LINE", "SCATTER", "CONTOUR"}
    # A category has no axis.
    axes = [charts["CONTOUR"][axis]["key"] for axis in ("xaxis", "yaxis")]
    assert axes == ["learning_rate", "conv_layers"]
    assert charts["PARALLEL"]["selectedParams"] == ["conv_layers", "learning_rate", "optimizer"]
    sections = {section["uuid"] for section in state["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in charts.values()} <= sections
    (key,) = state["groupBy"]["groupByKeys"]
    assert key == {"mode": "tag", "groupByData": "factorgrid.cell"}


def test_the_views_of_a_study_of_many_factors_fit_into_a_tag(tmp_path: Path) -> None:
    names = ("filters", "kernel_size", "dense_units", "fc_layers", "batch_size", "epochs")
    more = "".join(f"[factors.{name}]\nlow = 2\nhigh = 4\n" for name in names)
    text = STUDY.replace("filters = 4\ndense_units = 8\n", "")
    text = text.replace("epochs = 4\nbatch_size = 32\n", "")
    study = _study(tmp_path, text.replace("[model]", f"{more}[model]"))
    assert len(study.factors) == 8
    assert all(len(value) < LARGEST_TAG for value in view_tags("r" * 32, study).values())


@pytest.mark.parametrize(
    ("uri", "start", "needs_ui"),
    [
        ("sqlite:////home/me/mlflow.db", "http://127.0.0.1:5000/#/experiments/7/runs", True),
        ("https://host/mlflow/", "https://host/mlflow/#/experiments/7/runs", False),
    ],
)
def test_links_are_those_of_the_server_or_of_the_ui(
    uri: str, start: str, *, needs_ui: bool
) -> None:
    links = links_of(uri, "7", "r1")
    assert links.needs_ui == needs_ui
    assert all(address.startswith(start) for address in links.as_json().values())
    assert links.within_pages.run.startswith("#/experiments/7/runs/r1?")


def test_an_execution_before_the_newest_is_shown_by_its_filter() -> None:
    links = links_of("https://host", "7", "r1", prepared=False)
    (condition,) = parse_qs(urlsplit(links.table).fragment.partition("?")[2])["searchFilter"]
    assert condition == "tags.`mlflow.parentRunId` = 'r1' and attributes.status != 'KILLED'"
    assert "viewStateShareKey" not in links.charts


def test_links_have_no_password() -> None:
    assert "secret" not in links_of("https://me:secret@host", "7", "r1").table


def test_the_studies_are_listed_with_their_links(tracker: Tracker, tmp_path: Path) -> None:
    study = _study(tmp_path)
    tracker.experiment("not a study")
    experiment = tracker.experiment("listed")
    prepare_views(tracker, experiment, "r1", study)
    lines = newest_studies_as_text(tracker, "http://host")
    assert lines[0] == f"listed: {links_of('http://host', experiment, 'r1').table}"
    assert not any("not a study" in line for line in lines)
