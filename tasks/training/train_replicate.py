"""Training one replicate: from its plan to a finished run in MLflow.

`train_replicate` takes these steps:

1. Claim the replicate's key. If a finished run has this key, nothing is trained.
2. Get a trainer (`_get_trainer`): find the checkpoint of a shorter training to continue from
   (`tasks.training.continue_from`), wait for a free slot and start a child process in it; or find
   the result that another machine wrote into the handover folder.
3. Create the run in MLflow. This is done only now, so that its duration is that of the training. If
   a study on another machine has created a run of this key meanwhile, start again with step 1.
4. Train and log every epoch; in the refined grid, stop early if the study uses that.
5. Log the figures, plots and files (`_log_result`); the slot already trains the next replicate.
6. End the run as FINISHED, FAILED or KILLED, whatever happened (`_train_and_track`). If the child
   process died, start again with step 1, which ends the attempts after the last one; so, too, if
   another machine took the replicate over because this one was cut off or suspended.
"""

import math
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from analysis.plots.learning_curve import learning_curve
from models.spec import trained_blocks
from models.training.metrics import metrics_of
from models.training.result import ReplicateResult, load_result
from tasks.errors import (
    CellError,
    LeaseLostError,
    SlotDiedError,
    SlotsClosedError,
)
from tasks.logs import log_event
from tasks.processes.own_folder import own_folder
from tasks.study.replicates import Planned
from tasks.tracking.artifact_paths import CHECKPOINT, NETWORK
from tasks.tracking.epoch_log import EpochLog
from tasks.tracking.execution import Execution
from tasks.tracking.run_table import COUNTED_PART, MULTIPLY_ADDS
from tasks.tracking.system_metrics import system_metrics
from tasks.tracking.tags import NOT_COUNTED
from tasks.training import replicate_figures
from tasks.training.context import TrainingContext
from tasks.training.continue_from import find_start, log_start
from tasks.training.earlier_runs import add_missing_figures
from tasks.training.early_stopping import can_stop, stop_reason
from tasks.training.slots import Training

#: Takes the id of a run and an output folder, writes the files of the result there, and returns it.
Trainer = Callable[[str, Path], ReplicateResult]


def train_replicate(planned: Planned, context: TrainingContext) -> str | None:
    """Train one replicate, and return the id of its finished run.

    Returns
    -------
    None if its cell failed, or if it must be trained on another machine first.

    Raises
    ------
    RetryableError
        If no training process can be started; another try may succeed.
    SlotsClosedError
        If the study was interrupted.
    LeaseLostError
        If another process took the whole execution over.
    """
    execution = context.execution
    while True:
        try:
            with execution.replicates.claim(planned) as finished_run, ExitStack() as resources:
                if finished_run is not None:
                    metrics = add_missing_figures(context, finished_run)
                    response = context.study.measured
                    figure = metrics.get(response.name, math.nan)
                    context.progress.finished(
                        planned.key,
                        planned.name,
                        f"reused, {response.title} {figure:.3f}",
                        figure,
                        planned.spec.training.epochs,
                    )
                    return finished_run
                trainer = _get_trainer(planned, context, resources)
                if trainer is None:
                    return None
                execution.require_lease()
                run_id = execution.replicates.begin(planned)
                if run_id is not None:
                    return _train_and_track(planned, context, run_id, trainer)
        except _TryAgainError as error:
            context.progress.print_line(f"{planned.name}: {error}; trying again")
        except CellError as error:
            context.progress.finished(planned.key, planned.name, f"failed: {error}")
            return None


class _TryAgainError(Exception):
    """The replicate has to be claimed again; the message is the reason."""


def response_of_run(execution: Execution, run_id: str) -> float:
    """Return the study's response of a finished run; NaN if it has none."""
    metrics = execution.tracker.client.get_run(run_id).data.metrics
    return float(metrics.get(execution.study.response, math.nan))


def training_cost(planned: Planned) -> float:
    """Return a number that grows with the training's duration; only the order has a meaning."""
    settings = planned.spec.model.settings
    layers = float(settings.get("conv_layers", 1)) + 0.1 * float(settings.get("fc_layers", 1))
    return planned.spec.training.epochs * (layers + trained_blocks(planned.spec.model))


# -- the two trainers ---------------------------------------------------------------------------


def _get_trainer(
    planned: Planned, context: TrainingContext, resources: ExitStack
) -> Trainer | None:
    """Return a trainer as soon as it can start; None if another machine must train first.

    Parameters
    ----------
    resources : gets what the trainer holds, a slot and a child process.
    """
    if context.handover is None:
        return _slot_trainer(planned, context, resources)
    result_folder = context.handover.find_result(planned)
    if result_folder is None:
        return None
    return _handover_trainer(planned, context, result_folder)


