"""The cache of decoded pictures of a dataset version: written once, checked before it is used."""

import errno
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from models.errors import ArraysError
from models.images.array_file import checksum
from models.images.arrays import ArraysWriter, ImageArrays, open_arrays, verify
from tasks.data.measure import MeasureJob, ReaderPool
from tasks.data.on_progress import OnProgress
from tasks.data.scan import WrittenPixels
from tasks.data.source import Entry, Source
from tasks.errors import DataError

#: The errors of a disk that is full, over a quota or a limit, or that may not be written.
DISK_ERRORS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
}


@dataclass(frozen=True)
class DatasetVersion:
    """The pictures of a dataset version.

    Attributes
    ----------
    version : a digest of what follows.
    rows : columns ``path``, ``label``, ``digest``: N pictures.
    sides : N indices into `models.images.split.SIDES`.
    """

    version: str
    rows: pd.DataFrame
    sides: Sequence[int]


def is_complete(folder: Path) -> bool:
    """Whether a cache is there and `verify` finds no damage; a damaged cache is removed."""
    if not folder.exists():
        return False
    try:
        verify(open_arrays(folder), folder, np.random.default_rng())
    except ArraysError:
        _remove_damaged(folder)
        return False
    return True


def _remove_damaged(folder: Path) -> None:
    """Remove a damaged cache; processes that have it open keep their mapping."""
    renamed = folder.with_name(f".partial-damaged-{folder.name}")
    folder.rename(renamed)
    shutil.rmtree(renamed)


class CacheFiller:
    """Fills a new cache: which picture is in which row, with which CRC-32.

    Pixels that the scan wrote stay in their rows, if these are within the final length. Other
    pixels go to the free rows: moved there, copied from another version's cache, or decoded.

    Parameters
    ----------
    target : the new cache, with the pixels that the scan wrote.
    digests : the content digests of its pictures.
    """

    def __init__(self, target: ArraysWriter, digests: Sequence[str]) -> None:
        self.target, self.digests = target, digests
        self.placed: dict[str, WrittenPixels] = {}
        self._free_rows: Iterator[int] = iter(())
        target.make_room(max(target.rows, len(digests)))

    @property
    def missing(self) -> list[str]:
        """The digests of the pictures that are not in the cache yet."""
        return [digest for digest in self.digests if digest not in self.placed]

    def keep_written(self, written: Mapping[str, WrittenPixels]) -> None:
        """Keep the pixels that the scan wrote, and move those beyond the final length."""
        n = len(self.digests)
        wanted = {d: written[d] for d in self.digests if d in written}
        self.placed = {d: pixels for d, pixels in wanted.items() if pixels.row < n}
        taken = {pixels.row for pixels in self.placed.values()}
        self._free_rows = (row for row in range(n) if row not in taken)
        for digest, pixels in wanted.items():
            if pixels.row >= n:
                self.write(digest, self.target.read(pixels.row), pixels.check)

    def write(self, digest: str, data: bytes, check: int) -> None:
        """Write a picture's pixels to a free row."""
        row = next(self._free_rows)
        self.target.write(row, data)
        self.placed[digest] = WrittenPixels(row, check)

    def copy_from(self, other: ImageArrays) -> None:
        """Copy the missing pictures that another cache of this size has undamaged."""
        rows = {digest: row for row, digest in enumerate(other.digests)}
        for digest in self.missing:
            if digest in rows:
                data = other.images[rows[digest]].tobytes()
                if checksum(data) == other.checks[rows[digest]]:
                    self.write(digest, data, int(other.checks[rows[digest]]))

    def decode_missing(
        self,
        source: Source,
        entries: Mapping[str, Entry],
        readers: ReaderPool,
        progress: OnProgress | None,
    ) -> None:
        """Decode the pictures that are still missing; each must still have its content digest."""
        expected = {next(self._free_rows): digest for digest in self.missing}
        jobs = [MeasureJob(entries[digest], row) for row, digest in expected.items()]
        total = len(jobs)
        for batch in readers.measure(source.reader, self.target.layout, jobs):
            for metadata, row, check in batch:
                if check is None or metadata.digest != expected[row]:
                    raise DataError(
                        f"{source.description}: {metadata.path} has changed since it was checked; "
                        "run the command again when nothing writes there"
                    )
                self.placed[metadata.digest] = WrittenPixels(row, check)
            if progress is not None:
                done = len(self.placed) - len(self.digests) + total
                progress("decoding pictures", done, total)

    def finish(self) -> tuple[list[int], list[int]]:
        """Release unused space; return the picture (index of `digests`) and CRC-32 of each row."""
        self.target.make_room(len(self.digests))
        rows = [self.placed[digest].row for digest in self.digests]
        order = [int(i) for i in np.argsort(rows)]
        return order, [self.placed[self.digests[i]].check for i in order]


def write_cache(
    target: ArraysWriter,
    folder: Path,
    source: Source,
    dataset: DatasetVersion,
    written: Mapping[str, WrittenPixels],
    readers: ReaderPool,
    progress: OnProgress | None,
) -> None:
    """Fill a new cache with the pictures of a dataset version, and give it its final name.

    Parameters
    ----------
    target : the new cache, with the pixels that the scan wrote.
    folder : the final name, ``VERSION-SIZE``.
    source : where the pictures are read that no other cache has.
    dataset : the pictures.
    written : content digest -> the pixels that the scan wrote.
    readers : the processes that read pictures.
    progress : called with the number of pictures decoded.

    Raises
    ------
    DataError
        If a picture has changed since it was checked.
    OSError
        If pixels cannot be written, for example because the disk is full.
    """
    rows = dataset.rows
    filler = CacheFiller(target, list(rows["digest"]))
    filler.keep_written(written)
    for other in _other_caches(folder):
        if not filler.missing:
            break
        filler.copy_from(other)
    by_path = {entry.path: entry for entry in source.entries}
    entries = {d: by_path[p] for d, p in zip(rows["digest"], rows["path"], strict=True)}
    filler.decode_missing(source, entries, readers, progress)
    order, checks = filler.finish()
    classes = sorted(set(rows["label"]))
    labels, names, digests = (rows[key].tolist() for key in ("label", "path", "digest"))
    table = {
        "labels": [classes.index(labels[i]) for i in order],
        "sides": [dataset.sides[i] for i in order],
        "names": [names[i] for i in order],
        "digests": [digests[i] for i in order],
        "checks": checks,
    }
    target.publish(folder, table, {"classes": classes, "version": dataset.version})


def _other_caches(folder: Path) -> Iterator[ImageArrays]:
    """Yield the other caches of the same image size, newest first."""
    size = folder.name.rpartition("-")[2]
    others = [f for f in folder.parent.glob(f"[!.]*-{size}") if f != folder]
    for other in sorted(others, key=lambda f: f.stat().st_mtime, reverse=True):
        try:
            yield open_arrays(other)
        except ArraysError:
            continue


@contextmanager
def explain_disk_errors(cache: Path) -> Iterator[None]:
    """Turn the error of a disk that is full or not writable into one line for the user."""
    try:
        yield
    except OSError as error:
        is_elsewhere = error.filename and not Path(error.filename).is_relative_to(cache)
        if error.errno not in DISK_ERRORS or is_elsewhere:
            raise
        existing = next(f for f in (cache, *cache.parents) if f.exists())
        free = shutil.disk_usage(existing).free / 1e6
        raise DataError(
            f"cache {cache}: {error.strerror}; {free:,.0f} MB are free; free some, clear old "
            "caches with `factorgrid cache --clear`, or set FACTORGRID_HOME to a folder on "
            "another disk"
        ) from error
