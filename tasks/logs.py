"""Our log: what happened to which study, cell and run; as JSON lines where that is asked for.

``FACTORGRID_LOG=json`` writes a JSON object a line to standard error. Prefect takes the same lines
to a flow run's page.
"""

import datetime as dt
import json
import logging
import os
import sys

LOGGER = logging.getLogger("factorgrid")
IDS = ("study", "cell", "run_id", "stage", "study_run_id", "flow_run_id")


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time, level, message and the ids that it came with."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        when = dt.datetime.fromtimestamp(record.created, tz=dt.UTC)
        content = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "message": record.getMessage(),
            **{name: getattr(record, name) for name in IDS if hasattr(record, name)},
        }
        return json.dumps(content, ensure_ascii=False)


def open_log() -> None:
    """Write our log as ``FACTORGRID_LOG`` says; without it nothing is written here."""
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False  # Prefect's console would print each line among the progress
    if os.environ.get("FACTORGRID_LOG") != "json":
        return
    if not any(isinstance(handler.formatter, JsonLines) for handler in LOGGER.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines())
        LOGGER.addHandler(handler)


def note(message: str, **ids: str | None) -> None:
    """Log what happened, with the ids that say to what; the ids are in the words as well."""
    from prefect.runtime import flow_run

    known = {**ids, "flow_run_id": flow_run.id}
    given = {name: value for name, value in known.items() if value}
    shown = ", ".join(f"{k}={v}" for k, v in given.items() if k != "flow_run_id")
    LOGGER.info("%s (%s)", message, shown, extra=given)
