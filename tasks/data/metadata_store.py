"""The metadata of all pictures, kept in SQLite: only new and changed files are read again."""

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
from models.images.split import content_digest
from tasks.data.measure import (
    MEASURES,
    MeasuredPicture,
    MeasureJob,
    PictureMetadata,
    ReaderPool,
)
from tasks.data.on_progress import OnProgress
from tasks.data.reason import Reason, reason_as_text
from tasks.data.source import Entry, Source
from tasks.errors import DataError, UnreadableError

#: Seconds between two commits: at most so much work is lost if a scan is killed.
COMMIT_SECONDS = 2.0
#: Known pictures that are read again in every scan, to check that stamps report changes.
SPOT_CHECKS = 32
TABLES = f"""
create table if not exists pictures
    (source text, {", ".join(PictureMetadata._fields)}, primary key (source, path)) without rowid;
create table if not exists profiles (source text primary key, profile text);
"""
#: The position of `PictureMetadata.why` in a row: the only value that SQLite cannot store as it is.
WHY = PictureMetadata._fields.index("why")


@dataclass(frozen=True)
class WrittenPixels:
    """The pixels of one picture in a cache that is being written.

    Attributes
    ----------
    row : the row of the cache.
    check : the CRC-32 of the pixels.
    """

    row: int
    check: int


@dataclass(frozen=True)
class Scan:
    """The result of one scan of a source.

    Attributes
    ----------
    table : one row per picture: the fields of `PictureMetadata`, with ``why`` as English text, and
        ``label`` (missing if unknown).
    unreadable : file -> why it cannot be read or decoded.
    written : content digest -> its pixels, if the scan wrote them to a cache.
    read : number of pictures read; the others were known.
    """

    table: pd.DataFrame
    unreadable: dict[str, Reason] = field(default_factory=dict)
    written: dict[str, WrittenPixels] = field(default_factory=dict)
    read: int = 0


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


def scan(
    source: Source,
    store: MetadataStore,
    *,
    writer: Callable[[int], ArraysWriter] | None = None,
    progress: OnProgress | None = None,
    readers: ReaderPool | None = None,
) -> tuple[Scan, ArraysWriter | None]:
    """Measure the new and changed pictures of a source, and look up the others.

    Parameters
    ----------
    source : the pictures.
    store : the metadata of known pictures.
    writer : opens a cache for a number of pictures; the pixels of the pictures read go there.
    progress : called with the number of pictures read.
    readers : the processes to use; if not given, some are started and ended here.

    Returns
    -------
    The result, and the unfinished cache if there is one.

    Raises
    ------
    DataError
        If a process was killed, or the store cannot be read or written.
    OSError
        If pixels cannot be written.
    """
    known = _known_and_unchanged(source, store)
    new = [e for e in source.entries if not _is_known(e, known)]
    store.forget(source, known.keys() - {entry.path for entry in source.entries})
    cache = writer(len(new)) if writer and new else None
    try:
        jobs = [MeasureJob(entry, row if cache else -1) for row, entry in enumerate(new)]
        with contextlib.nullcontext(readers) if readers else ReaderPool() as pool:
            results = pool.measure(source.reader, cache.layout if cache else None, jobs)
            rows, written = _collect(source, store, results, len(jobs), progress)
    except BaseException:
        if cache:
            cache.discard()
        raise
    rows = known | rows
    unreadable = {
        entry.path: why for entry in source.entries if (why := rows[entry.path].why) is not None
    }
    return Scan(_table(source, rows), unreadable, written, len(new)), cache


def _is_known(entry: Entry, known: dict[str, PictureMetadata]) -> bool:
    row = known.get(entry.path)
    return row is not None and row.stamp == entry.stamp and not entry.fault


def _known_and_unchanged(source: Source, store: MetadataStore) -> dict[str, PictureMetadata]:
    """Return the known metadata; none if a spot check finds a change that no stamp reports."""
    known = store.known(source)
    candidates = [entry for entry in source.entries if _is_known(entry, known)]
    rng = random.Random()  # other pictures in every scan; not a secret
    for entry in rng.sample(candidates, min(SPOT_CHECKS, len(candidates))):
        try:
            same = content_digest(source.reader.read(entry)) == known[entry.path].digest
        except UnreadableError:
            continue  # it is changing now: reading it later reports that
        if not same:
            store.forget(source, known)
            return {}
    return known


def _collect(
    source: Source,
    store: MetadataStore,
    results: Iterator[list[MeasuredPicture]],
    total: int,
    progress: OnProgress | None,
) -> tuple[dict[str, PictureMetadata], dict[str, WrittenPixels]]:
    """Store rows as they come. A file that could not be read is not stored: it is tried again."""
    rows: dict[str, PictureMetadata] = {}
    written: dict[str, WrittenPixels] = {}
    with contextlib.closing(results), store.writing(source) as store_rows:  # type: ignore[type-var] # a generator
        for batch in results:
            store_rows([done.metadata for done in batch if done.metadata.digest])
            for done in batch:
                rows[done.metadata.path] = done.metadata
                if done.check is not None:
                    written[done.metadata.digest] = WrittenPixels(done.row, done.check)
            if progress is not None:
                progress("checking pictures", len(rows), total)
    return rows, written


def _table(source: Source, rows: dict[str, PictureMetadata]) -> pd.DataFrame:
    columns = zip(*(rows[entry.path] for entry in source.entries), strict=True)
    # dtype object and not pandas's text type: Python code reads these columns again and again.
    table = pd.DataFrame(
        {
            name: pd.Series(values, dtype=object)
            for name, values in zip(PictureMetadata._fields, columns, strict=True)
        }
    )
    table["why"] = pd.Series([reason_as_text(r) if r else "" for r in table["why"]], dtype=object)
    numbers = ("width", "height", "orientation", "brightness", "contrast")
    table = table.astype({"bytes": int, "decodable": bool, **dict.fromkeys(numbers, float)})
    sides = table[["width", "height"]]
    table["aspect"] = sides.max(axis=1) / sides.min(axis=1)
    return table.assign(label=pd.Series([e.label for e in source.entries], dtype=object))
