"""Pictures as rows of a file: where each is, its checksum, and several written at once."""

import errno
import io
import math
import mmap
import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

try:
    from zlib_ng import zlib_ng
except ImportError:  # an accelerator's machine may have Keras and a backend alone
    import zlib as zlib_ng  # type: ignore[no-redef] # the same sums, more slowly

Pixels = NDArray[np.uint8]

#: Bytes before the first row, and what a disk writes without a copy in memory: a page.
HEAD = PAGE = 4096
#: Bytes that are written at once: few enough to be still in the processor's cache.
AT_ONCE = 1_600_000
#: A file of more than this share of memory is written past the page cache. From there on Linux
#: would make its writers wait for the disk (vm.dirty_background_ratio), after a copy of each page.
LARGE = 0.1


@dataclass(frozen=True)
class Slots:
    """Where pictures are written: a file that any process can open, a row a picture.

    Attributes
    ----------
    path : of the file.
    size : pixels a side.
    large : whether it is so large that it is written past the page cache.
    head : bytes before the first row.
    """

    path: str
    size: int
    large: bool = False
    head: int = HEAD

    @property
    def row_bytes(self) -> int:
        """Bytes a picture."""
        return self.size * self.size * 3

    @property
    def rows_at_once(self) -> int:
        """Rows that are written at once: whole pages, where that is possible with few rows."""
        few = PAGE // math.gcd(self.row_bytes, PAGE)
        return max(1, AT_ONCE // self.row_bytes // few) * few

    def offset(self, row: int) -> int:
        """Return where a row begins in the file, bytes."""
        return self.head + row * self.row_bytes


def is_large(size: int) -> bool:
    """Whether a file of so many bytes is written past the page cache."""
    return size > LARGE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def npy_head(rows: int, size: int) -> bytes:
    """Return the head of an npy file, as long as a page: rows of whole pages begin at one."""
    head = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (rows, size, size, 3)}
    np.lib.format.write_array_header_1_0(head, shape)
    text = head.getvalue()
    length = (HEAD - 10).to_bytes(2, "little")  # after the magic word, the version and itself
    return text[:8] + length + text[10:].rstrip().ljust(HEAD - 11) + b"\n"


def checksum(pixels: bytes | memoryview | Pixels) -> int:
    """Return the CRC-32 of a picture's pixels."""
    return zlib_ng.crc32(pixels)


def write_at(file: int, data: bytes | memoryview, offset: int) -> None:
    """Write everything, at a place in a file.

    Raises
    ------
    OSError
        If the disk is full, say.
    """
    while len(data):
        done = os.pwrite(file, data, offset)
        data, offset = data[done:], offset + done


class RowsWriter:
    """Writes pictures to rows, several at once; one process of several that write to a file.

    They are written and not mapped: a full disk is then an error and not a signal, and what was
    written does not count as this process's memory. A large file is written past the page cache,
    while the next pictures are placed: the disk is waited for beside the decoding.

    Parameters
    ----------
    slots : where the rows are; there must be room for them.
    """

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self._file = os.open(slots.path, os.O_WRONLY)
        self._direct = _open_direct(slots) if slots.large else -1
        self._buffer = _on_pages(slots)
        self._first = self._count = 0
        self._beside = ThreadPoolExecutor(1) if slots.large else None
        self._other = _on_pages(slots) if slots.large else self._buffer
        self._writing: Future[None] | None = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its files."""
        self.close()

    def close(self) -> None:
        """Close its files; what was not flushed is lost."""
        if self._beside:
            self._beside.shutdown()
        for file in (self._file, self._direct):
            if file >= 0:
                os.close(file)

    def place(self, row: int) -> Pixels:
        """Return where the pixels of a row go, uint8 (size, size, 3), until they are written.

        Raises
        ------
        OSError
            If earlier ones cannot be written.
        """
        if self._count == len(self._buffer) or row != self._first + self._count:
            self._send()
        if not self._count:
            self._first = row
        self._count += 1
        pixels: Pixels = self._buffer[self._count - 1]
        return pixels

    def put(self, row: int, image: Pixels) -> int:
        """Place a picture, uint8 (size, size, 3), and return its checksum.

        Raises
        ------
        OSError
            If earlier ones cannot be written.
        ValueError
            If it has another shape.
        """
        pixels = self.place(row)
        if image.shape != pixels.shape:
            raise ValueError(
                f"a picture of shape {image.shape} for rows of {self.slots.size} pixels"
            )
        pixels[:] = image
        return checksum(pixels)

    def flush(self) -> None:
        """Write what was placed, and return once it is written.

        Raises
        ------
        OSError
            If the disk is full, say.
        """
        self._send()
        self._wait()

    def _send(self) -> None:
        """Write what was placed, here or beside what comes next."""
        if not self._count:
            return
        data = self._buffer[: self._count].reshape(-1).data
        offset, self._count = self.slots.offset(self._first), 0
        if self._beside is None:
            self._write(data, offset)
            return
        self._wait()
        self._writing = self._beside.submit(self._write, data, offset)
        self._buffer, self._other = self._other, self._buffer

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def _write(self, data: memoryview, offset: int) -> None:
        if self._direct < 0 or len(data) % PAGE or offset % PAGE:
            write_at(self._file, data, offset)
        else:
            self._write_direct(data, offset)

    def _write_direct(self, data: memoryview, offset: int) -> None:
        try:
            write_at(self._direct, data, offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            write_at(self._file, data, offset)  # a file system that opens so, and no more


def _on_pages(slots: Slots) -> Pixels:
    """Return room for rows that begins at a page, as a disk wants it."""
    memory = mmap.mmap(-1, slots.rows_at_once * slots.row_bytes)
    return np.frombuffer(memory, dtype=np.uint8).reshape(-1, slots.size, slots.size, 3)


def _open_direct(slots: Slots) -> int:
    """Open a file so that what is written goes to the disk; -1 where its file system cannot."""
    try:
        return os.open(slots.path, os.O_WRONLY | getattr(os, "O_DIRECT", 0))
    except OSError:
        return -1
