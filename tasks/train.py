"""Training replicates: one Prefect task each, in slots of their own processes."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from prefect import task, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from models.images import ImageArrays, open_arrays
from models.training import ReplicateResult
from tasks import figures
from tasks.builders import source_of
from tasks.dataset import Prepared
from tasks.elsewhere import Elsewhere
from tasks.epochs import EpochLog
from tasks.errors import CellError, RetryableError, SlotsClosedError
from tasks.evidence import log_evidence
from tasks.logs import note
from tasks.monitor import monitored
from tasks.plan import Planned
from tasks.progress import Progress
from tasks.pruning import Pruner
from tasks.settings import Settings
from tasks.slots import SlotPool, Training, load_result
from tasks.study import Study
from tasks.tracking import Execution, Facts, Kind, Tracker


class Crew(Protocol):
    """Other machines that train."""

    def train(self, todo: Sequence[Planned], shop: "Workshop") -> list[str]:
        """Train each and return the ids of the runs that finished."""


@contextmanager
def open_crew(settings: Settings) -> Iterator[Crew | None]:
    """Open the cluster that the settings name; None where this machine trains."""
    if settings.runner == "threads":
        yield None
        return
    from tasks.remote import Cluster

    with Cluster.open(settings) as cluster:
        yield cluster


@dataclass(frozen=True)
class Workshop:
    """What training needs, shared by the threads of one execution."""

    settings: Settings
    progress: Progress
    pool: SlotPool
    images: Prepared
    arrays: ImageArrays
    execution: Execution
    crew: "Crew | None" = None
    elsewhere: Elsewhere | None = None
    pruner: Pruner = field(default_factory=Pruner)


@contextmanager
def open_workshop(
    tracker: Tracker,
    study: Study,
    images: Prepared,
    progress: Progress,
    elsewhere: Path | None = None,
    kind: Kind = "study",
) -> Iterator[Workshop]:
    """Open the execution and the slots; close them in turn, whatever happens."""
    arrays = open_arrays(images.arrays_folder)
    facts, settings = Facts.of(arrays, images.words), tracker.settings
    with (
        tracker.execution(study, images.version, facts, kind) as execution,
        SlotPool(locks=settings.locks, compiled=settings.compiled) as pool,
        open_crew(settings) as crew,
    ):
        # Here first: fanned out, the first writers of a new dataset would collide.
        execution.log_dataset(execution.run_id, str(images.source), {"accepted": images.accepted})
        log_evidence(execution, arrays)
        _log_builder(execution)
        if execution.resumed:
            progress.say(f"going on with run {execution.run_id}, which was cut off")
        other = Elsewhere(elsewhere) if elsewhere else None
        yield Workshop(settings, progress, pool, images, arrays, execution, crew, other)


def _log_builder(execution: Execution) -> None:
    found = source_of(execution.study)
    if found is not None:
        name, text = found
        execution.log_text(execution.run_id, text, f"builder/{name}")


def worth_a_retry(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether the world, not the cell, was to blame."""
    result = state.result(raise_on_failure=False)
    return isinstance(result, RetryableError)


@task(
    name="train",
    task_run_name="{planned.name}",
    # MLflow remembers what was trained; Prefect's caches would point at stale files.
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_condition_fn=worth_a_retry,
)
def train(planned: Planned, shop: Workshop) -> str | None:
    """Train one replicate, unless a finished run has its key, and return its run's id.

    A cell that cannot be trained (its network cannot be built, its loss became NaN) ends its own
    run as FAILED and the study goes on; None then.
    """
    return train_here(planned, shop)


def train_here(planned: Planned, shop: Workshop) -> str | None:
    """Do it in this process, with its own slots."""
    while True:
        with shop.execution.claim(planned) as finished:
            if finished is not None:
                shop.progress.finished(planned.key, planned.name, "reused")
                return finished
            with ExitStack() as held:
                train_it = _way(planned, shop, held)
                if train_it is None:
                    return None
                run_id = shop.execution.begin_replicate(planned)
                if run_id is not None:  # else another machine's study was quicker
                    return _tracked(planned, shop, run_id, train_it)


#: Trains a run's replicate into a folder.
Way = Callable[[str, Path], ReplicateResult]


def _way(planned: Planned, shop: Workshop, held: ExitStack) -> Way | None:
    """Return how a replicate is trained, once it can be: in a slot, or on another machine.

    A run begins when its slot is free, so that its duration is that of the training.
    """
    if shop.elsewhere is not None:
        trained = shop.elsewhere.result_of(planned)
        return None if trained is None else _read_way(planned, shop, trained)
    device = held.enter_context(ExitStack())
    slot = device.enter_context(shop.pool.slot(_cost(planned)))
    # Before its run is created, a tenth of a second in which the child builds its network.
    begun = slot.begin(
        planned.spec,
        shop.images.arrays_folder,
        shop.settings.work,
        builder_folder=shop.execution.study.model.builder_folder,
    )
    training = held.enter_context(begun)

    def fit(run_id: str, folder: Path) -> ReplicateResult:
        # The next replicate trains while this one's network, epochs and figures are written.
        return _fit(planned, shop, training, run_id, folder, device.close, held.close)

    return fit


def _read_way(planned: Planned, shop: Workshop, trained: Path) -> Way:
    """Take what another machine trained as if it had been trained here."""

    def read(run_id: str, folder: Path) -> ReplicateResult:
        shutil.copytree(trained, folder)
        result = load_result(folder)
        with EpochLog(shop.execution, run_id) as written:
            for report in result.history:
                written.put(report)
        return _finished(planned, result)

    return read