def _slot_trainer(planned: Planned, context: TrainingContext, resources: ExitStack) -> Trainer:
    """Wait for a free slot, and start a child process that trains there."""
    work = own_folder(context.settings.work)
    downloads = resources.enter_context(tempfile.TemporaryDirectory(dir=work))
    start = find_start(planned, context, Path(downloads))
    slot_resources = resources.enter_context(ExitStack())
    slot = slot_resources.enter_context(context.pool.slot(training_cost(planned)))
    # Started before the run is created, which takes a tenth of a second: the child builds its
    # network meanwhile.
    training = resources.enter_context(
        slot.begin(
            planned.spec,
            context.images.arrays_folder,
            work,
            builder_folder=context.execution.study.model.builder_folder,
            keep_state=planned.keep_state,
            continue_from=start.checkpoint,
        )
    )

    def train(run_id: str, folder: Path) -> ReplicateResult:
        # The next replicate trains while the files, epochs and figures of this one are written.
        free_slot, end_child = slot_resources.close, resources.close
        result = _train_in_slot(planned, context, training, run_id, folder, free_slot, end_child)
        log_start(planned, context, run_id, start, result)
        return result

    return train


def _handover_trainer(planned: Planned, context: TrainingContext, trained: Path) -> Trainer:
    """Return a trainer that reads what another machine trained."""

    def read(run_id: str, folder: Path) -> ReplicateResult:
        shutil.copytree(trained, folder)
        result = load_result(folder)
        with EpochLog(context.execution.writer, run_id) as epoch_log:
            for figures in result.history:
                epoch_log.put(figures)
        return _require_finished(planned, result)

    return read


def _train_in_slot(
    planned: Planned,
    context: TrainingContext,
    training: Training,
    run_id: str,
    folder: Path,
    free_slot: Callable[[], None],
    end_child: Callable[[], None],
) -> ReplicateResult:
    """Wait for the child process, and log each epoch when it ends.

    Parameters
    ----------
    free_slot : called when the child no longer needs its device and still writes files.
    end_child : called when the files are written; on a GPU this frees the slot.
    """
    responses: list[float] = []
    context.progress.started(planned.key, planned.name, planned.spec.training.epochs)
    tracker = context.execution.tracker
    with system_metrics(tracker, run_id), EpochLog(context.execution.writer, run_id) as epoch_log:

        def on_epoch(figures: dict[str, Any]) -> None:
            context.progress.epoch(planned.key, figures)
            epoch_log.put(figures)
            # A checkpoint of an earlier version has epochs without the figures of this one.
            responses.append(figures.get(context.study.response, math.nan))
            if planned.stage == "refine" and context.study.refine.prune:
                _raise_if_stopped_early(planned, context, run_id, responses, figures)

        result = training.finish(
            folder,
            on_epoch=on_epoch,
            on_trained=free_slot,
            on_features=partial(context.progress.show_count, "computing features"),
            allowed_silence=60 * context.settings.silence_minutes,
        )
        end_child()  # before the block ends, which waits until all epochs are written
    return _require_finished(planned, result)


def _require_finished(planned: Planned, result: ReplicateResult) -> ReplicateResult:
    if result.status != "finished":
        raise CellError(f"{planned.name}: {result.reason}")
    return result


def _raise_if_stopped_early(
    planned: Planned,
    context: TrainingContext,
    run_id: str,
    responses: list[float],
    figures: dict[str, Any],
) -> None:
    """Raise CellError if the median stopping rule ends this replicate; log what that saves."""
    epoch, epochs = len(responses), planned.spec.training.epochs
    if not can_stop(epoch, epochs):
        return
    response = context.study.measured
    finished = context.histories.finished_replicates(context.execution, "refine")
    reason = stop_reason(responses, finished, epochs, response)
    if not reason:
        return
    seconds = (epochs - epoch) * figures["epoch_seconds"]
    saved = {"pruned_epochs_saved": float(epochs - epoch), "pruned_seconds_saved": seconds}
    context.execution.writer.log(run_id, metrics=saved)
    raise CellError(f"{planned.name}: {reason}; about {seconds:.0f} s saved")


# -- the run in MLflow --------------------------------------------------------------------------


