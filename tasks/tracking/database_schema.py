"""The schema of MLflow's database: another version is reported, and never changed unasked.

If one of MLflow's tables is missing, MLflow itself upgrades an older database without a message
and without a backup. It asks first only if no table is missing.
"""

import importlib.metadata
import os
from dataclasses import dataclass

from tasks.errors import TrackingError
from tasks.redaction import without_password
from tasks.tracking.local_database import is_missing, sqlite_file


@dataclass(frozen=True)
class DatabaseSchema:
    """Whether the installed MLflow can use a database.

    Attributes
    ----------
    revision : of the database's schema; empty if it has no schema yet.
    fault : why the database cannot be used as it is; empty if it can.
    remedy : what to do then.
    """

    revision: str
    fault: str = ""
    remedy: str = ""


def refuse_read_only(uri: str) -> None:
    """Stop if an SQLite file cannot be written, which MLflow reports with a traceback.

    Raises
    ------
    TrackingError
        If the file exists and the user must not write it, or its disk is read-only.
    """
    file = sqlite_file(uri)
    if file is not None and not is_missing(uri) and not os.access(file, os.W_OK):
        raise TrackingError(
            f"MLflow at {uri}: the file is read-only; make it writable, or set "
            "FACTORGRID_HOME or MLFLOW_TRACKING_URI to another place"
        )


def read_schema(uri: str) -> DatabaseSchema:
    """Compare a database's schema with that of the installed MLflow; nothing is changed.

    Raises
    ------
    Exception
        Whatever the database's driver raises if it cannot be reached.
    """
    import sqlalchemy
    from mlflow.store.db.utils import _get_latest_schema_revision, _get_schema_version

    engine = sqlalchemy.create_engine(uri)
    try:
        revision, latest = _get_schema_version(engine), _get_latest_schema_revision()
        if revision is None:
            return DatabaseSchema("")
        if revision == latest or _is_incomplete(engine):
            return DatabaseSchema(revision)
    finally:
        engine.dispose()
    version = importlib.metadata.version("mlflow")
    if not _is_known(revision):
        fault = f"schema {revision} of a newer MLflow than {version}, which is installed"
        return DatabaseSchema(revision, fault, "install that MLflow, or name another database")
    fault = f"schema {revision} of an older MLflow; MLflow {version} needs {latest}"
    remedy = f"back it up, then: mlflow db upgrade {without_password(uri)}"
    return DatabaseSchema(revision, fault, remedy)


def _is_incomplete(engine: object) -> bool:
    """Whether the creation of the database was cut off, which MLflow then continues.

    Its last step creates MLflow's first experiment.
    """
    import sqlalchemy

    with engine.connect() as connection:  # type: ignore[attr-defined] # SQLAlchemy is imported late
        found = connection.execute(sqlalchemy.text("SELECT 1 FROM experiments LIMIT 1"))
        return found.first() is None


def _is_known(revision: str) -> bool:
    """Whether the installed MLflow knows a revision, and so can upgrade from it."""
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    scripts = ScriptDirectory.from_config(_get_alembic_config(db_url=""))
    return revision in {script.revision for script in scripts.walk_revisions()}


def refuse_other_schema(uri: str) -> None:
    """Stop before MLflow opens a database of another version; servers check their own database.

    Raises
    ------
    TrackingError
        If the schema is of another version; the message has the command that upgrades it.
    """
    if not uri.startswith(("sqlite", "postgres")) or is_missing(uri):
        return
    schema = read_schema(uri)
    if schema.fault:
        raise TrackingError(f"MLflow at {without_password(uri)}: {schema.fault}; {schema.remedy}")
