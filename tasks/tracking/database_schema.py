"""The schema of MLflow's database: one of another version is said, and never changed unasked.

MLflow itself upgrades an older database, without a word and without a backup, whenever a table of
its own is missing there; only where none is missing does it ask.
"""

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import TrackingError
from tasks.redaction import without_password


@dataclass(frozen=True)
class Schema:
    """How a database stands to the MLflow that is installed.

    Attributes
    ----------
    revision : its schema's; empty where it has none yet.
    fault : why it cannot be used as it is; empty where it can.
    remedy : what to do then.
    """

    revision: str
    fault: str = ""
    remedy: str = ""


def is_to_come(uri: str) -> bool:
    """Whether an address is that of an SQLite file that is not there yet."""
    return uri.startswith("sqlite") and not Path(uri.removeprefix("sqlite:///")).exists()


def schema_of(uri: str) -> Schema:
    """Compare a database's schema with that of the MLflow that is installed; nothing is changed.

    Raises
    ------
    Exception
        Whatever its driver raises where it cannot be reached.
    """
    import sqlalchemy
    from mlflow.store.db.utils import _get_latest_schema_revision, _get_schema_version

    engine = sqlalchemy.create_engine(uri)
    try:
        revision, wanted = _get_schema_version(engine), _get_latest_schema_revision()
        if revision is None:
            return Schema("")
        if revision == wanted or _never_finished(engine):
            return Schema(revision)
    finally:
        engine.dispose()
    version = importlib.metadata.version("mlflow")
    if not _is_ours(revision):
        fault = f"schema {revision} of a newer MLflow than {version}, which is here"
        return Schema(revision, fault, "install that one, or name another database")
    fault = f"schema {revision} of an older MLflow, not {wanted} of {version}"
    return Schema(revision, fault, f"back it up, then: mlflow db upgrade {without_password(uri)}")


def _never_finished(engine: object) -> bool:
    """Whether its creation was cut off: MLflow's first experiment comes last, and goes on there."""
    import sqlalchemy

    with engine.connect() as connection:  # type: ignore[attr-defined] # SQLAlchemy is imported late
        found = connection.execute(sqlalchemy.text("SELECT 1 FROM experiments LIMIT 1"))
        return found.first() is None


def _is_ours(revision: str) -> bool:
    """Whether the installed MLflow knows a revision, and so a way from there."""
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    scripts = ScriptDirectory.from_config(_get_alembic_config(db_url=""))
    return revision in {script.revision for script in scripts.walk_revisions()}


def refuse_another_schema(uri: str) -> None:
    """Stop before MLflow opens a database of another version; servers judge their own.

    Raises
    ------
    TrackingError
        With the command that upgrades it.
    """
    if not uri.startswith(("sqlite", "postgres")) or is_to_come(uri):
        return
    found = schema_of(uri)
    if found.fault:
        raise TrackingError(f"MLflow at {without_password(uri)}: {found.fault}; {found.remedy}")
