"""The log of events of studies, cells and runs, as JSON lines if the user wants them.

With ``FACTORGRID_LOG=json`` one JSON object per line is written to standard error. Prefect also
shows the same lines on the page of a flow run.
"""

import datetime as dt
import logging
import os
import sys
from collections.abc import Callable

from tasks.escaping import as_json_text, printable
from tasks.redaction import redact

LOGGER = logging.getLogger("factorgrid")
#: The ids that a line may have.
IDS = ("study", "cell", "run_id", "stage", "study_run_id", "flow_run_id")


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: time, level, message and the record's ids."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        when = dt.datetime.fromtimestamp(record.created, tz=dt.UTC)
        content = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "message": record.getMessage(),
            **{name: getattr(record, name) for name in IDS if hasattr(record, name)},
        }
        return as_json_text(content)


class FlowRunId(logging.Filter):
    """Adds the id of the current flow run to each record.

    Parameters
    ----------
    current_flow_run : returns that id; None outside of a flow run.
    """

    def __init__(self, current_flow_run: Callable[[], str | None]) -> None:
        super().__init__()
        self.current_flow_run = current_flow_run

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the id, and let every record pass."""
        flow_run_id = self.current_flow_run()
        if flow_run_id:
            record.flow_run_id = flow_run_id
        return True


def configure_log(current_flow_run: Callable[[], str | None]) -> None:
    """Write the log as ``FACTORGRID_LOG`` says; by default nothing is written here.

    Parameters
    ----------
    current_flow_run : returns the id of the current flow run; None outside of one.
    """
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False  # Prefect's console would print each line amid the progress display
    if not any(isinstance(known, FlowRunId) for known in LOGGER.filters):
        LOGGER.addFilter(FlowRunId(current_flow_run))
    if os.environ.get("FACTORGRID_LOG") != "json":
        return
    if not any(isinstance(handler.formatter, JsonLines) for handler in LOGGER.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines())
        LOGGER.addHandler(handler)


def log_event(message: str, **ids: str | None) -> None:
    """Log an event.

    Parameters
    ----------
    message : what happened.
    ids : to what it happened, see `IDS`; they are fields of the record and part of its text.
    """
    known = {name: value for name, value in ids.items() if value}
    text = ", ".join(f"{name}={value}" for name, value in known.items())
    LOGGER.info("%s (%s)", printable(redact(message)), printable(redact(text)), extra=known)
