"""Measuring pictures, in processes of their own: what each is, and its pixels on the way.

A picture is read and decoded once, for its row of the metadata table and for the cache alike. The
processes import this module and little else.
"""

import contextlib
import functools
import gc
import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple, Self

import cv2
import numpy as np

from models.errors import DecodeError
from models.images.array_file import RowsWriter, Slots, checksum
from models.images.decoding import AT_LEAST, Pixels, load, resize
from models.images.split import digest_of
from tasks.data.source import Entry, Reader
from tasks.errors import DataError, UnreadableError
from tasks.processes.child import follow_parent

#: Raised by one whenever equal bytes would be measured otherwise than before.
MEASURES = 2
#: Pixels a side of what is kept to compare pictures by, and of what brightness is read from.
THUMB, PROBE = 16, 32
#: Pictures that a process is sent at a time, and from how many on a process is worth its start.
BATCH, SERIAL = 128, 384
#: Processes that are started before it is known how many pictures there are.
EARLY = 4

Blob = bytes


class PictureRow(NamedTuple):
    """A row of the metadata table, but for the label.

    Attributes
    ----------
    path, stamp : of the entry.
    bytes : of the file; 0 where it could not be read.
    digest : SHA-256 of the bytes, hexadecimal; empty where it could not be read.
    format, mode, width, height, orientation, flaw : see `models.images.decoding.Header`.
    hash : 64 bits in hexadecimal, whether brightness falls or rises along 8 rows of 9 spots.
    brightness, contrast : mean and standard deviation of grey, 0-255.
    decodable : whether it is a whole picture; `why` says why not.
    thumb : grey 16 x 16 pixels, to compare pictures by; empty where there are none.
    """

    path: str
    stamp: str
    bytes: int = 0
    digest: str = ""
    format: str | None = None
    mode: str | None = None
    width: int | None = None
    height: int | None = None
    orientation: int | None = None
    hash: str | None = None
    brightness: float | None = None
    contrast: float | None = None
    decodable: bool = False
    why: str = ""
    flaw: str = ""
    thumb: Blob = b""


class MeasureJob(NamedTuple):
    """A picture to be read; its pixels go to a row of the cache, unless that is negative."""

    entry: Entry
    row: int = -1


class MeasuredPicture(NamedTuple):
    """What came of a job.

    Attributes
    ----------
    measured : the picture's row of the metadata table.
    row : of the cache.
    check : the CRC-32 of its pixels; None where they were not kept.
    """

    measured: PictureRow
    row: int
    check: int | None


def describe(
    entry: Entry, data: bytes, size: int, place: Callable[[], Pixels] | None = None
) -> tuple[PictureRow, Pixels | None]:
    """Measure a picture.

    Parameters
    ----------
    entry : where it was found.
    data : its bytes.
    size : pixels a side that its pixels are wanted at; 0 where they are not wanted.
    place : says where its pixels go, uint8 (size, size, 3), once it is decoded; they are new ones
        where it is not given.

    Returns
    -------
    The row, and its pixels as `models.images.decoding.decode` returns them; None where it cannot be
    decoded, and meaningless where they are not wanted.
    """
    digest = digest_of(data)
    try:
        header, loaded = load(data, max(size, AT_LEAST))
    except DecodeError as error:
        return PictureRow(entry.path, entry.stamp, len(data), digest, why=str(error)), None
    into = place() if place else None
    if size >= AT_LEAST:
        large = pixels = resize(loaded, size, into)
    else:
        large = resize(loaded, AT_LEAST)
        pixels = resize(loaded, size, into) if size else large
    probe = _probe(large)
    mean, deviation = cv2.meanStdDev(probe)
    row = PictureRow(
        entry.path,
        entry.stamp,
        len(data),
        digest,
        header.format,
        header.mode,
        header.width,
        header.height,
        header.orientation,
        perceptual_hash(probe),
        mean.item(),
        deviation.item(),
        decodable=True,
        flaw=header.flaw,
        thumb=cv2.resize(probe, (THUMB, THUMB), interpolation=cv2.INTER_AREA).tobytes(),
    )
    return row, pixels


def _probe(large: Pixels) -> Pixels:
    """Return grey pixels, uint8 (PROBE, PROBE), of a square picture."""
    grey = cv2.cvtColor(large, cv2.COLOR_RGB2GRAY)
    # Halving is twice as fast as shrinking at once.
    while (side := len(grey) // 2) > PROBE and not len(grey) % 2:
        grey = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
    probe: Pixels = cv2.resize(grey, (PROBE, PROBE), interpolation=cv2.INTER_AREA)
    return probe


def perceptual_hash(grey: Pixels) -> str:
    """Return 64 bits in hexadecimal that survive another size, format or quality.

    Parameters
    ----------
    grey : uint8 (H, W).

    References
    ----------
    The difference hash of N. Krawetz, "Kind of like that", 2013.
    """
    spots = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA)
    return np.packbits(spots[:, 1:] > spots[:, :-1]).tobytes().hex()


