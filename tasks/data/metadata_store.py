"""What is known of pictures, kept between passes: only new and changed files are read again."""

import contextlib
import hashlib
import json
import random
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from models.images.arrays import ArraysWriter
from models.images.decoding import DECODING
from models.images.split import digest_of
from tasks.data.measure import MEASURES, MeasuredPicture, MeasureJob, PictureRow, Readers
from tasks.data.object_store import OnProgress
from tasks.data.source import Entry, Source
from tasks.errors import DataError, UnreadableError

#: Seconds between two commits: what a killed pass loses.
COMMIT_SECONDS = 2.0
#: Known pictures that are read again in every pass, to see whether what is known still holds.
SPOT_CHECKS = 32
TABLES = f"""
create table if not exists pictures
    (source text, {", ".join(PictureRow._fields)}, primary key (source, path)) without rowid;
create table if not exists profiles (source text primary key, profile text);
"""


@dataclass(frozen=True)
class Staged:
    """A picture whose pixels are in the cache in the making: its row there, and their CRC-32."""

    row: int
    check: int


@dataclass(frozen=True)
class Scan:
    """What one pass over a source found.

    Attributes
    ----------
    table : a row a picture: `PictureRow`'s fields and ``label`` (missing where unknown).
    staged : content digest -> its pixels, where the pass wrote them.
    read : how many pictures were read; the others were known.
    """

    table: pd.DataFrame
    staged: dict[str, Staged] = field(default_factory=dict)
    read: int = 0


class Metadata:
    """The table of every picture ever measured, in SQLite; safe against kills and other studies.

    Parameters
    ----------
    path : the database's file; created where it is missing.
    locks : the folder of locks.
    """

    def __init__(self, path: Path, locks: Path) -> None:
        self.path, self.locks = path, locks

    @contextlib.contextmanager
    def locked(self, source: Source) -> Iterator[None]:
        """Hold a source against other passes over it: they would read every picture twice."""
        self.locks.mkdir(parents=True, exist_ok=True)
        with FileLock(self.locks / f"images-{owner_of(source)}.lock", thread_local=False):
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
                f"metadata {self.path}: {error}; free disk space, or delete the file where it is "
                "damaged: it is written again"
            ) from error

    def known(self, source: Source) -> dict[str, PictureRow]:
        """Return the rows of a source, by path."""
        query = f"select {', '.join(PictureRow._fields)} from pictures where source = ?"  # noqa: S608 # our own names
        with self._open() as connection:
            rows = connection.execute(query, [_key(source.key)])
            return {row[0]: PictureRow(*row) for row in rows}

    def knows(self, key: str) -> bool:
        """Whether a pass has been over the source of this key, see `tasks.data.source.Source`."""
        query = "select 1 from pictures where source = ? limit 1"
        with self._open() as connection:
            return connection.execute(query, [_key(key)]).fetchone() is not None

    def forget(self, source: Source, paths: Iterable[str]) -> None:
        """Remove rows of a source."""
        key = _key(source.key)
        with self._open() as connection, connection:
            connection.executemany(
                "delete from pictures where source = ? and path = ?",
                [(key, path) for path in paths],
            )

    @contextlib.contextmanager
    def remembering(self, source: Source) -> Iterator[Callable[[Sequence[PictureRow]], None]]:
        """Yield what takes rows; they are committed every few seconds, and at the end."""
        marks, key = ", ".join("?" * (len(PictureRow._fields) + 1)), _key(source.key)
        with self._open() as connection:
            last = time.monotonic()

            def remember(rows: Sequence[PictureRow]) -> None:
                nonlocal last
                connection.executemany(
                    f"insert or replace into pictures values ({marks})",  # noqa: S608 # question marks
                    [(key, *row) for row in rows],
                )
                if time.monotonic() - last > COMMIT_SECONDS:
                    connection.commit()
                    last = time.monotonic()

            try:
                yield remember
            finally:
                connection.commit()

    def profile(self, source: Source) -> dict[str, Any] | None:
        """Return the profile of the source's last accepted version; None where there is none."""
        with self._open() as connection:
            found = connection.execute(
                "select profile from profiles where source = ?", [_key(source.key)]
            ).fetchone()
        return json.loads(found[0]) if found else None

    def accept(self, source: Source, profile: dict[str, Any]) -> None:
        """Keep a profile as that of the last accepted version."""
        with self._open() as connection, connection:
            connection.execute(
                "insert or replace into profiles values (?, ?)",
                [_key(source.key), json.dumps(profile)],
            )