def _train_and_track(
    planned: Planned, context: TrainingContext, run_id: str, trainer: Trainer
) -> str | None:
    """Train, and end the run in the way in which the training ended.

    Raises
    ------
    _TryAgainError
        If the training process died, or another machine took the replicate over.
    """
    _note(planned, context, run_id, "training")
    folder = own_folder(context.settings.work) / run_id
    execution = context.execution
    try:
        execution.log_dataset(
            run_id, str(context.images.source), {"accepted": context.images.accepted}
        )
        result = trainer(run_id, folder)
        figures = _figures(context, result)
        _log_result(planned, context, run_id, result, figures, folder)
    except CellError as error:
        if error.details:
            execution.writer.log_text(run_id, error.details, "traceback.txt")
        execution.replicates.end(run_id, "FAILED", str(error))
        _note(planned, context, run_id, f"failed: {error}")
        context.progress.finished(planned.key, planned.name, f"failed: {error}")
        return None
    except SlotDiedError as error:
        execution.replicates.end_died(run_id, error)
        _note(planned, context, run_id, str(error))
        raise _TryAgainError(str(error)) from error
    except LeaseLostError as error:
        reason = "another machine took this replicate over; the result of this one is discarded"
        _note(planned, context, run_id, reason)
        raise _TryAgainError(reason) from error
    except SlotsClosedError:
        execution.replicates.end(run_id, "KILLED", "interrupted: the study was ended")
        raise
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        execution.replicates.end(run_id, "FAILED", reason)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    figure = figures[context.study.response]
    summary = _result_as_text(planned, result, context.study.measured.title, figure)
    _note(planned, context, run_id, f"finished: {summary}")
    context.progress.finished(
        planned.key, planned.name, summary, figure, planned.spec.training.epochs
    )
    return run_id


def _log_result(
    planned: Planned,
    context: TrainingContext,
    run_id: str,
    result: ReplicateResult,
    figures: Mapping[str, float],
    folder: Path,
) -> None:
    """Log a result with its plots and files, and end the run as FINISHED.

    Parameters
    ----------
    figures : see `_figures`; those of the last epoch were logged during the training.
    """
    execution = context.execution
    execution.writer.log(
        run_id,
        metrics={
            **{name: x for name, x in figures.items() if name not in result.history[-1]},
            "train_seconds": result.train_seconds,
            "median_images_per_second": result.images_per_second,
            "peak_memory_mb": result.peak_memory_mb,
            "parameters": result.parameters,
            **_multiply_adds(result),
            **_costs(result, folder),
            **({"kept_epoch": result.kept_epoch} if _keeps_best(planned) else {}),
        },
        tags={
            **({NOT_COUNTED: ", ".join(result.not_counted)} if result.not_counted else {}),
            "factorgrid.device": result.device,
            "factorgrid.backend": result.backend,
            "factorgrid.precision": result.precision,
            "factorgrid.deterministic": str(result.deterministic).lower(),
            "factorgrid.micro_batch": str(result.micro_batch),
        },
    )
    arrays = context.arrays
    rows, probability = arrays.side("validation"), np.asarray(result.val_probability)
    execution.writer.log_figures(
        run_id,
        {
            "plots/learning_curve.png": learning_curve(result.history, planned.name),
            "plots/confusion.png": replicate_figures.confusion_matrix(
                arrays.labels[rows], probability, arrays.classes
            ),
            "plots/worst.png": replicate_figures.most_confidently_wrong(arrays, rows, probability),
        },
    )
    execution.writer.log_folder(run_id, folder, "model")
    if (folder / Path(CHECKPOINT).name).exists():
        execution.replicates.offer_as_beginning(planned, run_id)
    execution.replicates.finish(run_id)


def _multiply_adds(result: ReplicateResult) -> dict[str, float]:
    """Return the multiply-adds for one image; under another name if a layer was not counted.

    Cells are compared by ``multiply_adds``, for which a part of the network is not enough.
    """
    if result.multiply_adds is None:
        return {}
    return {COUNTED_PART if result.not_counted else MULTIPLY_ADDS: float(result.multiply_adds)}


def _figures(context: TrainingContext, result: ReplicateResult) -> dict[str, float]:
    """Return the figures of the last epoch, and of those that it lacks what the probabilities give.

    The last epoch of a result from an earlier version has only the accuracy and the loss.
    """
    labels = context.arrays.labels[context.arrays.side("validation")]
    return {**metrics_of(result.val_probability, labels, "val_"), **result.history[-1]}


def _costs(result: ReplicateResult, folder: Path) -> dict[str, float]:
    """Return the seconds that an image takes to predict, and the size of the network's file."""
    network = folder / Path(NETWORK).name
    size = {"bytes_on_disk": float(network.stat().st_size)} if network.exists() else {}
    seconds = result.seconds_per_image
    return size if seconds is None else {**size, "seconds_per_image": seconds}


def _keeps_best(planned: Planned) -> bool:
    return planned.spec.training.keep == "best"


def _result_as_text(planned: Planned, result: ReplicateResult, what: str, figure: float) -> str:
    best = f" at epoch {result.kept_epoch}, the best one," if _keeps_best(planned) else ""
    return f"{what} {figure:.3f}{best} in {result.train_seconds:.0f} s"


def _note(planned: Planned, context: TrainingContext, run_id: str, message: str) -> None:
    log_event(
        message,
        study=context.study.name,
        stage=planned.stage,
        cell=planned.cell,
        run_id=run_id,
        study_run_id=context.execution.run_id,
    )
