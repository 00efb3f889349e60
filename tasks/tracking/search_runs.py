"""The runs of a comparison: one nested run per search of a tuner."""

from collections.abc import Mapping, Sequence

from tasks.tracking.execution import Execution
from tasks.tracking.run_writer import metric_rows, origin_tags
from tasks.tracking.tags import KIND, PARENT


def log_search(
    execution: Execution,
    name: str,
    params: Mapping[str, object],
    curves: Mapping[str, Sequence[float]],
) -> None:
    """Log one tuner's search as a nested run, unless it was logged before.

    Parameters
    ----------
    execution : of the comparison.
    name : of the run.
    params : the tuner and what it delivered.
    curves : metrics by name; step 1 is the first run of the search.
    """
    tracker = execution.tracker
    condition = (
        f"tags.`{PARENT}` = '{execution.run_id}' and tags.`{KIND}` = 'search' "
        f"and attributes.run_name = '{name}' and attributes.status = 'FINISHED'"
    )
    if tracker.search([execution.experiment], condition, limit=1):
        return
    tags = {PARENT: execution.run_id, KIND: "search", **origin_tags("factorgrid compare")}
    run = tracker.client.create_run(execution.experiment, tags=tags, run_name=name)
    run_id = str(run.info.run_id)
    tracker.writer.log(run_id, params=params)
    rows = [
        row
        for metric, values in curves.items()
        for step, value in enumerate(values, 1)
        for row in metric_rows({metric: value}, step)
    ]
    tracker.writer.log_metrics(run_id, rows)
    tracker.client.set_terminated(run_id, "FINISHED")