def _tracked(planned: Planned, shop: Workshop, run_id: str, train_it: Way) -> str | None:
    """Train, and end the run as its training ends."""
    _note(shop, planned, run_id, "training")
    folder = shop.settings.work / run_id
    try:
        shop.execution.log_dataset(
            run_id, str(shop.images.source), {"accepted": shop.images.accepted}
        )
        result = train_it(run_id, folder)
        _log_result(shop, run_id, planned, result, folder)
    except CellError as error:
        if error.details:
            shop.execution.log_text(run_id, error.details, "traceback.txt")
        shop.execution.end_replicate(run_id, "FAILED", str(error))
        _note(shop, planned, run_id, f"failed: {error}")
        shop.progress.finished(planned.key, planned.name, f"failed: {error}")
        return None
    except RetryableError as error:
        shop.execution.end_replicate(run_id, "FAILED", str(error))
        raise
    except SlotsClosedError:
        shop.execution.end_replicate(run_id, "KILLED", "interrupted: the study was ended")
        raise
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        shop.execution.end_replicate(run_id, "FAILED", reason)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _note(shop, planned, run_id, f"finished: {_words(result)}")
    shop.progress.finished(planned.key, planned.name, _words(result))
    return run_id


def _note(shop: Workshop, planned: Planned, run_id: str, message: str) -> None:
    execution = shop.execution
    note(
        message,
        study=execution.study.name,
        stage=planned.stage,
        cell=planned.cell,
        run_id=run_id,
        study_run_id=execution.run_id,
    )


def _fit(
    planned: Planned,
    shop: Workshop,
    training: Training,
    run_id: str,
    folder: Path,
    free_the_slot: Callable[[], None],
    end_the_child: Callable[[], None],
) -> ReplicateResult:
    accuracies: list[float] = []
    shop.progress.started(planned.key, planned.name, planned.spec.training.epochs)
    tracker = shop.execution.tracker
    with monitored(tracker, run_id), EpochLog(shop.execution, run_id) as written:

        def on_epoch(report: dict[str, Any]) -> None:
            shop.progress.epoch(planned.key, report)
            written.put(report)
            accuracies.append(report["val_accuracy"])
            if planned.stage == "refine" and shop.execution.study.refine.prune:
                _end_if_hopeless(shop, run_id, planned, report, accuracies)

        result = training.finish(folder, on_epoch=on_epoch, on_trained=free_the_slot)
        end_the_child()
    return _finished(planned, result)


def _end_if_hopeless(
    shop: Workshop,
    run_id: str,
    planned: Planned,
    report: dict[str, Any],
    accuracies: list[float],
) -> None:
    epochs = planned.spec.training.epochs
    why = shop.pruner.hopeless(accuracies, epochs)
    if why:
        saved = epochs - len(accuracies)
        seconds = saved * report["epoch_seconds"]
        figures = {"pruned_epochs_saved": float(saved), "pruned_seconds_saved": seconds}
        shop.execution.log(run_id, metrics=figures, step=int(report["epoch"]))
        raise CellError(f"{planned.name}: {why}; about {seconds:.0f} s saved")


def _finished(planned: Planned, result: ReplicateResult) -> ReplicateResult:
    if result.status != "finished":
        raise CellError(f"{planned.name}: {result.reason}")
    return result


def _log_result(
    shop: Workshop, run_id: str, planned: Planned, result: ReplicateResult, folder: Path
) -> None:
    last = result.history[-1]
    shop.pruner.finished([row["val_accuracy"] for row in result.history])
    arrays = shop.arrays
    rows = arrays.side("validation")
    probability = np.asarray(result.val_probability)
    shop.execution.log(
        run_id,
        metrics={
            "train_seconds": result.train_seconds,
            "median_images_per_second": result.images_per_second,
            "peak_memory_mb": result.peak_memory_mb,
            "parameters": result.parameters,
        },
        tags={
            "factorgrid.device": result.device,
            "factorgrid.backend": result.backend,
            "factorgrid.precision": result.precision,
            "factorgrid.deterministic": str(result.deterministic).lower(),
            "factorgrid.micro_batch": str(result.micro_batch),
        },
        step=int(last["epoch"]),
    )
    shop.execution.log_figures(
        run_id,
        {
            "plots/learning_curve.png": figures.learning_curve(result.history, planned.name),
            "plots/confusion.png": figures.confusion(
                arrays.labels[rows], probability, arrays.classes
            ),
            "plots/worst.png": figures.most_confidently_wrong(arrays, rows, probability),
        },
    )
    shop.execution.log_folder(run_id, folder, "model")
    shop.execution.end_replicate(run_id, "FINISHED")


def _words(result: ReplicateResult) -> str:
    accuracy = result.history[-1]["val_accuracy"]
    return f"accuracy {accuracy:.3f} in {result.train_seconds:.0f} s"


def train_stage(shop: Workshop, planned: Iterable[Planned]) -> list[str]:
    """Fan a stage out over the slots, longest first, and gather the ids of its finished runs.

    Replicates that failed leave no id; the analysis names their cells.
    """
    todo = sorted({p.key: p for p in planned}.values(), key=_cost, reverse=True)
    if not todo:
        return []
    shop.progress.stage(todo[0].stage, len(todo))
    if shop.crew is not None:
        return shop.crew.train(todo, shop)
    futures = train.map(todo, unmapped(shop))
    trained = [run_id for future in futures if (run_id := future.result()) is not None]
    if shop.elsewhere is not None:
        shop.elsewhere.hand_over(shop.images.arrays_folder)
    return trained


def _cost(planned: Planned) -> float:
    """Rank by what is known to lengthen training; only the order matters."""
    settings = planned.spec.model.settings
    layers = float(settings.get("conv_layers", 1)) + 0.1 * float(settings.get("fc_layers", 1))
    return planned.spec.training.epochs * layers
