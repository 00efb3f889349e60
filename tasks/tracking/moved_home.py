"""A home that was moved or copied: the addresses in MLflow's database follow it.

MLflow stores the absolute address of every experiment, run and model. After a move they would lead
nowhere. After a copy they would lead to the files of the original, which a `prune` of the copy
would delete.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from filelock import FileLock, Timeout

from tasks.errors import TrackingError
from tasks.settings import Settings
from tasks.tracking.artifact_paths import as_path_name
from tasks.tracking.local_database import sqlite_file

#: The columns of MLflow's tables that have addresses of artifacts.
COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)


def follow_moved_home(settings: Settings, database: str) -> list[Path]:
    """Correct the addresses of artifacts that moved with their home; return where they were.

    Only a database in the home itself is changed: if it is elsewhere, its artifacts may be, too.
    Call it while no other process of this home opens the database.

    Parameters
    ----------
    settings : the home, as it is now.
    database : the address of MLflow's database.

    Raises
    ------
    TrackingError
        If the home is used under its old path at this moment, or the database is read-only.
    """
    import sqlalchemy

    file = sqlite_file(database)
    if file is None or not file.exists() or not file.parent.samefile(settings.home):
        return []
    engine = sqlalchemy.create_engine(database)
    try:
        with engine.connect() as connection:
            tables = set(sqlalchemy.inspect(connection).get_table_names())
            columns = [(table, column) for table, column in COLUMNS if table in tables]
            old = _old_folders(connection, settings) if "experiments" in tables else {}
            if not old:
                return []
            if not os.access(file, os.W_OK) or not os.access(settings.home, os.W_OK):
                raise TrackingError(
                    f"{settings.home}: was moved from {_home(old)} and is read-only, so that the "
                    f"addresses in its {file.name} cannot be corrected; make it writable, or copy "
                    "it to a folder that is"
                )
            _refuse_if_in_use(settings, old)
            for table, column in columns:
                for prefix in old:
                    _replace(connection, table, column, prefix, settings.artifacts)
            connection.commit()
    finally:
        engine.dispose()
    return sorted(set(old.values()))


def _old_folders(connection: Any, settings: Settings) -> dict[str, Path]:
    """Return the folders of artifacts before the move, by their addresses in the database.

    The folder of an experiment has the experiment's name or number and is in the folder of
    artifacts. It has moved if it is in this home now, or no longer where it was.
    """
    import sqlalchemy

    rows = connection.execute(
        sqlalchemy.text("SELECT experiment_id, name, artifact_location FROM experiments")
    )
    found = {}
    for number, name, address in rows:
        folder = _local_path(address or "")
        if folder is None or folder.name not in (as_path_name(name), str(number)):
            continue
        old, here = folder.parent, settings.artifacts / folder.name
        has_moved = here.exists() or not folder.exists()
        if old.name == settings.artifacts.name and has_moved and not _is_same(old, here.parent):
            found[address.rstrip("/").rpartition("/")[0]] = old
    return found


def _local_path(address: str) -> Path | None:
    if address.startswith("/"):
        return Path(address)
    parts = urlsplit(address)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one folder, for example by a symbolic link."""
    return one == other or (one.exists() and other.exists() and one.samefile(other))


def _refuse_if_in_use(settings: Settings, old: dict[str, Path]) -> None:
    """Raise TrackingError if a study runs: a container may know this home by another path."""
    for file in settings.locks.glob("run-*.lock"):
        try:
            with FileLock(file, timeout=0):
                continue
        except Timeout:
            raise TrackingError(
                f"{settings.home}: a study runs on it under the path {_home(old)}; wait until it "
                "has ended, or use that path"
            ) from None


def _home(old: dict[str, Path]) -> Path:
    """Return the home before the move, for messages."""
    return next(iter(old.values())).parent


def _replace(connection: Any, table: str, column: str, prefix: str, artifacts: Path) -> None:
    import sqlalchemy

    new = artifacts.as_uri() if prefix.startswith("file:") else str(artifacts)
    statement = (
        f"UPDATE {table} SET {column} = :new || substr({column}, :length + 1) "  # noqa: S608 # our own names
        f"WHERE substr({column}, 1, :length + 1) = :prefix || '/'"
    )
    values = {"new": new, "prefix": prefix, "length": len(prefix)}
    connection.execute(sqlalchemy.text(statement), values)
