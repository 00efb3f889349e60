"""MLflow's system metrics of a run: processor, memory, disk and network of the machine, and GPUs.

They are the machine's, not the child's alone, whose own peak of memory is a metric of its run.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.tracking.tracker import Tracker

#: MLflow's own switch; here they are on unless it says no.
SWITCH = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"


@contextmanager
def monitored(tracker: Tracker, run_id: str) -> Iterator[None]:
    """Sample the machine every 10 s while the block runs; a shorter block leaves nothing.

    MLflow's monitor takes a run's id, and needs no active run. It stops where the server goes away:
    nothing is decided by these figures, and nothing waits for them.
    """
    if os.environ.get(SWITCH, "true").lower() in {"false", "0"}:
        yield
        return
    from mlflow.system_metrics import system_metrics_monitor as mlflow_monitor

    logging.getLogger(mlflow_monitor.__name__).setLevel(logging.CRITICAL)
    uri = tracker.settings.tracking_uri
    monitor = mlflow_monitor.SystemMetricsMonitor(run_id, tracking_uri=uri)
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