def owner_of(source: Source) -> str:
    """Return a short name of a source, for files."""
    return _short(source.key)


def _short(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _key(key: str) -> str:
    """Return what a source's rows are kept under: other code measures anew."""
    return f"{_short(key)}-{MEASURES}.{DECODING}"


def scan(
    source: Source,
    store: Metadata,
    *,
    writer: Callable[[int], ArraysWriter] | None = None,
    progress: OnProgress | None = None,
    readers: Readers | None = None,
) -> tuple[Scan, ArraysWriter | None]:
    """Measure a source's pictures, those that are known already only by name and stamp.

    Parameters
    ----------
    source : the pictures.
    store : what is known.
    writer : given how many pictures are read, opens the cache that their pixels go to.
    progress : told what is done, how much, of how many.
    readers : processes that stay; of its own, which end, unless given.

    Returns
    -------
    The pass, and the cache in the making where there is one.

    Raises
    ------
    DataError
        If a process was killed, or what is known cannot be read or written.
    OSError
        If pixels cannot be written.
    """
    known = _still_true(source, store)
    new = [e for e in source.entries if not _is_known(e, known)]
    store.forget(source, known.keys() - {entry.path for entry in source.entries})
    cache = writer(len(new)) if writer and new else None
    try:
        jobs = [MeasureJob(entry, row if cache else -1) for row, entry in enumerate(new)]
        with contextlib.nullcontext(readers) if readers else Readers() as ours:
            results = ours.measure(source.reader, cache.slots if cache else None, jobs)
            rows, staged = _collect(source, store, results, len(jobs), progress)
    except BaseException:
        if cache:
            cache.discard()
        raise
    return Scan(_table(source, known | rows), staged, len(new)), cache


def _is_known(entry: Entry, known: dict[str, PictureRow]) -> bool:
    row = known.get(entry.path)
    return row is not None and row.stamp == entry.stamp and not entry.fault


def _still_true(source: Source, store: Metadata) -> dict[str, PictureRow]:
    """Return what is known, unless a spot check shows that stamps do not tell of changes here."""
    known = store.known(source)
    candidates = [entry for entry in source.entries if _is_known(entry, known)]
    chance = random.Random()  # other ones in every pass, and no secret
    for entry in chance.sample(candidates, min(SPOT_CHECKS, len(candidates))):
        try:
            same = digest_of(source.reader.read(entry)) == known[entry.path].digest
        except UnreadableError:
            continue  # it changes at this moment, and says so when it is read
        if not same:
            store.forget(source, known)
            return {}
    return known


def _collect(
    source: Source,
    store: Metadata,
    results: Iterator[list[MeasuredPicture]],
    total: int,
    progress: OnProgress | None,
) -> tuple[dict[str, PictureRow], dict[str, Staged]]:
    """Keep rows as they come. What could not be read is not remembered: it is tried again."""
    rows: dict[str, PictureRow] = {}
    staged: dict[str, Staged] = {}
    with contextlib.closing(results), store.remembering(source) as remember:  # type: ignore[type-var] # a generator
        for batch in results:
            remember([done.measured for done in batch if done.measured.digest])
            for done in batch:
                rows[done.measured.path] = done.measured
                if done.check is not None:
                    staged[done.measured.digest] = Staged(done.row, done.check)
            if progress is not None:
                progress("checking pictures", len(rows), total)
    return rows, staged


def _table(source: Source, rows: dict[str, PictureRow]) -> pd.DataFrame:
    columns = zip(*(rows[entry.path] for entry in source.entries), strict=True)
    # Objects, not pandas's own text: it is gone through in Python, again and again.
    table = pd.DataFrame(
        {k: pd.Series(v, dtype=object) for k, v in zip(PictureRow._fields, columns, strict=True)}
    )
    numbers = ("width", "height", "orientation", "brightness", "contrast")
    table = table.astype({"bytes": int, "decodable": bool, **dict.fromkeys(numbers, float)})
    sides = table[["width", "height"]]
    table["aspect"] = sides.max(axis=1) / sides.min(axis=1)
    return table.assign(label=pd.Series([e.label for e in source.entries], dtype=object))
