"""The accepted pictures as arrays: the split by content, and the cache on disk."""

import contextlib
import fcntl
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.errors import ArraysError
from models.images.array_file import (
    Pixels,
    RowsWriter,
    Slots,
    checksum,
    is_large,
    npy_head,
    write_at,
)
from models.images.split import SIDES, digest_of

#: Rows whose checksums are compared whenever a cache is opened; `verify` compares them all.
SPOT_CHECKS = 64
#: Bytes whose checksums are compared before a study: 80,000 pictures of 64 pixels a side.
VERIFIED = 2**30
PARTIAL = ".partial-"


@dataclass(frozen=True)
class ImageArrays:
    """The accepted pictures of a dataset version at one size.

    Attributes
    ----------
    images : uint8 (N, size, size, 3), RGB, read-only and mapped from disk.
    labels : int64 (N,), indices into `classes`.
    sides : uint8 (N,), 0 training, 1 validation, 2 test.
    names : N paths, as they were found.
    classes : names in order.
    version : the dataset version, a digest of what was accepted and how it is split.
    order : int64 (N,), the rows by content digest: equal versions train in equal order, whatever
        the files are called and in whichever order they were written; empty: as they stand.
    checks : uint32 (N,), the CRC-32 of each picture.
    digests : N content digests, hexadecimal, of the files.
    """

    images: Pixels
    labels: NDArray[np.int64]
    sides: NDArray[np.uint8]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    version: str
    order: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    checks: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32), repr=False)
    digests: tuple[str, ...] = field(default=(), repr=False)
    #: Locked as shared while it is open, so that nobody clears a cache that is in use.
    hold: io.BufferedReader | None = field(default=None, repr=False, compare=False)

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        return int(self.images.shape[1])

    def side(self, name: str) -> NDArray[np.intp]:
        """Return the rows of a side (training, validation or test), by content digest."""
        order = self.order if len(self.order) else np.arange(len(self.sides))
        return np.asarray(order[self.sides[order] == SIDES.index(name)], dtype=np.intp)


