"""Runs of earlier versions that are reused: their figures of today, from what they kept."""

from models.training.metrics import metrics_of
from tasks.tracking.artifact_paths import NETWORK
from tasks.tracking.execution import Execution
from tasks.tracking.predictions import stored_probability
from tasks.tracking.tags import REUSED_FROM
from tasks.training.context import TrainingContext


def add_missing_figures(context: TrainingContext, run_id: str) -> dict[str, float]:
    """Log the responses that a finished run lacks, from its stored validation probabilities.

    Versions before 0.3 logged only the accuracy and the loss. They kept the probabilities, so that
    nothing is trained again. Seconds are not known of a run that did not measure them.

    Returns
    -------
    All metrics of the run.
    """
    execution, study = context.execution, context.study
    run = execution.tracker.client.get_run(run_id)
    logged: dict[str, float] = run.data.metrics
    missing = {study.response} - logged.keys()
    if study.second == "bytes_on_disk":
        missing |= {study.second} - logged.keys()
    if not missing:
        return logged
    trained_by = run.data.tags.get(REUSED_FROM, run_id)
    found = {**_responses(context, trained_by), **_size(execution, trained_by)}
    new = {name: value for name, value in found.items() if name not in logged}
    if not missing <= new.keys():
        context.progress.print_line(
            f"run {run_id}: has no {', '.join(sorted(missing - new.keys()))}, and not the "
            "predictions to compute it from; its cell counts as not trained"
        )
    execution.writer.log(run_id, metrics=new)
    return {**logged, **new}


def _responses(context: TrainingContext, run_id: str) -> dict[str, float]:
    probability = stored_probability(context.execution.tracker, run_id, "val")
    if probability is None:
        return {}
    labels = context.arrays.labels[context.arrays.side("validation")]
    return metrics_of(probability, labels, "val_") if len(probability) == len(labels) else {}


def _size(execution: Execution, run_id: str) -> dict[str, float]:
    folder, _, name = NETWORK.rpartition("/")
    files = execution.tracker.client.list_artifacts(run_id, folder)
    sizes = [float(f.file_size) for f in files if f.path.endswith(f"/{name}")]
    return {"bytes_on_disk": sizes[0]} if sizes else {}
