"""Measuring pictures in a pool of processes: their metadata, and their pixels for the cache.

A picture is read and decoded once, for both. The processes import this module and little else, so
that they start fast.
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
from models.images.array_file import RowLayout, RowsWriter, checksum
from models.images.decoding import MIN_DECODED_SIDE, Pixels, load, resize
from models.images.split import content_digest
from tasks.data.reason import Reason
from tasks.data.source import Entry, Reader
from tasks.errors import DataError, UnreadableError
from tasks.escaping import printable
from tasks.processes.child import follow_parent

#: Version of the measures: raise it by one when equal bytes get other measures than before.
MEASURES = 4
#: Pixels per side of the thumbnail by which pictures are compared, and of the grey picture from
#: which brightness, contrast and the perceptual hash are computed.
THUMB, PROBE = 16, 32
#: Pictures that a process gets at a time, and the number of pictures that justifies one process.
BATCH, PICTURES_PER_PROCESS = 128, 384
#: Processes that are started before the number of pictures is known.
EARLY_PROCESSES = 4

Blob = bytes


class PictureMetadata(NamedTuple):
    """A row of the metadata table, without the label.

    Attributes
    ----------
    path, stamp : of the entry.
    bytes : size of the file; 0 if it could not be read.
    digest : SHA-256 of the bytes, hexadecimal; empty if it could not be read.
    format, mode, width, height, orientation, flaw : see `models.images.decoding.Header`.
    hash : the perceptual hash, 64 bits in hexadecimal.
    brightness, contrast : mean and standard deviation of grey, 0-255.
    decodable : whether it is a complete picture.
    why : why it is not decodable; None if it is.
    thumb : 16 x 16 grey pixels, by which pictures are compared; empty if it is not decodable.
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
    why: Reason | None = None
    flaw: str = ""
    thumb: Blob = b""


class MeasureJob(NamedTuple):
    """A picture to measure.

    Attributes
    ----------
    entry : the picture.
    row : the row of the cache for its pixels; negative if they are not kept.
    """

    entry: Entry
    row: int = -1


class MeasuredPicture(NamedTuple):
    """The result of a job.

    Attributes
    ----------
    metadata : the picture's row of the metadata table.
    row : the row of the cache with its pixels.
    check : the CRC-32 of its pixels; None if they were not kept.
    """

    metadata: PictureMetadata
    row: int
    check: int | None


def measure_picture(
    entry: Entry, data: bytes, size: int, place: Callable[[], Pixels] | None = None
) -> tuple[PictureMetadata, Pixels | None]:
    """Measure a picture.

    Parameters
    ----------
    entry : where it was found.
    data : its bytes.
    size : pixels per side of the pixels to return; 0 if they are not needed.
    place : called after decoding; returns the array for the pixels, uint8 (size, size, 3). If not
        given, a new array is made.

    Returns
    -------
    metadata : the picture's row of the metadata table.
    pixels : as `models.images.decoding.decode` returns them; None if the picture cannot be decoded,
        and of an undefined size if they are not needed.
    """
    digest = content_digest(data)
    try:
        header, loaded = load(data, max(size, MIN_DECODED_SIDE))
    except DecodeError as error:
        why = Reason(error.kind, error.details)
        return PictureMetadata(entry.path, entry.stamp, len(data), digest, why=why), None
    into = place() if place else None
    if size >= MIN_DECODED_SIDE:
        large = pixels = resize(loaded, size, into)
    else:
        large = resize(loaded, MIN_DECODED_SIDE)
        pixels = resize(loaded, size, into) if size else large
    probe = _probe(large)
    mean, deviation = cv2.meanStdDev(probe)
    metadata = PictureMetadata(
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
        flaw=printable(header.flaw),
        thumb=cv2.resize(probe, (THUMB, THUMB), interpolation=cv2.INTER_AREA).tobytes(),
    )
    return metadata, pixels


