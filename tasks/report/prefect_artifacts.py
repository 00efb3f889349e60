"""A study in Prefect's pages: artifacts of a flow run, and advice for one that failed."""

import datetime as dt
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import Flow, runtime
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger
from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema

from analysis.effects.result import Effects
from analysis.search.refined_grid import Decision
from tasks.errors import USER_ERRORS
from tasks.escaping import as_line, printable
from tasks.redaction import redact
from tasks.report.markdown import decision_as_markdown, screen_as_markdown
from tasks.report.outcome import Outcome
from tasks.study.study_file import Study
from tasks.tracking.execution import Execution

#: Significant digits of a number in a table.
DIGITS = 4


def publish_artifacts(execution: Execution, outcome: Outcome) -> None:
    """Create the artifacts of a study: effects, decision and winner, and a link to its report."""
    key = artifact_key(outcome.study.name)
    if outcome.effects is None:
        about = "The winner."
    else:
        rows = effects_rows(outcome.effects)
        publish_table(outcome.study.name, "effects", rows, "Effects of the screen.")
        about = "The decision after the screen, and the winner."
    create_markdown_artifact(
        decision_as_markdown(outcome), key=f"{key}-decision", description=about
    )
    for name, (link, text) in page_links(execution).items():
        about = f"{text[0].upper()}{text[1:]}."
        create_link_artifact(link, link_text=text, key=f"{key}-{name}", description=about)


@dataclass(frozen=True)
class Help:
    """What a parameter of a flow is, for the form of its deployments: an annotation of its type.

    Prefect reads descriptions from docstrings of another style than ours, and removes those of
    pydantic's fields.
    """

    text: str

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the JSON schema of the type with the description."""
        return {**handler(core_schema), "description": self.text}


def run_name() -> str:
    """Return the name of the flow run that starts: its study, model or images, and the time.

    Prefect calls it, as the name of the flow's runs.
    """
    parameters = runtime.flow_run.parameters
    study = parameters.get("study")
    # Prefect gives the parameters as they are, or as a client sent them.
    named = study.get("name") if isinstance(study, dict) else getattr(study, "name", None)
    subject = named or parameters.get("model") or Path(str(parameters.get("source", ""))).name
    return f"{printable(str(subject))} {dt.datetime.now(tz=dt.UTC):%Y-%m-%d %H:%M}"


def publish_screen(study: Study, effects: Effects, decision: Decision) -> None:
    """Create the artifacts of a screen once it is fitted; the end of the study adds to them."""
    publish_table(study.name, "effects", effects_rows(effects), "Effects of the screen.")
    create_markdown_artifact(
        screen_as_markdown(study, decision),
        key=f"{artifact_key(study.name)}-decision",
        description="The decision after the screen.",
    )


def publish_table(study: str, name: str, rows: list[dict[str, Any]], description: str) -> None:
    """Create a table of a study as an artifact."""
    shown = [{name: _cell(value) for name, value in row.items()} for row in rows]
    create_table_artifact(shown, key=f"{artifact_key(study)}-{name}", description=description)


def _cell(value: Any) -> Any:
    """Return a value of a table; Prefect's pages show text as it is."""
    return printable(value) if isinstance(value, str) else value


def artifact_key(name: str) -> str:
    """Return a study's name as the key of an artifact: lower case, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "study"


def effects_rows(effects: Effects) -> list[dict[str, Any]]:
    """Return one row per term: effect, standard error, t, p, and whether it is active."""
    rows = []
    for name, row in effects.tested_terms.iterrows():
        figures = {k: _rounded(row[k]) for k in ("effect", "std_error", "t", "p")}
        rows.append({"term": printable(str(name)), **figures, "active": name in effects.active})
    return rows


def _rounded(value: float) -> float | None:
    return None if value != value else float(f"{value:.{DIGITS}g}")  # noqa: PLR0124 # NaN


def page_links(execution: Execution) -> dict[str, tuple[str, str]]:
    """Return the addresses of MLflow's pages on a study by the ends of their keys, with a text.

    Empty if MLflow is not behind a server: without one, the pages have no address that stays.
    """
    links = execution.links
    if links.needs_ui:
        return {}
    return {
        "report": (links.report, "the report"),
        "runs": (links.table, "which cell won: the runs in MLflow, the best first"),
        "charts": (links.charts, "the charts in MLflow"),
        "study": (links.run, "the run of the study in MLflow"),
    }


def on_failure(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Log what to do about a flow run that failed."""
    flow_run_logger(flow_run, flow).error(advice(state))


def advice(state: State[Any]) -> str:
    """Return what to do about a run that failed, crashed or was cancelled."""
    if state.is_cancelled() or state.is_cancelling():
        return "Cancelled: its runs in MLflow are marked KILLED. To resume from here, run it again."
    error = state.result(raise_on_failure=False)
    if isinstance(error, USER_ERRORS):
        return f"An input must be corrected: {as_line(redact(str(error)))}"
    if state.is_crashed():
        return (
            "Its process ended before the study did. Nothing that was trained is lost: the next "
            "run (Retry, or the next schedule) resumes where this one stopped."
        )
    return (
        f"Failed: {type(error).__name__}. What was trained is in MLflow, with the tracebacks of "
        "cells that failed. Fix the cause and press Retry: the run resumes where it stopped. "
        f"`factorgrid doctor` on {os.uname().nodename} checks the set-up."
    )
