"""The cache on disk: the accepted pictures of a dataset version as memory-mapped arrays."""

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
    RowLayout,
    RowsWriter,
    checksum,
    is_large,
    npy_header,
    write_at,
)
from models.images.split import SIDES, content_digest

#: Rows whose checksums are compared each time a cache is opened; `verify` compares more.
SPOT_CHECKS = 64
#: Bytes whose checksums are compared before a study: 80,000 pictures of 64 pixels per side.
VERIFIED = 2**30
#: How the name of a cache begins that is not complete.
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
    classes : names, in the order of their indices.
    version : the dataset version, a digest of the accepted pictures and of their split.
    order : int64 (N,), the rows sorted by content digest, so that equal versions train in equal
        order, whatever the files' names are and in whichever order they were written; empty: the
        rows are used in the order of the file.
    checks : uint32 (N,), the CRC-32 of each picture's pixels.
    digests : N content digests of the files, hexadecimal.
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
    #: An open file with a shared lock, so that nobody clears a cache that is in use.
    hold: io.BufferedReader | None = field(default=None, repr=False, compare=False)

    @property
    def image_size(self) -> int:
        """Pixels per side."""
        return int(self.images.shape[1])

    def side(self, name: str) -> NDArray[np.intp]:
        """Return the rows of a side (training, validation or test), sorted by content digest."""
        order = self.order if len(self.order) else np.arange(len(self.sides))
        return np.asarray(order[self.sides[order] == SIDES.index(name)], dtype=np.intp)


