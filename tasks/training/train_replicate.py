"""Training replicates: one Prefect task each, in slots of their own processes."""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from models.training.train import ReplicateResult
from tasks.errors import CellError, RetryableError, SlotsClosedError
from tasks.logs import log_event
from tasks.study.replicates import Planned
from tasks.tracking.epoch_log import EpochLog
from tasks.tracking.system_metrics import system_metrics
from tasks.training import replicate_figures
from tasks.training.context import TrainingContext
from tasks.training.slots import Training, load_result


def train_replicate(planned: Planned, context: TrainingContext) -> str | None:
    """Do it in this process, with its own slots."""
    while True:
        with context.execution.replicates.claim(planned) as finished:
            if finished is not None:
                context.progress.finished(planned.key, planned.name, "reused")
                return finished
            with ExitStack() as held:
                train_it = _way(planned, context, held)
                if train_it is None:
                    return None
                run_id = context.execution.replicates.begin(planned)
                if run_id is not None:  # else another machine's study was quicker
                    return _tracked(planned, context, run_id, train_it)


#: Trains a run's replicate into a folder.
Way = Callable[[str, Path], ReplicateResult]


def _way(planned: Planned, context: TrainingContext, held: ExitStack) -> Way | None:
    """Return how a replicate is trained, once it can be: in a slot, or on another machine.

    A run begins when its slot is free, so that its duration is that of the training.
    """
    if context.handover is not None:
        trained = context.handover.result_of(planned)
        return None if trained is None else _read_way(planned, context, trained)
    device = held.enter_context(ExitStack())
    slot = device.enter_context(context.pool.slot(training_cost(planned)))
    # Before its run is created, a tenth of a second in which the child builds its network.
    begun = slot.begin(
        planned.spec,
        context.images.arrays_folder,
        context.settings.work,
        builder_folder=context.execution.study.model.builder_folder,
    )
    training = held.enter_context(begun)

    def fit(run_id: str, folder: Path) -> ReplicateResult:
        # The next replicate trains while this one's network, epochs and figures are written.
        return _fit(planned, context, training, run_id, folder, device.close, held.close)

    return fit


def _read_way(planned: Planned, context: TrainingContext, trained: Path) -> Way:
    """Take what another machine trained as if it had been trained here."""

    def read(run_id: str, folder: Path) -> ReplicateResult:
        shutil.copytree(trained, folder)
        result = load_result(folder)
        with EpochLog(context.execution.writer, run_id) as written:
            for report in result.history:
                written.put(report)
        return _finished(planned, result)

    return read


def _tracked(planned: Planned, context: TrainingContext, run_id: str, train_it: Way) -> str | None:
    """Train, and end the run as its training ends."""
    _note(context, planned, run_id, "training")
    folder = context.settings.work / run_id
    try:
        context.execution.log_dataset(
            run_id, str(context.images.source), {"accepted": context.images.accepted}
        )
        result = train_it(run_id, folder)
        _log_result(context, run_id, planned, result, folder)
    except CellError as error:
        if error.details:
            context.execution.log_text(run_id, error.details, "traceback.txt")
        context.execution.replicates.end(run_id, "FAILED", str(error))
        _note(context, planned, run_id, f"failed: {error}")
        context.progress.finished(planned.key, planned.name, f"failed: {error}")
        return None
    except RetryableError as error:
        context.execution.replicates.end(run_id, "FAILED", str(error))
        raise
    except SlotsClosedError:
        context.execution.replicates.end(run_id, "KILLED", "interrupted: the study was ended")
        raise
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        context.execution.replicates.end(run_id, "FAILED", reason)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _note(context, planned, run_id, f"finished: {_words(result)}")
    context.progress.finished(planned.key, planned.name, _words(result))
    return run_id


def _note(context: TrainingContext, planned: Planned, run_id: str, message: str) -> None:
    execution = context.execution
    log_event(
        message,
        study=execution.study.name,
        stage=planned.stage,
        cell=planned.cell,
        run_id=run_id,
        study_run_id=execution.run_id,
    )


def _fit(
    planned: Planned,
    context: TrainingContext,
    training: Training,
    run_id: str,
    folder: Path,
    free_the_slot: Callable[[], None],
    end_the_child: Callable[[], None],
) -> ReplicateResult:
    accuracies: list[float] = []
    context.progress.started(planned.key, planned.name, planned.spec.training.epochs)
    tracker = context.execution.tracker
    with system_metrics(tracker, run_id), EpochLog(context.execution.writer, run_id) as written:

        def on_epoch(report: dict[str, Any]) -> None:
            context.progress.epoch(planned.key, report)
            written.put(report)
            accuracies.append(report["val_accuracy"])
            if planned.stage == "refine" and context.execution.study.refine.prune:
                _end_if_hopeless(context, run_id, planned, report, accuracies)

        result = training.finish(folder, on_epoch=on_epoch, on_trained=free_the_slot)
        end_the_child()
    return _finished(planned, result)


def _end_if_hopeless(
    context: TrainingContext,
    run_id: str,
    planned: Planned,
    report: dict[str, Any],
    accuracies: list[float],
) -> None:
    epochs = planned.spec.training.epochs
    why = context.pruner.hopeless(accuracies, epochs)
    if why:
        saved = epochs - len(accuracies)
        seconds = saved * report["epoch_seconds"]
        figures = {"pruned_epochs_saved": float(saved), "pruned_seconds_saved": seconds}
        context.execution.log(run_id, metrics=figures, step=int(report["epoch"]))
        raise CellError(f"{planned.name}: {why}; about {seconds:.0f} s saved")


def _finished(planned: Planned, result: ReplicateResult) -> ReplicateResult:
    if result.status != "finished":
        raise CellError(f"{planned.name}: {result.reason}")
    return result


def _log_result(
    context: TrainingContext, run_id: str, planned: Planned, result: ReplicateResult, folder: Path
) -> None:
    last = result.history[-1]
    context.pruner.finished([row["val_accuracy"] for row in result.history])
    arrays = context.arrays
    rows = arrays.side("validation")
    probability = np.asarray(result.val_probability)
    context.execution.log(
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
    context.execution.log_figures(
        run_id,
        {
            "plots/learning_curve.png": replicate_figures.learning_curve(
                result.history, planned.name
            ),
            "plots/confusion.png": replicate_figures.confusion(
                arrays.labels[rows], probability, arrays.classes
            ),
            "plots/worst.png": replicate_figures.most_confidently_wrong(arrays, rows, probability),
        },
    )
    context.execution.log_folder(run_id, folder, "model")
    context.execution.replicates.end(run_id, "FINISHED")


def _words(result: ReplicateResult) -> str:
    accuracy = result.history[-1]["val_accuracy"]
    return f"accuracy {accuracy:.3f} in {result.train_seconds:.0f} s"


def training_cost(planned: Planned) -> float:
    """Rank by what is known to lengthen training; only the order matters."""
    settings = planned.spec.model.settings
    layers = float(settings.get("conv_layers", 1)) + 0.1 * float(settings.get("fc_layers", 1))
    return planned.spec.training.epochs * layers
