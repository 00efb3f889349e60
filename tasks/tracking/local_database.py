"""MLflow's SQLite database is made whole or not at all.

MLflow creates about 60 tables in many transactions. If this is interrupted, by a kill or a full
disk, the next start stops with "table already exists", for ever.
"""

import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

#: SQLite's files beside the database.
COMPANIONS = ("-journal", "-wal", "-shm")


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite address; None for other addresses."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def is_missing(uri: str) -> bool:
    """Whether an address names an SQLite database that does not exist, or was only begun."""
    file = sqlite_file(uri)
    return file is not None and (not file.exists() or is_unfinished(file))


def is_unfinished(file: Path) -> bool:
    """Whether MLflow's creation of a database was interrupted, so that there is nothing in it.

    The last step of the creation is MLflow's first experiment, which is never removed.
    """
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=rw", uri=True)) as connection:
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = {name for (name,) in rows}
            if "experiments" in tables:
                return connection.execute("SELECT 1 FROM experiments").fetchone() is None
    except sqlite3.Error:
        return False  # damaged, locked, or no database: MLflow says what is wrong
    return tables <= _mlflow_tables()


def make_database(uri: str) -> None:
    """Make an SQLite database that is missing or was only begun; change no other one.

    It is made under another name, and renamed. Call it while no other process opens it.

    Raises
    ------
    MlflowException, OSError, SQLAlchemyError
        If it cannot be made; nothing is left under its name then.
    """
    from mlflow import MlflowClient

    file = sqlite_file(uri)
    if file is None or not is_missing(uri):
        return
    for leftover in file.parent.glob(f"{file.name}.*.new*"):
        leftover.unlink()
    # MLflow keeps a connection for each name that it opened, so a name is used once.
    new = file.with_name(f"{file.name}.{uuid.uuid4().hex[:8]}.new")
    address = f"sqlite:///{new}"
    MlflowClient(address, registry_uri=address).search_experiments(max_results=1)
    for companion in COMPANIONS:
        Path(f"{file}{companion}").unlink(missing_ok=True)
    new.replace(file)


def _mlflow_tables() -> set[str]:
    """Return the names of MLflow's tables."""
    from mlflow.store.model_registry.dbmodels import models as registry
    from mlflow.store.tracking.dbmodels import models as tracking

    known = {*tracking.Base.metadata.tables, *registry.Base.metadata.tables}
    return {*known, "alembic_version"}
