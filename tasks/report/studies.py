"""The studies at an MLflow server: a list of them, and the export of one as files."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.factors import cell_name
from tasks.errors import TrackingError, UserError
from tasks.report.outcome import outcome_of
from tasks.study.next_study import before_pilot
from tasks.study.study_toml import study_toml
from tasks.tracking.execution import Execution, last_execution, past_execution
from tasks.tracking.links import links_of
from tasks.tracking.tags import KIND, NOTHING_LEARNED, PREFIX
from tasks.tracking.tracker import Tracker
from tasks.wording.terminal import fitting_table
from tasks.wording.values import fixed

#: The param of a parent run with the levels of a factor starts so.
FACTOR = "factor."


@dataclass(frozen=True)
class ListedStudy:
    """The newest execution of a study.

    Attributes
    ----------
    name : of the study, which is that of its experiment.
    run_id : of the parent run.
    started : date and time, UTC.
    status : ``finished``, ``running``, ``failed``, ``killed`` or ``nothing learned``.
    winner : the chosen cell as text; empty if there is none, or an earlier version wrote the run.
    accuracy, test_accuracy : of the winner on the validation and the test images, or None.
    registered : the model, its version and its alias; may be empty.
    link : the address of its runs in MLflow's pages.
    """

    name: str
    run_id: str
    started: str
    status: str
    winner: str
    accuracy: float | None
    test_accuracy: float | None
    registered: str
    link: str


def list_studies(tracker: Tracker) -> list[ListedStudy]:
    """Return the newest execution of each study, the newest first."""
    found = []
    for experiment in tracker.experiments():
        runs = tracker.search([str(experiment.experiment_id)], f"tags.`{KIND}` = 'study'", limit=1)
        found += [_listed(tracker, experiment.name, run) for run in runs]
    return sorted(found, key=lambda study: study.started, reverse=True)


def _listed(tracker: Tracker, name: str, run: Any) -> ListedStudy:
    params, metrics, tags = run.data.params, run.data.metrics, run.data.tags
    started = dt.datetime.fromtimestamp(run.info.start_time / 1000, tz=dt.UTC)
    factors = [key.removeprefix(FACTOR) for key in params if key.startswith(FACTOR)]
    levels = {factor: params[factor] for factor in factors if factor in params}
    links = links_of(tracker.settings.tracking_uri, run.info.experiment_id, run.info.run_id)
    return ListedStudy(
        name,
        str(run.info.run_id),
        f"{started:%Y-%m-%d %H:%M}",
        "nothing learned" if NOTHING_LEARNED in tags else run.info.status.lower(),
        cell_name(levels) if len(levels) == len(factors) else "",
        metrics.get(params.get("response", "val_accuracy")),
        metrics.get("test_accuracy"),
        tags.get(PREFIX + "registered", ""),
        links.table,
    )


def studies_as_json(studies: Sequence[ListedStudy]) -> dict[str, Any]:
    """Return a list of studies as plain JSON types."""
    return {"studies": [asdict(study) for study in studies]}


def studies_as_text(studies: Sequence[ListedStudy]) -> str:
    """Return a list of studies as a table."""
    if not studies:
        return "No study was run yet; `factorgrid search` runs one."
    columns = {
        "study": [study.name for study in studies],
        "started (UTC)": [study.started for study in studies],
        "status": [study.status for study in studies],
        "accuracy": [_accuracy(study.accuracy) for study in studies],
        "test": [_accuracy(study.test_accuracy) for study in studies],
        "winner": [study.winner or "-" for study in studies],
        "registered": [study.registered or "-" for study in studies],
    }
    shown = "`factorgrid show STUDY` prints the result of one."
    return f"{fitting_table(columns, ['test', 'winner', 'registered'])}\n\n{shown}"


def _accuracy(value: float | None) -> str:
    return fixed(float("nan") if value is None else value)


def find_execution(tracker: Tracker, name: str, run_id: str | None = None) -> Execution:
    """Return an execution of a study: the newest one, or that of a parent run.

    Raises
    ------
    TrackingError
        If there is no such study or run, or the run is not one of this study.
    """
    if run_id is None:
        return last_execution(tracker, name)
    executions = tracker.search([tracker.existing_experiment(name)], f"tags.`{KIND}` = 'study'")
    by_id = {str(run.info.run_id): run for run in executions}
    if run_id not in by_id:
        ids = ", ".join(by_id) or "none"
        raise TrackingError(f"--run {run_id}: no execution of study {name}; there are: {ids}")
    return past_execution(tracker, by_id[run_id])


def export_study(execution: Execution, folder: Path) -> list[Path]:
    """Write a study's runs and cells as CSV files, and the study as a TOML file.

    Parameters
    ----------
    folder : is created if it is missing.

    Returns
    -------
    The files: ``runs.csv``, ``cells.csv`` and ``study.toml``.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    outcome = outcome_of(execution)
    texts = {
        "runs.csv": execution.runs().to_csv(index=False),
        "cells.csv": outcome.selection.cells.to_csv(index=False),
        "study.toml": study_toml(before_pilot(execution.study)),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"--out {folder}: {error.strerror}; name a folder that can be written"
        ) from error
    return [folder / name for name in texts]
