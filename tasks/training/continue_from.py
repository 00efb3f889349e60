"""From where a training starts: the beginning, or the checkpoint of a shorter finished training."""

from dataclasses import dataclass
from pathlib import Path

from models.training.result import ReplicateResult
from tasks.errors import TrackingError
from tasks.study.replicates import Planned
from tasks.tracking.artifact_paths import CHECKPOINT
from tasks.tracking.tags import CONTINUED_FROM, NOT_CONTINUED
from tasks.training.context import TrainingContext


@dataclass(frozen=True)
class Start:
    """From where a training starts.

    Attributes
    ----------
    run_id : the run of the longest shorter training of the replicate; empty if there is none.
    checkpoint : its downloaded checkpoint.
    fault : why its checkpoint cannot be had; empty if it can.
    """

    run_id: str = ""
    checkpoint: Path | None = None
    fault: str = ""


def find_start(planned: Planned, context: TrainingContext, folder: Path) -> Start:
    """Find the longest training that is the beginning of this one, and download its checkpoint.

    Parameters
    ----------
    folder : gets the checkpoint.
    """
    execution = context.execution
    run_id = execution.replicates.longest_beginning(planned)
    if run_id is None:
        return Start()
    try:
        checkpoint = execution.tracker.artifact(run_id, CHECKPOINT, folder)
    except (TrackingError, OSError) as error:
        return Start(run_id, fault=str(error))
    return Start(run_id, checkpoint)


def log_start(
    planned: Planned,
    context: TrainingContext,
    run_id: str,
    start: Start,
    result: ReplicateResult,
) -> None:
    """Log from where a training started, and how many of its epochs it trained itself."""
    writer = context.execution.writer
    if result.continued_epochs:
        writer.log(
            run_id,
            metrics={
                "continued_epochs": result.continued_epochs,
                "continued_seconds": result.continued_seconds,
                "epochs_trained": len(result.history) - result.continued_epochs,
            },
            tags={CONTINUED_FROM: start.run_id},
        )
    elif fault := start.fault or result.not_continued:
        reason = f"the checkpoint of run {start.run_id} cannot be used: {fault}"
        writer.log(run_id, tags={NOT_CONTINUED: reason})
        context.progress.print_line(f"{planned.name}: trained from the beginning; {reason}")
