"""What Prefect's pages tell of a study: artifacts of a run, and words for one that failed."""

import os
import re
from typing import Any

from prefect import Flow
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger

from analysis.factors import cell_name
from analysis.search.best_cell import selection_as_text as explain_selection
from analysis.search.refined_grid import decision_as_text
from tasks.errors import USER_ERRORS
from tasks.languages import translator
from tasks.registry.verdict import promotion_as_text
from tasks.report.outcome import Outcome
from tasks.tracking.execution import Execution

#: Digits of a figure in a table.
DIGITS = 4


def publish_artifacts(execution: Execution, outcome: Outcome) -> None:
    """Leave effects, decision and winner as artifacts, and the way to the report."""
    key = artifact_key(outcome.study.name)
    create_table_artifact(
        effects_rows(outcome), key=f"{key}-effects", description="Effects of the screen."
    )
    create_markdown_artifact(
        decision_as_markdown(outcome),
        key=f"{key}-decision",
        description="Why this grid, this winner.",
    )
    link = report_link(execution)
    if link:
        create_link_artifact(link, link_text="the report", key=f"{key}-report")


def publish_table(study: str, name: str, rows: list[dict[str, Any]], description: str) -> None:
    """Leave a table of a study in Prefect's pages."""
    create_table_artifact(rows, key=f"{artifact_key(study)}-{name}", description=description)


def artifact_key(name: str) -> str:
    """Return a study's name as an artifact's key: lower case, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "study"


def effects_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """Return a row a term: effect, standard error, p, whether it is active."""
    rows = []
    for name, row in outcome.effects.terms.iterrows():
        figures = {k: _figure(row[k]) for k in ("effect", "std_error", "t", "p")}
        rows.append({"term": name, **figures, "active": name in outcome.effects.active})
    return rows


def _figure(value: float) -> float | None:
    return None if value != value else float(f"{value:.{DIGITS}g}")  # noqa: PLR0124 # NaN


def decision_as_markdown(outcome: Outcome) -> str:
    """Return the decision's reasons and the winner as Markdown."""
    lines = [f"# Study {outcome.study.name}", "", outcome.data, "", "## Decision", ""]
    lines += [f"- {reason}" for reason in decision_as_text(outcome.decision)]
    lines += ["", "## Winner", ""]
    lines += [f"- {reason}" for reason in explain_selection(outcome.selection)]
    registered = outcome.registered
    if registered is not None:
        cell, test = cell_name(outcome.selection.chosen), registered.test
        lines += [f"- {cell}: accuracy on the test images {test}."]
        name = f"models:/{registered.name}@{registered.alias}"
        why = promotion_as_text(registered.verdict, translator("en"))
        lines += [f"- Registered as `{name}` (version {registered.version}). {why}"]
    return "\n".join(lines)


def report_link(execution: Execution) -> str | None:
    """Return where MLflow's pages show the report; None where no server does."""
    uri = execution.tracker.settings.tracking_uri
    if not uri.startswith("http"):
        return None
    run = f"experiments/{execution.experiment}/runs/{execution.run_id}"
    return f"{uri.rstrip('/')}/#/{run}/artifacts/report.html"


def on_failure(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Say in the run's log what to do about it."""
    flow_run_logger(flow_run, flow).error(advice(state))


def advice(state: State[Any]) -> str:
    """Return what to do about a run that failed, crashed or was cancelled."""
    if state.is_cancelled() or state.is_cancelling():
        return (
            "Cancelled: its runs in MLflow are marked KILLED. Run it again: it goes on from here."
        )
    error = state.result(raise_on_failure=False)
    if isinstance(error, USER_ERRORS):
        return f"Yours to mend: {' '.join(str(error).split())}"
    if state.is_crashed():
        return (
            "Its process ended before the study did. Nothing that was trained is lost: it goes on "
            "where it stopped when it runs again (Retry, or the next schedule)."
        )
    return (
        f"Failed: {type(error).__name__}. What was trained is in MLflow, with the tracebacks of "
        "cells that failed; mend the cause and press Retry: it goes on where it stopped. "
        f"`factorgrid doctor` on {os.uname().nodename} looks for what is wrong with the set-up."
    )
