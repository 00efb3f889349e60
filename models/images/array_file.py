"""A file of pictures, one row per picture: its layout, its checksums, and how rows are written."""

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
except ImportError:  # an accelerator's machine may have only Keras and a backend
    import zlib as zlib_ng  # type: ignore[no-redef] # the same checksums, but slower

Pixels = NDArray[np.uint8]

#: Bytes of a memory page: disks write whole pages without a copy in memory.
PAGE = 4096
#: Bytes before the first row: one page, so that rows of whole pages begin at a page.
HEADER = PAGE
#: Bytes per write: few enough to be still in the processor's cache.
BYTES_PER_WRITE = 1_600_000
#: A file of more than this share of the memory is written past the page cache. Beyond that share
#: Linux would make its writers wait for the disk (vm.dirty_background_ratio), after a copy of each
#: page.
LARGE = 0.1


@dataclass(frozen=True)
class RowLayout:
    """Where the rows of a file are: any process can open it, and each row holds one picture.

    Attributes
    ----------
    path : the file.
    size : pixels per side.
    large : whether the file is so large that it is written past the page cache.
    header : bytes before the first row.
    """

    path: str
    size: int
    large: bool = False
    header: int = HEADER

    @property
    def row_bytes(self) -> int:
        """Bytes per picture."""
        return self.size * self.size * 3

    @property
    def rows_per_write(self) -> int:
        """Rows per write: whole pages, if a few rows make whole pages."""
        rows_of_whole_pages = PAGE // math.gcd(self.row_bytes, PAGE)
        multiples = BYTES_PER_WRITE // self.row_bytes // rows_of_whole_pages
        return max(1, multiples) * rows_of_whole_pages

    def offset(self, row: int) -> int:
        """Return where a row begins in the file, in bytes."""
        return self.header + row * self.row_bytes


def is_large(size: int) -> bool:
    """Whether a file of this size (bytes) is written past the page cache."""
    return size > LARGE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def npy_header(rows: int, size: int) -> bytes:
    """Return the header of an npy file, padded to `HEADER` bytes."""
    header = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (rows, size, size, 3)}
    np.lib.format.write_array_header_1_0(header, shape)
    text = header.getvalue()
    # 10 bytes: the magic string, the version and the length itself.
    length = (HEADER - 10).to_bytes(2, "little")
    return text[:8] + length + text[10:].rstrip().ljust(HEADER - 11) + b"\n"


def checksum(pixels: bytes | memoryview | Pixels) -> int:
    """Return the CRC-32 of a picture's pixels."""
    return zlib_ng.crc32(pixels)


def write_at(file: int, data: bytes | memoryview, offset: int) -> None:
    """Write all bytes at an offset of a file.

    Raises
    ------
    OSError
        If they cannot be written, for example because the disk is full.
    """
    while len(data):
        done = os.pwrite(file, data, offset)
        data, offset = data[done:], offset + done


class RowsWriter:
    """Writes pictures to rows, several per write. Several processes may write to one file.

    Rows are written and not memory-mapped: a full disk is then an error and not a signal, and
    written rows do not count as this process's memory. A large file is written past the page cache
    by a thread while the next pictures are decoded, so that decoding does not wait for the disk.

    Parameters
    ----------
    layout : where the rows are; the file must be long enough for them.
    """

    def __init__(self, layout: RowLayout) -> None:
        self.layout = layout
        self._file = os.open(layout.path, os.O_WRONLY)
        self._direct = _open_direct(layout) if layout.large else -1
        self._buffer = _page_aligned_rows(layout)
        self._first = self._count = 0
        self._thread = ThreadPoolExecutor(1) if layout.large else None
        self._spare = _page_aligned_rows(layout) if layout.large else self._buffer
        self._writing: Future[None] | None = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its files."""
        self.close()

    def close(self) -> None:
        """Close its files; rows that were not flushed are lost."""
        if self._thread:
            self._thread.shutdown()
        for file in (self._file, self._direct):
            if file >= 0:
                os.close(file)

    def place(self, row: int) -> Pixels:
        """Return the memory for the pixels of a row, uint8 (size, size, 3), to be filled.

        Raises
        ------
        OSError
            If earlier rows cannot be written.
        """
        if self._count == len(self._buffer) or row != self._first + self._count:
            self._write_placed()
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
            If earlier rows cannot be written.
        ValueError
            If the picture has another shape.
        """
        pixels = self.place(row)
        if image.shape != pixels.shape:
            raise ValueError(
                f"a picture of shape {image.shape} for rows of {self.layout.size} pixels"
            )
        pixels[:] = image
        return checksum(pixels)

    def flush(self) -> None:
        """Write all placed rows, and return once they are written.

        Raises
        ------
        OSError
            If they cannot be written, for example because the disk is full.
        """
        self._write_placed()
        self._wait()

    def _write_placed(self) -> None:
        """Write the placed rows, in this thread or in the writing thread."""
        if not self._count:
            return
        data = self._buffer[: self._count].reshape(-1).data
        offset, self._count = self.layout.offset(self._first), 0
        if self._thread is None:
            self._write(data, offset)
            return
        self._wait()
        self._writing = self._thread.submit(self._write, data, offset)
        self._buffer, self._spare = self._spare, self._buffer

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
            # Some file systems open a file with O_DIRECT, but cannot write to it.
            write_at(self._file, data, offset)


def _page_aligned_rows(layout: RowLayout) -> Pixels:
    """Return memory for the rows of one write that begins at a page, as O_DIRECT requires."""
    memory = mmap.mmap(-1, layout.rows_per_write * layout.row_bytes)
    return np.frombuffer(memory, dtype=np.uint8).reshape(-1, layout.size, layout.size, 3)


def _open_direct(layout: RowLayout) -> int:
    """Open a file for writing past the page cache; return -1 if its file system cannot do that."""
    try:
        return os.open(layout.path, os.O_WRONLY | getattr(os, "O_DIRECT", 0))
    except OSError:
        return -1
