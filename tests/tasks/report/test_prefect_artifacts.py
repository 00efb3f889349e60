"""A study in Prefect's pages, and lines of the log."""

import json
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import prefect
import pytest
from prefect.states import Cancelling, Crashed, Failed
from prefect.utilities.callables import parameter_schema
from support.small_study import Done

from flows.compare import compare
from flows.promote import promote
from flows.search import search
from flows.validate_images import validate_images
from tasks.errors import DataError
from tasks.logs import LOGGER, JsonLines
from tasks.report import prefect_artifacts
from tasks.report.markdown import decision_as_markdown
from tasks.report.outcome import outcome_of
from tasks.report.prefect_artifacts import (
    advice,
    artifact_key,
    effects_rows,
    page_links,
    publish_screen,
    run_name,
)
from tasks.study.study_file import load_study


def test_the_effects_are_rows_of_plain_figures(done: Done) -> None:
    effects = outcome_of(done.execution).effects
    assert effects is not None
    rows = effects_rows(effects)
    assert {"conv_layers", "learning_rate"} <= {row["term"] for row in rows}
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_the_effects_and_the_decision_are_shown_as_soon_as_the_screen_is_fitted(
    done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: dict[str, object] = {}

    def keep(content: object, *, key: str, description: str) -> None:
        assert description
        shown[key] = content

    for name in ("create_table_artifact", "create_markdown_artifact"):
        monkeypatch.setattr(prefect_artifacts, name, keep)
    outcome = outcome_of(done.execution)
    assert outcome.effects is not None
    assert outcome.decision is not None
    publish_screen(outcome.study, outcome.effects, outcome.decision)
    assert shown["tiny-effects"] == effects_rows(outcome.effects)
    decision = str(shown["tiny-decision"])
    assert "## Decision" in decision
    assert "## Winner" not in decision


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"study": {"name": "pets"}}, "pets"),
        ({"study": load_study("quick")}, "quick"),
        ({"model": "cats", "version": None}, "cats"),
        ({"source": Path("/data/pictures.zip")}, "pictures.zip"),
    ],
)
def test_a_flow_run_has_the_name_of_its_study_and_the_date(
    monkeypatch: pytest.MonkeyPatch, parameters: dict[str, object], name: str
) -> None:
    monkeypatch.setattr(prefect.runtime.flow_run, "parameters", parameters, raising=False)
    assert re.fullmatch(rf"{name} \d{{4}}-\d\d-\d\d \d\d:\d\d", run_name())


@pytest.mark.parametrize("flow", [search, compare, validate_images, promote])
def test_every_field_of_a_form_has_help(flow: prefect.Flow[Any, Any]) -> None:
    schema = parameter_schema(flow.fn)
    for table in (schema.model_dump(), *schema.definitions.values()):
        for name, field in table.get("properties", {}).items():
            assert field.get("description"), name


def test_the_form_of_a_study_has_no_internal_field() -> None:
    schema = parameter_schema(search.fn)
    assert list(schema.properties) == ["study"]
    for internal in ("builder_source", "builder_folder"):
        assert internal not in json.dumps(schema.definitions)


def test_the_decision_names_the_winner_and_the_registered_model(done: Done) -> None:
    words = decision_as_markdown(outcome_of(done.execution))
    for part in ("# Study tiny", "## Decision", "## Winner", "models:/tiny@champion"):
        assert part in words


def test_a_database_without_a_server_has_no_link(done: Done) -> None:
    assert page_links(done.execution) == {}


def test_a_server_has_links_to_report_runs_charts_and_study(done: Done) -> None:
    tracker = replace(
        done.tracker, settings=replace(done.tracker.settings, tracking_uri="http://mlflow:5000")
    )
    execution = replace(done.execution, tracker=tracker)
    found = {name: address for name, (address, _) in page_links(execution).items()}
    assert found.keys() == {"report", "runs", "charts", "study"}
    assert all(
        address.startswith("http://mlflow:5000/#/experiments/") for address in found.values()
    )
    assert found["runs"] == execution.links.table


def test_a_name_becomes_a_key_of_prefects() -> None:
    assert artifact_key("Dogs vs. Cats_2") == "dogs-vs-cats-2"
    assert artifact_key("고양이") == "study"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (
            Failed(data=DataError("--data x: no such file; name one")),
            "An input must be corrected: --data x",
        ),
        (Failed(data=ZeroDivisionError()), "ZeroDivisionError"),
        (Cancelling(), "To resume from here, run it again"),
        (Crashed(), "Nothing that was trained is lost"),
    ],
)
def test_a_run_that_did_not_end_well_says_what_to_do(state: object, words: str) -> None:
    assert words in advice(state)  # type: ignore[arg-type] # states of four kinds


def test_a_line_of_the_log_is_json_with_its_ids() -> None:
    record = LOGGER.makeRecord(
        "factorgrid",
        logging.INFO,
        "",
        0,
        "finished",
        (),
        None,
        extra={"cell": "a=1", "run_id": "r"},
    )
    line = json.loads(JsonLines().format(record))
    assert {"level": "INFO", "message": "finished", "cell": "a=1", "run_id": "r"}.items() <= (
        line.items()
    )
