"""The metadata of all measured pictures, kept in SQLite."""

import contextlib
import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from models.images.decoding import DECODING
from tasks.data.measure import (
    MEASURES,
    PictureMetadata,
)
from tasks.data.reason import Reason
from tasks.data.source import Source
from tasks.errors import DataError

#: Seconds between two commits: the work that is lost, at most, if a scan is killed.
COMMIT_SECONDS = 2.0
TABLES = f"""
create table if not exists pictures
    (source text, {", ".join(PictureMetadata._fields)}, primary key (source, path)) without rowid;
create table if not exists profiles (source text primary key, profile text);
"""
#: The position of `PictureMetadata.why` in a row: the only value that SQLite cannot store as it is.
WHY = PictureMetadata._fields.index("why")


class MetadataStore:
    """The metadata table of all measured pictures, in SQLite.

    It stays consistent if a process is killed, and several studies may use it at the same time.

    Parameters
    ----------
    path : the database's file; created if it is missing.
    locks : the folder of locks.
    """

    def __init__(self, path: Path, locks: Path) -> None:
        self.path, self.locks = path, locks

    @contextlib.contextmanager
    def locked(self, source: Source) -> Iterator[None]:
        """Lock a source against other scans, which would read every picture a second time."""
        self.locks.mkdir(parents=True, exist_ok=True)
        with FileLock(self.locks / f"images-{short_name(source)}.lock", thread_local=False):
            yield

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=60)) as connection:
                connection.executescript(TABLES)
                yield connection
        except sqlite3.Error as error:
            raise DataError(
                f"metadata {self.path}: {error}; free disk space, or, if the file is damaged, "
                "delete it: it is written again"
            ) from error

    def known(self, source: Source) -> dict[str, PictureMetadata]:
        """Return the metadata of a source's pictures, by path."""
        fields = ", ".join(PictureMetadata._fields)
        query = f"select {fields} from pictures where source = ?"  # noqa: S608 # our own names
        with self._open() as connection:
            rows = connection.execute(query, [_key(source.key)])
            return {row[0]: _from_database(row) for row in rows if _is_current(row)}

    def knows(self, key: str) -> bool:
        """Whether the source of this key, see `tasks.data.source.Source`, was scanned before."""
        query = "select 1 from pictures where source = ? limit 1"
        with self._open() as connection:
            return connection.execute(query, [_key(key)]).fetchone() is not None

    def forget(self, source: Source, paths: Iterable[str]) -> None:
        """Remove the metadata of some of a source's pictures."""
        key = _key(source.key)
        with self._open() as connection, connection:
            connection.executemany(
                "delete from pictures where source = ? and path = ?",
                [(key, path) for path in paths],
            )

    @contextlib.contextmanager
    def writing(self, source: Source) -> Iterator[Callable[[Sequence[PictureMetadata]], None]]:
        """Yield a function that stores rows; it commits every few seconds and at the end."""
        marks, key = ", ".join("?" * (len(PictureMetadata._fields) + 1)), _key(source.key)
        with self._open() as connection:
            last_commit = time.monotonic()

            def store(rows: Sequence[PictureMetadata]) -> None:
                nonlocal last_commit
                connection.executemany(
                    f"insert or replace into pictures values ({marks})",  # noqa: S608 # question marks
                    [(key, *_for_database(row)) for row in rows],
                )
                if time.monotonic() - last_commit > COMMIT_SECONDS:
                    connection.commit()
                    last_commit = time.monotonic()

            try:
                yield store
            finally:
                connection.commit()

    def profile(self, source: Source) -> dict[str, Any] | None:
        """Return the profile of the source's last accepted version; None if there is none."""
        with self._open() as connection:
            found = connection.execute(
                "select profile from profiles where source = ?", [_key(source.key)]
            ).fetchone()
        return json.loads(found[0]) if found else None

    def accept(self, source: Source, profile: dict[str, Any]) -> None:
        """Store a profile as that of the source's last accepted version."""
        with self._open() as connection, connection:
            connection.execute(
                "insert or replace into profiles values (?, ?)",
                [_key(source.key), json.dumps(profile)],
            )


def _for_database(row: PictureMetadata) -> tuple[Any, ...]:
    return row if row.why is None else row._replace(why=json.dumps(row.why.as_json()))  # type: ignore[arg-type] # as text


def _from_database(row: tuple[Any, ...]) -> PictureMetadata:
    metadata = PictureMetadata(*row)
    why = Reason.from_json(json.loads(row[WHY])) if row[WHY] else None
    return metadata._replace(why=why)


def _is_current(row: tuple[Any, ...]) -> bool:
    """Whether a reason was stored as data; earlier versions stored a sentence."""
    return not row[WHY] or row[WHY].startswith("{")


def short_name(source: Source) -> str:
    """Return a short name of a source, for the names of files."""
    return _short_digest(source.key)


def _short_digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _key(key: str) -> str:
    """Return the key of a source's rows; it changes with the code that decodes and measures."""
    return f"{_short_digest(key)}-{MEASURES}.{DECODING}"
