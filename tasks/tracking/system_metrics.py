"""MLflow's system metrics of a run: processor, memory, disk and network of the machine, and GPUs.

They describe the whole machine, not only the child process that trains. The child's own peak
memory is a separate metric of its run.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.tracking.tracker import Tracker

#: MLflow's own variable. In FactorGrid the metrics are on unless it is ``false``.
SWITCH = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"


@contextmanager
def system_metrics(tracker: Tracker, run_id: str) -> Iterator[None]:
    """Sample the machine every 10 s while the block runs; a shorter block logs nothing.

    MLflow's monitor takes a run id and needs no active run. It stops if the server becomes
    unreachable: nothing is decided by these metrics, so nothing waits for them.
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
