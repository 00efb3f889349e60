"""A study in Prefect's pages: artifacts of a flow run, and advice for one that failed."""

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

from tasks.errors import USER_ERRORS
from tasks.escaping import as_line, as_markdown, printable
from tasks.languages import Translate, translator
from tasks.redaction import redact
from tasks.report.outcome import Outcome
from tasks.report.registered import promotion_verdict_as_text, registered_as_text
from tasks.tracking.execution import Execution
from tasks.wording.decision import decision_as_text
from tasks.wording.next_moves import (
    MOST_SHOWN,
    further_moves_as_text,
    how_as_text,
    next_steps,
)
from tasks.wording.selection import selection_as_text

#: Significant digits of a number in a table.
DIGITS = 4


def publish_artifacts(execution: Execution, outcome: Outcome) -> None:
    """Create the artifacts of a study: effects, decision and winner, and a link to its report."""
    key = artifact_key(outcome.study.name)
    create_table_artifact(
        effects_rows(outcome), key=f"{key}-effects", description="Effects of the screen."
    )
    create_markdown_artifact(
        decision_as_markdown(outcome),
        key=f"{key}-decision",
        description="The decision after the screen, and the winner.",
    )
    link = report_link(execution)
    if link:
        create_link_artifact(link, link_text="the report", key=f"{key}-report")


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


def effects_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """Return one row per term: effect, standard error, t, p, and whether it is active."""
    rows = []
    for name, row in outcome.effects.terms.iterrows():
        figures = {k: _rounded(row[k]) for k in ("effect", "std_error", "t", "p")}
        rows.append(
            {"term": printable(str(name)), **figures, "active": name in outcome.effects.active}
        )
    return rows


def _rounded(value: float) -> float | None:
    return None if value != value else float(f"{value:.{DIGITS}g}")  # noqa: PLR0124 # NaN


def decision_as_markdown(outcome: Outcome) -> str:
    """Return the decision's reasons and the winner as Markdown."""
    translate, study = translator("en"), outcome.study
    decision = decision_as_text(outcome.decision, translate, study.rules)
    winner = [
        *selection_as_text(outcome.selection, translate),
        *registered_as_text(outcome, translate),
        *([promotion_verdict_as_text(outcome.registered, translate)] if outcome.registered else []),
    ]
    title = f"# {as_markdown(translate('title', name=study.name))}"
    lines = [title, "", as_markdown(outcome.data), "", f"## {translate('decision')}", ""]
    lines += [f"- {as_markdown(line)}" for line in decision]
    lines += ["", f"## {translate('winner')}", ""]
    lines += [f"- {as_markdown(line)}" for line in winner]
    lines += ["", f"## {translate('next_moves')}", "", *_next_moves(outcome, translate)]
    return "\n".join(lines)


def _next_moves(outcome: Outcome, translate: Translate) -> list[str]:
    """Return what to do next as a list in Markdown; lines of files and commands are code."""
    steps = next_steps(outcome.next_moves, outcome.study, translate)
    lines = []
    for step in steps[:MOST_SHOWN]:
        lines.append(f"1. {as_markdown(step.text)}")
        code = [*step.toml.splitlines(), *step.commands]
        # Code of a list item is indented by four spaces more than its text.
        lines += ["", *(f"       {printable(line)}" for line in code if line), ""] if code else []
    for note in (how_as_text(steps, translate), further_moves_as_text(steps, translate)):
        lines += ["", as_markdown(note)] if note else []
    return lines


def report_link(execution: Execution) -> str | None:
    """Return where MLflow's pages show the report; None if MLflow is not behind a server."""
    uri = execution.tracker.settings.tracking_uri
    if not uri.startswith("http"):
        return None
    run = f"experiments/{execution.experiment}/runs/{execution.run_id}"
    return f"{uri.rstrip('/')}/#/{run}/artifacts/report.html"


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