class ArraysWriter:
    """Writes a new cache, which gets its final name only when it is complete.

    Parameters
    ----------
    cache : the folder that holds all caches.
    rows : the number of pictures to make room for. The disk space is reserved at once, so that a
        disk that is too small is reported before the work and not after it.
    size : pixels per side.
    owner : marks the folder, so that `remove_abandoned` finds it if this writer is killed.

    Raises
    ------
    OSError
        If the disk is full or cannot be written.
    """

    def __init__(self, cache: Path, rows: int, size: int, owner: str = "") -> None:
        cache.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PARTIAL}{owner}-", dir=cache))
        large = is_large(rows * size * size * 3)
        self.layout = RowLayout(str(self.folder / "images.npy"), size, large)
        self.rows = 0
        self.file = os.open(self.layout.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            # The lock is held while the cache is written, and is released if the writer is killed.
            fcntl.flock(self.file, fcntl.LOCK_EX)
            self.make_room(rows)
        except BaseException:
            self.discard()
            raise

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the new cache, unless it was published."""
        self.discard()

    def make_room(self, rows: int) -> None:
        """Reserve disk space for this number of rows, and release the space beyond them."""
        end = self.layout.offset(rows)
        if rows > self.rows:
            try:
                os.posix_fallocate(self.file, 0, end)
            except OSError as error:
                need = f"{rows:,} pictures at {self.layout.size} pixels need {end / 1e6:,.0f} MB"
                raise OSError(error.errno, f"{error.strerror}: {need}", self.layout.path) from error
        os.ftruncate(self.file, end)
        self.rows = rows

    def read(self, row: int) -> bytes:
        """Return the bytes of a row."""
        return os.pread(self.file, self.layout.row_bytes, self.layout.offset(row))

    def write(self, row: int, data: bytes) -> None:
        """Write the bytes of a row."""
        write_at(self.file, data, self.layout.offset(row))

    def publish(self, folder: Path, table: Mapping[str, Sequence[Any]], about: Any) -> None:
        """Give the cache its final name; if another process was first, keep that one's cache.

        Parameters
        ----------
        folder : the final name, in the same folder as the partial cache.
        table : columns ``labels``, ``sides``, ``checks`` (numbers), ``names``, ``digests`` (text).
        about : ``classes`` and ``version``.
        """
        write_at(self.file, npy_header(self.rows, self.layout.size), 0)
        np.savez(
            self.folder / "rows.npz",
            labels=np.asarray(table["labels"], dtype=np.int64),
            sides=np.asarray(table["sides"], dtype=np.uint8),
            checks=np.asarray(table["checks"], dtype=np.uint32),
            order=np.argsort(np.asarray(table["digests"], dtype=np.str_), kind="stable"),
        )
        text = {name: list(table[name]) for name in ("names", "digests")}
        seal = content_digest((self.folder / "rows.npz").read_bytes())
        content = {**about, **text, "size": self.layout.size, "rows": seal}
        content["seal"] = _seal(content)
        (self.folder / "about.json").write_text(json.dumps(content), encoding="utf-8")
        _rename_unless_published(self.folder, folder)

    def discard(self) -> None:
        """Remove the new cache, if it is not published."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1
        shutil.rmtree(self.folder, ignore_errors=True)


def _seal(about: Mapping[str, Any]) -> str:
    """Return a digest of a cache's description: classes, names, digests, and what it seals itself.

    Labels are numbers of classes: if two classes changed places, every label would be wrong.
    """
    lists = [about[name] for name in ("classes", "names", "digests")]
    parts = [str(about[name]) for name in ("version", "size", "rows")]
    parts += [str(len(own)) for own in lists]
    return content_digest("\0".join([*parts, *(x for own in lists for x in own)]).encode())


def _rename_unless_published(partial: Path, folder: Path) -> None:
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
    """Write the cache of a dataset version from pictures in memory, completely or not at all.

    Parameters
    ----------
    folder : the cache; it appears only when it is complete.
    images : N pictures, uint8 (size, size, 3), in order.
    size : pixels per side.
    labels : N indices into `classes`.
    sides : N indices into `models.images.split.SIDES`.
    names : N file names.
    classes : names, in the order of their indices.
    version : the dataset version.
    digests : N content digests of the pictures' files; digests of the names if there are no files.

    Raises
    ------
    OSError
        If the cache cannot be written, for example because the disk is full; nothing is left then.
    """
    digests = digests or [content_digest(name.encode()) for name in names]
    with ArraysWriter(folder.parent, len(labels), size) as writer:
        with RowsWriter(writer.layout) as rows:
            checks = [rows.put(row, image) for row, image in enumerate(images)]
            rows.flush()
        table = {"labels": labels, "sides": sides, "checks": checks}
        about = {"classes": list(classes), "version": version}
        writer.publish(folder, {**table, "names": names, "digests": digests}, about)


def open_arrays(folder: Path) -> ImageArrays:
    """Map a cache, check its length, and compare some of its pictures with their checksums.

    Raises
    ------
    ArraysError
        If it is missing, incomplete or damaged.
    """
    try:
        hold = (folder / "about.json").open("rb")
        fcntl.flock(hold, fcntl.LOCK_SH | fcntl.LOCK_NB)
        arrays = _map_files(folder, hold)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise ArraysError(
            f"cache {folder}: {error}; delete the folder, and it is written again"
        ) from error
    n = len(arrays.images)
    _compare_checksums(
        arrays, folder, np.unique(np.linspace(0, n - 1, min(n, SPOT_CHECKS)).astype(int))
    )
    return arrays


def _map_files(folder: Path, hold: io.BufferedReader) -> ImageArrays:
    about = json.loads(hold.read())
    rows = (folder / "rows.npz").read_bytes()
    if content_digest(rows) != about["rows"]:
        raise ValueError("rows.npz is damaged")
    # Caches of earlier versions have no seal.
    if "seal" in about and _seal(about) != about["seal"]:
        raise ValueError("about.json is damaged")
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
    """Compare the pictures of a cache with their checksums: all of them, or as many as allowed.

    Parameters
    ----------
    folder : the cache's.
    rng : draws the pictures to compare, if the cache is larger than `most_bytes`.
    most_bytes : read at most; from memory, 2.4 GB per second are compared.

    Raises
    ------
    ArraysError
        If a picture is damaged.
    """
    n = len(arrays.images)
    count = max(1, min(n, most_bytes // (3 * arrays.image_size**2)))
    _compare_checksums(arrays, folder, np.sort(rng.permutation(n)[:count]))


def _compare_checksums(arrays: ImageArrays, folder: Path, rows: NDArray[np.intp]) -> None:
    path = folder / "images.npy"
    # Not `HEADER`: caches of earlier versions have shorter headers.
    header = path.stat().st_size - arrays.images.nbytes
    layout = RowLayout(str(path), arrays.image_size, header=header)
    with path.open("rb", buffering=0) as file:
        for row in rows:
            data = os.pread(file.fileno(), layout.row_bytes, layout.offset(int(row)))
            if checksum(data) != arrays.checks[row]:
                raise ArraysError(
                    f"cache {folder}: {arrays.names[row]} is damaged; delete the folder, and "
                    "it is written again"
                )


def remove_abandoned(cache: Path, owner: str = "") -> int:
    """Remove the partial caches that killed writers of an owner left; return their number."""
    removed = [_remove_unused(folder) for folder in cache.glob(f"{PARTIAL}{owner}-*")]
    return sum(removed)


def _remove_unused(folder: Path) -> bool:
    with lock_if_unused(folder) as is_unused:
        if is_unused:
            shutil.rmtree(folder, ignore_errors=True)
        return is_unused


@contextlib.contextmanager
def lock_if_unused(folder: Path) -> Iterator[bool]:
    """Yield whether no process reads or writes a cache; if so, lock it while the block runs."""
    with contextlib.ExitStack() as stack:
        is_unused = True
        for name in ("about.json", "images.npy", "features.npy"):
            try:
                file = stack.enter_context((folder / name).open("rb"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                continue  # missing or damaged
            except BlockingIOError:
                is_unused = False
        yield is_unused
