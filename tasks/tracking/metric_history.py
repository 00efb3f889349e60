"""The history by epoch of the response, of one run or of the finished replicates of one stage."""

import threading
from collections.abc import Sequence

from tasks.study.replicates import Stage
from tasks.tracking.execution import Execution
from tasks.tracking.tags import PARENT, REUSED_FROM, stage_tag
from tasks.tracking.tracker import Tracker


class MetricHistories:
    """Reads the histories of a study's response from MLflow; any thread may call it.

    The history of a run is read once and then cached, because a finished run never changes. This is
    not a dataclass: Prefect may copy the dataclasses among a task's arguments, and the cache.
    """

    def __init__(self) -> None:
        self._by_run: dict[str, tuple[float, ...]] = {}
        self._lock = threading.Lock()

    def finished_replicates(
        self, execution: Execution, stage: Stage
    ) -> Sequence[tuple[float, ...]]:
        """Return one history per finished replicate of a stage, in the order of the epochs.

        Replicates that this execution trained before it was cut off are included, and so are those
        that another machine trained. A replicate that was reused from an earlier study has the
        history of the run that trained it.
        """
        condition = (
            f"tags.`{PARENT}` = '{execution.run_id}' and tags.`{stage_tag(stage)}` = 'true' "
            "and attributes.status = 'FINISHED'"
        )
        runs = execution.tracker.search([execution.experiment], condition)
        with self._lock:
            return [
                self._history(execution, run.data.tags.get(REUSED_FROM, run.info.run_id))
                for run in runs
            ]

    def _history(self, execution: Execution, run_id: str) -> tuple[float, ...]:
        if run_id not in self._by_run:
            self._by_run[run_id] = metric_history(
                execution.tracker, run_id, execution.study.response
            )
        return self._by_run[run_id]


def metric_history(tracker: Tracker, run_id: str, metric: str) -> tuple[float, ...]:
    """Return a metric of a run by epoch; empty if it was not logged."""
    points = tracker.client.get_metric_history(run_id, metric)
    # One value per epoch, even if a write was repeated after a lost answer.
    by_epoch = {point.step: float(point.value) for point in points}
    return tuple(by_epoch[epoch] for epoch in sorted(by_epoch))
