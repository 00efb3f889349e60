"""How long a training takes, from a few epochs on drawn pictures; nothing is stored.

The epochs are those of the real trainer, in a child process on the device that a study would use.
The pictures are drawn, because the study's own are not decoded yet; a training takes as long
whatever they show.
"""

import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.factors import Level
from analysis.search import procedure
from models.images import drawn
from models.images.arrays import write_arrays
from models.images.split import SIDES
from models.spec import ModelSpec, ReplicateSpec, trained_blocks
from tasks.data.find_images import find_images
from tasks.data.source import url_of
from tasks.errors import CellError, DataError, SlotDiedError, SlotsClosedError
from tasks.search.prepare import DRAWN
from tasks.settings import Settings
from tasks.study.study_file import DataPart, Study
from tasks.training.devices import available_devices
from tasks.training.slots import SlotPool

#: Seconds for all cells together, once the training process is ready.
PROBE_SECONDS = 20.0
#: Cells that are timed, at most.
MOST_CELLS = 4
#: The share of the time that the first cell, the largest, may take.
FIRST_SHARE = 0.6
#: Epochs after which a cell is known well enough: the first one compiles the network.
ENOUGH_EPOCHS = 4
#: Pictures that are drawn; they are repeated, because drawing takes a millisecond each.
DIFFERENT_PICTURES = 64
#: Pixels of the pictures of an epoch, so that an epoch takes about as long at every image size.
EPOCH_PIXELS = 2**20


@dataclass(frozen=True)
class CellTiming:
    """The epochs of one cell.

    Attributes
    ----------
    levels : of the cell.
    seconds : of one training of the study, extrapolated.
    epochs : how many were timed.
    """

    levels: Mapping[str, Level]
    seconds: float
    epochs: int


@dataclass(frozen=True)
class Probe:
    """What a probe found.

    Attributes
    ----------
    cells : those that were timed, in the order of `cells_to_time`.
    pictures : training pictures of an epoch of the probe.
    study_pictures : training pictures of an epoch of the study.
    seconds_spent : by the probe, without the start of the training process.
    fault : why there is no timing; empty if there is one.
    """

    cells: tuple[CellTiming, ...] = ()
    pictures: int = 0
    study_pictures: int = 0
    seconds_spent: float = 0.0
    fault: str = ""

    @property
    def seconds(self) -> float | None:
        """Seconds of one training, the mean of the cells; None without a timing."""
        return float(np.mean([cell.seconds for cell in self.cells])) if self.cells else None


class _EnoughError(Exception):
    """The cell was timed well enough."""


def probe_study(study: Study, settings: Settings, seconds: float = PROBE_SECONDS) -> Probe:
    """Time cells of a study for some seconds.

    Parameters
    ----------
    seconds : for all cells together. An epoch that takes longer is cut off.
    """
    try:
        pictures = training_pictures(study.data)
    except DataError as error:
        # The plan of a study whose pictures are on another machine is a plan, too.
        return Probe(fault=str(error))
    if pictures is None:
        return Probe(fault="the pictures are in an object store, and are not counted for a plan")
    cells = cells_to_time(study)
    specs = [study.spec(dict(cell), seed=1) for cell in cells]
    used = probe_pictures(specs, pictures)
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "cache" / "probe"
        arrays.parent.mkdir()
        _draw(arrays, study.data, used)
        # The locks of a home that exists, so that no study trains at the same time.
        locks = settings.locks if settings.locks.exists() else Path(folder) / "locks"
        return _time_cells(study, cells, specs, arrays, locks, used, pictures, seconds)


def training_pictures(data: DataPart) -> int | None:
    """Return about how many training pictures a study has; None if that is not known.

    Pictures that validation would leave out are counted. Nothing is downloaded.
    """
    if data.source_place is None:
        return round(data.training * (data.drawn or DRAWN))
    if url_of(data.source_place) is not None:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        labels = [entry.label for entry in find_images(data.source_place, Path(scratch)).entries]
    limit = data.per_class or len(labels)
    counts = (min(limit, labels.count(label)) for label in set(labels) if label is not None)
    return round(data.training * sum(counts))


