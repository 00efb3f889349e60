"""The cache of decoded pictures: filled from what is at hand, shown, and cleared."""

import errno
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from models.errors import ArraysError
from models.images.array_file import checksum
from models.images.arrays import ArraysWriter, ImageArrays, open_arrays, verify
from tasks.data.measure import MeasureJob, Readers
from tasks.data.metadata_store import Staged
from tasks.data.object_store import OnProgress
from tasks.data.source import Entry, Source
from tasks.errors import DataError

#: What a disk says that is full, over a quota or a limit, or may not be written.
DISK_ERRORS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
}


def is_whole(folder: Path) -> bool:
    """Whether a cache is there and undamaged, as `verify` sees it; a damaged one is removed."""
    if not folder.exists():
        return False
    try:
        verify(open_arrays(folder), folder, np.random.default_rng())
    except ArraysError:
        _set_aside(folder)
        return False
    return True


def _set_aside(folder: Path) -> None:
    """Remove a damaged cache; who has it open keeps what it has."""
    aside = folder.with_name(f".partial-damaged-{folder.name}")
    folder.rename(aside)
    shutil.rmtree(aside)


class CacheFiller:
    """A cache being filled: which picture is in which row, and with which CRC-32.

    Pixels that the pass over the source wrote stay where they are; the others are moved to the
    rows that are free, copied from another version's cache, or decoded.
    """

    def __init__(self, target: ArraysWriter, digests: Sequence[str]) -> None:
        self.target, self.digests = target, digests
        self.placed: dict[str, Staged] = {}
        self._free: Iterator[int] = iter(())
        target.make_room(max(target.rows, len(digests)))

    @property
    def missing(self) -> list[str]:
        """The digests of the pictures that are not in it yet."""
        return [digest for digest in self.digests if digest not in self.placed]

    def keep(self, staged: Mapping[str, Staged]) -> None:
        """Keep what is there, closing the gaps between."""
        n = len(self.digests)
        there = {d: staged[d] for d in self.digests if d in staged}
        self.placed = {d: s for d, s in there.items() if s.row < n}
        taken = {s.row for s in self.placed.values()}
        self._free = (row for row in range(n) if row not in taken)
        for digest, place in there.items():
            if place.row >= n:
                self.put(digest, self.target.read(place.row), place.check)

    def put(self, digest: str, data: bytes, check: int) -> None:
        """Write a picture's pixels to a free row."""
        row = next(self._free)
        self.target.write(row, data)
        self.placed[digest] = Staged(row, check)

    def take_from(self, donor: ImageArrays) -> None:
        """Copy what another cache of this size has, where it is undamaged."""
        rows = {digest: row for row, digest in enumerate(donor.digests)}
        for digest in self.missing:
            if digest in rows:
                data = donor.images[rows[digest]].tobytes()
                if checksum(data) == donor.checks[rows[digest]]:
                    self.put(digest, data, int(donor.checks[rows[digest]]))

    def decode(
        self,
        source: Source,
        entries: Mapping[str, Entry],
        readers: Readers,
        tell: OnProgress | None,
    ) -> None:
        """Decode what is still missing; each must still be the picture that was judged."""
        expected = {next(self._free): digest for digest in self.missing}
        jobs = [MeasureJob(entries[digest], row) for row, digest in expected.items()]
        total = len(jobs)
        for batch in readers.measure(source.reader, self.target.slots, jobs):
            for measured, row, check in batch:
                if check is None or measured.digest != expected[row]:
                    raise DataError(
                        f"{source.words}: {measured.path} has changed since it was checked; run "
                        "it again once nothing writes there"
                    )
                self.placed[measured.digest] = Staged(row, check)
            if tell is not None:
                tell("decoding pictures", len(self.placed) - len(self.digests) + total, total)

    def finish(self) -> tuple[list[int], list[int]]:
        """Give back unused space; return which picture each row has, and its CRC-32."""
        self.target.make_room(len(self.digests))
        rows = [self.placed[digest].row for digest in self.digests]
        order = [int(i) for i in np.argsort(rows)]
        return order, [self.placed[self.digests[i]].check for i in order]


def write_cache(
    target: ArraysWriter,
    folder: Path,
    source: Source,
    rows: pd.DataFrame,
    sides: Sequence[int],
    staged: Mapping[str, Staged],
    version: str,
    readers: Readers,
    progress: OnProgress | None,
) -> None:
    """Fill a cache with the pictures of a dataset version, and give it its name.

    Parameters
    ----------
    target : the cache in the making, with what the pass over the source wrote.
    folder : its name: ``VERSION-SIZE``.
    source : where pictures are read that no other cache has.
    rows : columns ``path``, ``label``, ``digest``: N pictures.
    sides : (N,) 0 training, 1 validation, 2 test.
    staged : content digest -> where the pass wrote it.
    readers : what reads them.

    Raises
    ------
    DataError
        If a picture has changed since it was checked.
    OSError
        If the disk is full, say.
    """
    filling = CacheFiller(target, list(rows["digest"]))
    filling.keep(staged)
    for donor in _donors(folder):
        if not filling.missing:
            break
        filling.take_from(donor)
    by_path = {entry.path: entry for entry in source.entries}
    entries = {d: by_path[p] for d, p in zip(rows["digest"], rows["path"], strict=True)}
    filling.decode(source, entries, readers, progress)
    order, checks = filling.finish()
    classes = sorted(set(rows["label"]))
    labels, names, digests = (rows[key].tolist() for key in ("label", "path", "digest"))
    table = {
        "labels": [classes.index(labels[i]) for i in order],
        "sides": [sides[i] for i in order],
        "names": [names[i] for i in order],
        "digests": [digests[i] for i in order],
        "checks": checks,
    }
    target.publish(folder, table, {"classes": classes, "version": version})


def _donors(folder: Path) -> Iterator[ImageArrays]:
    """Yield the other caches of a size, newest first."""
    size = folder.name.rpartition("-")[2]
    others = [f for f in folder.parent.glob(f"[!.]*-{size}") if f != folder]
    for other in sorted(others, key=lambda f: f.stat().st_mtime, reverse=True):
        try:
            yield open_arrays(other)
        except ArraysError:
            continue


@contextmanager
def explain_disk_errors(cache: Path) -> Iterator[None]:
    """Turn what a disk says, that is full or may not be written, into a line for the user."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        there = next(f for f in (cache, *cache.parents) if f.exists())
        free = shutil.disk_usage(there).free / 1e6
        raise DataError(
            f"cache {cache}: {error.strerror}; {free:,.0f} MB are free; free some, clear old "
            "caches with `factorgrid cache --clear`, or set FACTORGRID_HOME to a folder on "
            "another disk"
        ) from error
