"""Writing a study's report: to its parent run, and to a file."""

from pathlib import Path

from analysis.plots.grid import grid_heatmap, is_grid
from tasks.errors import UserError
from tasks.escaping import as_json_text
from tasks.report.as_json import next_moves_as_json
from tasks.report.html import report_page
from tasks.report.mlflow_pages import describe_in_mlflow
from tasks.report.outcome import Outcome, outcome_of
from tasks.report.text import outcome_as_text
from tasks.settings import Settings
from tasks.tracking.artifact_paths import NEXT_MOVES
from tasks.tracking.execution import Execution, last_execution
from tasks.tracking.tracker import Tracker


def write_report(settings: Settings, experiment: str, out: Path | None, language: str) -> Path:
    """Rebuild the page of an experiment's last study from MLflow; return its file.

    Parameters
    ----------
    settings : where MLflow is.
    experiment : the study's name.
    out : the file to write; by default the study's name in the current folder.
    language : one of `tasks.languages.LANGUAGES`.

    Raises
    ------
    UserError
        If there is no such study, its screen has no finished run, or the file cannot be written.
    """
    file = out or Path(f"{experiment}.html")
    if not file.absolute().parent.is_dir():
        raise UserError(f"--out {file}: its folder does not exist; create it, or name another file")
    tracker = Tracker.open(settings, create=False)
    execution = last_execution(tracker, experiment)
    page = report_page(outcome_of(execution), execution, language)
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"--out {file}: {error.strerror}; name a file that can be written"
        ) from None
    return file


def log_outcome(execution: Execution) -> Outcome:
    """Read a study's findings from MLflow; log them to its parent run: text, page, next moves."""
    outcome = outcome_of(execution)
    study, runs = execution.study, execution.runs("refine")
    if is_grid(runs, study.factor_list, study.response):
        figure = grid_heatmap(runs, study.factor_list, study.response)
        execution.writer.log_figures(execution.run_id, {"grid/heatmap.png": figure})
    execution.writer.log_text(execution.run_id, outcome_as_text(outcome), "summary.txt")
    moves = as_json_text(next_moves_as_json(outcome), indent=1)
    execution.writer.log_text(execution.run_id, moves, NEXT_MOVES)
    execution.writer.log_text(execution.run_id, report_page(outcome, execution), "report.html")
    describe_in_mlflow(execution, outcome)
    return outcome