class ArraysWriter:
    """A cache in the making: it has its final name only once everything is in it.

    Parameters
    ----------
    cache : the folder that holds caches.
    rows : how many pictures there is room for; the disk space is taken at once, so that a disk
        that is too small says so before the work and not after it.
    size : pixels a side.
    owner : marks what a killed writer left, for `sweep`.

    Raises
    ------
    OSError
        If the disk is full or may not be written.
    """

    def __init__(self, cache: Path, rows: int, size: int, owner: str = "") -> None:
        cache.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PARTIAL}{owner}-", dir=cache))
        large = is_large(rows * size * size * 3)
        self.slots = Slots(str(self.folder / "images.npy"), size, large)
        self.rows = 0
        self.file = os.open(self.slots.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            # Held while it is written, and freed when its writer dies.
            fcntl.flock(self.file, fcntl.LOCK_EX)
            self.make_room(rows)
        except BaseException:
            self.discard()
            raise

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing, unless it was published."""
        self.discard()

    def make_room(self, rows: int) -> None:
        """Take disk space for so many rows, or give back what is beyond them."""
        end = self.slots.offset(rows)
        if rows > self.rows:
            try:
                os.posix_fallocate(self.file, 0, end)
            except OSError as error:
                need = f"{rows:,} pictures at {self.slots.size} pixels need {end / 1e6:,.0f} MB"
                raise OSError(error.errno, f"{error.strerror}: {need}", self.slots.path) from error
        os.ftruncate(self.file, end)
        self.rows = rows

    def read(self, row: int) -> bytes:
        """Return the bytes of a row."""
        return os.pread(self.file, self.slots.row_bytes, self.slots.offset(row))

    def write(self, row: int, data: bytes) -> None:
        """Write the bytes of a row."""
        write_at(self.file, data, self.slots.offset(row))

    def publish(self, folder: Path, table: Mapping[str, Sequence[Any]], about: Any) -> None:
        """Give the cache its name, `folder`; where another process was first, its own stays.

        Parameters
        ----------
        folder : beside the partial one.
        table : columns ``labels``, ``sides``, ``checks`` (numbers), ``names``, ``digests`` (text).
        about : ``classes`` and ``version``.
        """
        write_at(self.file, npy_head(self.rows, self.slots.size), 0)
        np.savez(
            self.folder / "rows.npz",
            labels=np.asarray(table["labels"], dtype=np.int64),
            sides=np.asarray(table["sides"], dtype=np.uint8),
            checks=np.asarray(table["checks"], dtype=np.uint32),
            order=np.argsort(np.asarray(table["digests"], dtype=np.str_), kind="stable"),
        )
        text = {name: list(table[name]) for name in ("names", "digests")}
        seal = digest_of((self.folder / "rows.npz").read_bytes())
        content = {**about, **text, "size": self.slots.size, "rows": seal}
        (self.folder / "about.json").write_text(json.dumps(content), encoding="utf-8")
        _rename(self.folder, folder)

    def discard(self) -> None:
        """Remove what is not published."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1
        shutil.rmtree(self.folder, ignore_errors=True)


def _rename(partial: Path, folder: Path) -> None:
    try:
        os.rename(partial, folder)  # noqa: PTH104 # atomic, and fails where the folder has content
    except OSError:
        if not (folder / "about.json").exists():
            raise


def write_arrays(
    folder: Path,
    images: Iterable[Pixels],
    *,
    size: int,
    labels: Sequence[int],
    sides: Sequence[int],
    names: Sequence[str],
    classes: Sequence[str],
    version: str,
    digests: Sequence[str] | None = None,
) -> None:
    """Write the cache of a dataset version from pictures at hand, whole or not at all.

    Parameters
    ----------
    folder : appears only when everything is in it.
    images : N pictures, uint8 (size, size, 3), in order.
    digests : of the pictures' files; of their names where there are no files.

    Raises
    ------
    OSError
        If the disk is full, say; nothing is left then.
    """
    digests = digests or [digest_of(name.encode()) for name in names]
    with ArraysWriter(folder.parent, len(labels), size) as writer:
        with RowsWriter(writer.slots) as rows:
            checks = [rows.put(row, image) for row, image in enumerate(images)]
            rows.flush()
        table = {"labels": labels, "sides": sides, "checks": checks}
        about = {"classes": list(classes), "version": version}
        writer.publish(folder, {**table, "names": names, "digests": digests}, about)


def open_arrays(folder: Path) -> ImageArrays:
    """Map a cache, and compare its length and some of its pictures with their checksums.

    Raises
    ------
    ArraysError
        If it is missing, incomplete or damaged.
    """
    try:
        hold = (folder / "about.json").open("rb")
        fcntl.flock(hold, fcntl.LOCK_SH | fcntl.LOCK_NB)
        arrays = _map(folder, hold)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise ArraysError(
            f"cache {folder}: {error}; delete the folder, it is written again"
        ) from error
    n = len(arrays.images)
    _compare(arrays, folder, np.unique(np.linspace(0, n - 1, min(n, SPOT_CHECKS)).astype(int)))
    return arrays


def _map(folder: Path, hold: io.BufferedReader) -> ImageArrays:
    about = json.loads(hold.read())
    rows = (folder / "rows.npz").read_bytes()
    if digest_of(rows) != about["rows"]:
        raise ValueError("rows.npz is damaged")
    images = np.load(folder / "images.npy", mmap_mode="r")
    with np.load(io.BytesIO(rows)) as saved:
        columns = {name: saved[name] for name in saved.files}
    names, classes, digests = (tuple(about[key]) for key in ("names", "classes", "digests"))
    size = about["size"]
    if images.shape != (len(names), size, size, 3) or images.dtype != np.uint8:
        raise ValueError(f"images.npy has shape {images.shape}, not {(len(names), size, size, 3)}")
    return ImageArrays(
        images,
        columns["labels"],
        columns["sides"],
        names,
        classes,
        about["version"],
        columns["order"],
        columns["checks"],
        digests,
        hold,
    )


def verify(
    arrays: ImageArrays, folder: Path, rng: np.random.Generator, most_bytes: int = VERIFIED
) -> None:
    """Compare every picture of a cache with its checksum; of a large cache, as many as that allows.

    Parameters
    ----------
    rng : draws the pictures of a cache that is larger; others each time.
    most_bytes : read at most, 2.4 GB a second from memory.

    Raises
    ------
    ArraysError
        If one is damaged.
    """
    n = len(arrays.images)
    some = max(1, min(n, most_bytes // (3 * arrays.image_size**2)))
    _compare(arrays, folder, np.sort(rng.permutation(n)[:some]))


def _compare(arrays: ImageArrays, folder: Path, rows: NDArray[np.intp]) -> None:
    path = folder / "images.npy"
    # Not `HEAD`: earlier caches have shorter heads.
    head = path.stat().st_size - arrays.images.nbytes
    slots = Slots(str(path), arrays.image_size, head=head)
    with path.open("rb", buffering=0) as file:
        for row in rows:
            data = os.pread(file.fileno(), slots.row_bytes, slots.offset(int(row)))
            if checksum(data) != arrays.checks[row]:
                raise ArraysError(
                    f"cache {folder}: {arrays.names[row]} is damaged; delete the folder, it is "
                    "written again"
                )


def sweep(cache: Path, owner: str = "") -> int:
    """Remove what killed writers of an owner left, and return how many there were."""
    removed = [_remove_unused(folder) for folder in cache.glob(f"{PARTIAL}{owner}-*")]
    return sum(removed)


def _remove_unused(folder: Path) -> bool:
    with unused(folder) as free:
        if free:
            shutil.rmtree(folder, ignore_errors=True)
        return free


@contextlib.contextmanager
def unused(folder: Path) -> Iterator[bool]:
    """Say whether nobody reads or writes a cache, and keep it so while the block runs."""
    with contextlib.ExitStack() as stack:
        free = True
        for name in ("about.json", "images.npy"):
            try:
                file = stack.enter_context((folder / name).open("rb"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except FileNotFoundError:
                continue
            except BlockingIOError:
                free = False
        yield free
