"""Logging a replicate's epochs to MLflow in the background: training never waits for the server."""

import queue
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from tasks.tracking.run_writer import RunWriter, metric_rows


class EpochLog:
    """Writes the metrics of one run's epochs, in their order, in one thread.

    Leaving the block waits until all metrics are written. If the process is killed, the metrics
    that were not written are lost; the replicate is trained again in any case.
    """

    def __init__(self, writer: RunWriter, run_id: str) -> None:
        self._writer, self._run_id = writer, run_id
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="epochs")
        self._writes: list[Future[None]] = []
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def put(self, report: Mapping[str, Any]) -> None:
        """Write the metrics of an epoch, with the current time.

        Parameters
        ----------
        report : metrics by name, and ``epoch``, which becomes the step.

        Raises
        ------
        TrackingError
            If an earlier epoch could not be written.
        """
        self._raise_if_failed()
        metrics = {name: value for name, value in report.items() if name != "epoch"}
        self._queue.put(metric_rows(metrics, int(report["epoch"])))
        self._writes.append(self._thread.submit(self._write))

    def _write(self) -> None:
        """Write everything in the queue: many epochs at once after the server was unreachable."""
        rows = []
        while not self._queue.empty():
            rows += self._queue.get()
        self._writer.log_metrics(self._run_id, rows)

    def _raise_if_failed(self) -> None:
        for write in self._writes:
            if write.done():
                write.result()

    def __enter__(self) -> Self:
        """Return the log itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        """Wait until all metrics are written."""
        self._thread.shutdown(wait=True)
        if kind is None:
            self._raise_if_failed()
