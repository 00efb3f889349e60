"""Scanning a source: new and changed pictures are measured, the others are looked up."""

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pandas as pd

from models.images.arrays import ArraysWriter
from models.images.split import content_digest
from tasks.data.measure import (
    MeasuredPicture,
    MeasureJob,
    PictureMetadata,
    ReaderPool,
)
from tasks.data.metadata_store import MetadataStore
from tasks.data.on_progress import OnProgress
from tasks.data.reason import Reason, reason_as_text
from tasks.data.source import Entry, Source
from tasks.errors import UnreadableError

#: Known pictures that are read again in every scan, to check that stamps report changes.
SPOT_CHECKS = 32


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