def _probe(large: Pixels) -> Pixels:
    """Return the grey pixels, uint8 (PROBE, PROBE), of a square picture."""
    grey = cv2.cvtColor(large, cv2.COLOR_RGB2GRAY)
    # Halving repeatedly is twice as fast as shrinking in one step.
    while (side := len(grey) // 2) > PROBE and not len(grey) % 2:
        grey = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
    probe: Pixels = cv2.resize(grey, (PROBE, PROBE), interpolation=cv2.INTER_AREA)
    return probe


def perceptual_hash(grey: Pixels) -> str:
    """Return 64 bits in hexadecimal that are almost equal for other sizes, formats and qualities.

    Each bit says whether brightness rises from one spot to the next, along 8 rows of 9 spots.

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
    """Measures pictures, in this process or in one of the pool.

    Parameters
    ----------
    reader : reads the pictures.
    layout : the rows for their pixels; None if no pixels are kept.
    """

    def __init__(self, reader: Reader, layout: RowLayout | None) -> None:
        self.reader = reader
        self.rows = RowsWriter(layout) if layout else None

    def close(self) -> None:
        """Close the cache's file."""
        if self.rows:
            self.rows.close()

    def measure_batch(self, jobs: Sequence[MeasureJob]) -> list[MeasuredPicture]:
        """Measure pictures in turn; their pixels are written when this returns."""
        done = [self._measure(job) for job in jobs]
        if self.rows:
            self.rows.flush()
        return done

    def _measure(self, job: MeasureJob) -> MeasuredPicture:
        entry, rows = job.entry, self.rows
        if entry.fault:
            return _unreadable(job, entry.fault)
        try:
            data = self.reader.read(entry)
        except UnreadableError as error:
            return _unreadable(job, Reason(error.kind, error.details))
        if rows is None or job.row < 0:
            return MeasuredPicture(measure_picture(entry, data, 0)[0], job.row, None)
        place = functools.partial(rows.place, job.row)
        metadata, pixels = measure_picture(entry, data, rows.layout.size, place)
        return MeasuredPicture(metadata, job.row, None if pixels is None else checksum(pixels))


def _unreadable(job: MeasureJob, why: Reason) -> MeasuredPicture:
    """Return the result for a picture that was not read."""
    metadata = PictureMetadata(job.entry.path, job.entry.stamp, why=why)
    return MeasuredPicture(metadata, job.row, None)


#: The worker of this process: what it was made from, pickled -> the worker.
_workers: dict[bytes, Worker] = {}


def _start_process() -> None:
    follow_parent()
    cv2.setNumThreads(1)
    # The imported objects stay: the garbage collector need not examine them as rows are made.
    gc.freeze()


def _do_nothing() -> None:
    """Do nothing: the pool starts a process only when it gets a job."""


def _measure_batch(made_from: bytes, jobs: Sequence[MeasureJob]) -> list[MeasuredPicture]:
    """Measure pictures in this process of the pool."""
    if made_from not in _workers:
        while _workers:
            _workers.popitem()[1].close()
        _workers[made_from] = Worker(*pickle.loads(made_from))  # noqa: S301 # from our own parent
    return _workers[made_from].measure_batch(jobs)


class ReaderPool:
    """A pool of processes that read and measure pictures, used while a source is prepared.

    Parameters
    ----------
    processes : the number of processes, at most; the number of cores if not given.
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
        """End the processes; jobs that have not started are cancelled."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def start(self) -> None:
        """Start a few processes, which takes a third of a second, while other work is done.

        More are started when they are needed.
        """
        pool = self._open(self.processes)
        for _ in range(min(EARLY_PROCESSES, self.processes)):
            pool.submit(_do_nothing)

    def _open(self, processes: int) -> ProcessPoolExecutor:
        if self._pool is None:
            # Not from the training slots' fork server: it would start here, without TensorFlow.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(processes, context, _start_process)
        return self._pool

    def measure(
        self, reader: Reader, layout: RowLayout | None, jobs: Sequence[MeasureJob]
    ) -> Iterator[list[MeasuredPicture]]:
        """Read and measure pictures; yield batches as they are finished, in any order.

        Parameters
        ----------
        reader : reads the pictures.
        layout : the rows for the pixels of jobs that have a row; None if no pixels are kept.
        jobs : the pictures. If they are few and no process has been started, they are measured in
            this process.

        Raises
        ------
        DataError
            If a process was killed.
        OSError
            If pixels cannot be written, for example because the disk is full.
        """
        batches = [jobs[at : at + BATCH] for at in range(0, len(jobs), BATCH)]
        if self._pool is None and len(jobs) < PICTURES_PER_PROCESS:
            with contextlib.closing(Worker(reader, layout)) as worker:
                yield from map(worker.measure_batch, batches)
            return
        made_from = pickle.dumps((reader, layout))
        try:
            pool = self._open(min(self.processes, len(jobs) // PICTURES_PER_PROCESS + 1))
            yield from _completed(pool, made_from, batches, 3 * self.processes)
        except BrokenProcessPool as error:
            raise DataError(
                "a process that read pictures was killed (out of memory, perhaps); run the same "
                "command again, it continues from here"
            ) from error


def _completed(
    pool: ProcessPoolExecutor,
    made_from: bytes,
    batches: Sequence[Sequence[MeasureJob]],
    max_pending: int,
) -> Iterator[list[MeasuredPicture]]:
    """Yield the results of batches, of which at most `max_pending` are in the pool at a time."""
    running: set[Future[list[MeasuredPicture]]] = set()
    for batch in batches:
        if len(running) >= max_pending:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
        running.add(pool.submit(_measure_batch, made_from, batch))
    while running:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()