def cells_to_time(study: Study) -> list[Mapping[str, Level]]:
    """Return a few cells of the first stages in the order in which they are timed.

    First the largest and the smallest, if they are not alike; then in turn the one that has the
    most levels unlike all before it, because categories may cost time, too.

    The blocks of a backbone that are trained tell most about the size, because frozen ones are
    computed once; then whole numbers: layers, filters, units. The number of epochs and the batch
    size change the length of a training, but not the network.
    """
    rules = study.rules
    runs = procedure.pilot_runs(rules) + procedure.screen_runs(rules)
    sizes = [f for f in rules.factors if f.whole and f.name not in {"epochs", "batch_size"}]

    def size(levels: Mapping[str, Level]) -> tuple[float, float]:
        blocks = trained_blocks(ModelSpec(study.model.builder, levels))
        return blocks, sum(f.code(levels[f.name]) for f in sizes)

    def differences(levels: Mapping[str, Level]) -> int:
        return min(sum(levels[name] != one.get(name) for name in levels) for one in chosen)

    rest: list[Mapping[str, Level]] = [run.levels for run in runs]
    largest, smallest = max(rest, key=size), min(rest, key=size)
    chosen = [largest] if size(largest) == size(smallest) else [largest, smallest]
    while len(chosen) < MOST_CELLS and differences(furthest := max(rest, key=differences)):
        chosen.append(furthest)
    return chosen


def probe_pictures(specs: list[ReplicateSpec], pictures: int) -> int:
    """Return the training pictures of an epoch of the probe: at least a batch, at most all."""
    batch = max(spec.training.batch_size for spec in specs)
    return max(8, min(pictures, max(batch, EPOCH_PIXELS // specs[0].image_size ** 2)))


def _draw(folder: Path, data: DataPart, training: int) -> None:
    """Write a cache of drawn pictures, with the study's share of validation pictures."""
    validation = max(2, round(training * data.validation / data.training))
    sides = [0] * training + [1] * validation + [2] * 2
    images, labels, classes = drawn.draw(DIFFERENT_PICTURES, data.image_size, data.seed)
    rows = np.arange(len(sides)) % len(images)
    write_arrays(
        folder,
        (images[row] for row in rows),
        size=data.image_size,
        labels=labels[rows].tolist(),
        sides=sides,
        names=[f"{SIDES[side]}.{number}" for number, side in enumerate(sides)],
        classes=classes,
        version="probe",
    )


def _time_cells(
    study: Study,
    cells: list[Mapping[str, Level]],
    specs: list[ReplicateSpec],
    arrays: Path,
    locks: Path,
    used: int,
    pictures: int,
    seconds: float,
) -> Probe:
    timings: list[CellTiming] = []
    # The pool is ready when the training process has loaded Keras.
    with SlotPool(available_devices(study.parallel)[:1], locks) as pool:
        started = time.monotonic()
        timer = threading.Timer(seconds, pool.close)
        timer.daemon = True
        timer.start()
        try:
            for number, (cell, spec) in enumerate(zip(cells, specs, strict=True)):
                if time.monotonic() > started + seconds:
                    break
                share = 1.0 if number else FIRST_SHARE
                epochs = _epoch_seconds(
                    pool, spec, arrays, study.model.builder_folder, started + share * seconds
                )
                if epochs:
                    total = _extrapolated(epochs, spec.training.epochs, pictures / used)
                    timings.append(CellTiming(cell, total, len(epochs)))
            fault = (
                ""
                if timings
                else (
                    f"no epoch of {used} pictures ended in {seconds:.0f} s; another study may be "
                    "training"
                )
            )
        except (CellError, SlotDiedError) as error:
            fault = str(error)
        finally:
            timer.cancel()
    return Probe(best_timings(timings), used, pictures, time.monotonic() - started, fault)


def best_timings(timings: Sequence[CellTiming]) -> tuple[CellTiming, ...]:
    """Return the timings without the compilation, of two epochs or more; if there are none, all."""
    return tuple(t for t in timings if t.epochs > 1) or tuple(timings)


def _epoch_seconds(
    pool: SlotPool,
    spec: ReplicateSpec,
    arrays: Path,
    builder_folder: Path | None,
    until: float,
) -> list[float]:
    """Return the seconds of each epoch that ends until a time, and not of more than are needed."""
    found: list[float] = []

    def on_epoch(figures: Mapping[str, float]) -> None:
        found.append(float(figures["epoch_seconds"]))
        late = time.monotonic() > until and len(found) > 1
        if late or len(found) >= ENOUGH_EPOCHS:
            raise _EnoughError

    long = spec.with_levels({"epochs": ENOUGH_EPOCHS})
    work = arrays.parent / "work"
    try:
        with (
            pool.slot() as slot,
            slot.begin(long, arrays, work, builder_folder=builder_folder) as t,
        ):
            t.finish(work / "result", on_epoch=on_epoch)
    except (_EnoughError, SlotsClosedError):
        pass
    return found


def _extrapolated(epochs: list[float], number: int, times: float) -> float:
    """Return the seconds of a training from those of a few epochs.

    Parameters
    ----------
    epochs : seconds of each; the first one includes the compilation.
    number : epochs of the training.
    times : as many pictures in one of its epochs.
    """
    steady = float(np.median(epochs[1:] or epochs))
    return max(0.0, epochs[0] - steady) + number * steady * times