class Worker:
    """Does jobs, here or in a process of its own."""

    def __init__(self, reader: Reader, slots: Slots | None) -> None:
        self.reader = reader
        self.rows = RowsWriter(slots) if slots else None

    def close(self) -> None:
        """Close the cache's file."""
        if self.rows:
            self.rows.close()

    def do(self, jobs: Sequence[MeasureJob]) -> list[MeasuredPicture]:
        """Do jobs in turn; their pixels are written when this returns."""
        done = [self._do(job) for job in jobs]
        if self.rows:
            self.rows.flush()
        return done

    def _do(self, job: MeasureJob) -> MeasuredPicture:
        entry, rows = job.entry, self.rows
        if entry.fault:
            return MeasuredPicture(
                PictureRow(entry.path, entry.stamp, why=entry.fault), job.row, None
            )
        try:
            data = self.reader.read(entry)
        except UnreadableError as error:
            return MeasuredPicture(
                PictureRow(entry.path, entry.stamp, why=str(error)), job.row, None
            )
        if rows is None or job.row < 0:
            return MeasuredPicture(describe(entry, data, 0)[0], job.row, None)
        place = functools.partial(rows.place, job.row)
        row, pixels = describe(entry, data, rows.slots.size, place)
        return MeasuredPicture(row, job.row, None if pixels is None else checksum(pixels))


#: The worker of this process, and what it was made from.
_workers: dict[bytes, Worker] = {}


def _start() -> None:
    follow_parent()
    cv2.setNumThreads(1)
    # What was imported stays; it need not be looked through for cycles as rows are made.
    gc.freeze()


def _ready() -> None:
    """Do nothing: a process is there only once something was sent to it."""


def _do(made_from: bytes, jobs: Sequence[MeasureJob]) -> list[MeasuredPicture]:
    if made_from not in _workers:
        while _workers:
            _workers.popitem()[1].close()
        _workers[made_from] = Worker(*pickle.loads(made_from))  # noqa: S301 # from our own parent
    return _workers[made_from].do(jobs)


class Readers:
    """Processes that read and measure pictures, for as long as a source is prepared.

    Parameters
    ----------
    processes : how many at most; as many as there are cores unless given.
    """

    def __init__(self, processes: int | None = None) -> None:
        self.processes = processes or len(os.sched_getaffinity(0))
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        self.close()

    def close(self) -> None:
        """End the processes; what was not begun is not done."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def start(self) -> None:
        """Start a few processes: a third of a second, in which other work may be done.

        More come as batches of pictures do.
        """
        pool = self._open(self.processes)
        for _ in range(min(EARLY, self.processes)):
            pool.submit(_ready)

    def _open(self, processes: int) -> ProcessPoolExecutor:
        if self._pool is None:
            # Not from the slots' fork server: it would be started here, and without TensorFlow.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(processes, context, _start)
        return self._pool

    def measure(
        self, reader: Reader, slots: Slots | None, jobs: Sequence[MeasureJob]
    ) -> Iterator[list[MeasuredPicture]]:
        """Read and measure pictures; batches come as they are done, in no order.

        Parameters
        ----------
        reader : where they are.
        slots : where pixels go, for jobs that have a row; None for nowhere.
        jobs : the pictures. A few are done here, without any process, unless some have been
            started.

        Raises
        ------
        DataError
            If a process was killed.
        OSError
            If pixels cannot be written: the disk is full, say.
        """
        batches = [jobs[at : at + BATCH] for at in range(0, len(jobs), BATCH)]
        if self._pool is None and len(jobs) < SERIAL:
            with contextlib.closing(Worker(reader, slots)) as worker:
                yield from map(worker.do, batches)
            return
        made_from = pickle.dumps((reader, slots))
        try:
            pool = self._open(min(self.processes, len(jobs) // SERIAL + 1))
            yield from _gather(pool, made_from, batches, 3 * self.processes)
        except BrokenProcessPool as error:
            raise DataError(
                "a process that read pictures was killed (out of memory, perhaps); run the same "
                "command again, it goes on from here"
            ) from error


def _gather(
    pool: ProcessPoolExecutor, made_from: bytes, batches: Sequence[Sequence[MeasureJob]], most: int
) -> Iterator[list[MeasuredPicture]]:
    """Keep every process busy with as few batches sent as that takes."""
    running: set[Future[list[MeasuredPicture]]] = set()
    for batch in batches:
        if len(running) >= most:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
        running.add(pool.submit(_do, made_from, batch))
    while running:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()
