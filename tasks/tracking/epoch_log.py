"""A replicate's epochs on their way to MLflow: training does not wait for the server."""

import queue
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from tasks.tracking.execution import Execution
from tasks.tracking.run_writer import metric_rows


class EpochLog:
    """Writes one run's epochs in their order, by a thread of its own.

    Leaving the block waits until all are written. A process that is killed loses what was not, with
    the replicate that is repeated anyway.
    """

    def __init__(self, execution: Execution, run_id: str) -> None:
        self._execution, self._run_id = execution, run_id
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="epochs")
        self._written: list[Future[None]] = []
        self._waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def put(self, report: Mapping[str, Any]) -> None:
        """Write an epoch's figures, as of now.

        Raises
        ------
        TrackingError
            If an epoch before could not be written.
        """
        self._raise_if_failed()
        metrics = {name: value for name, value in report.items() if name != "epoch"}
        self._waiting.put(metric_rows(metrics, int(report["epoch"])))
        self._written.append(self._writer.submit(self._write))

    def _write(self) -> None:
        """Write all that waits: after a server's absence that is many epochs in one batch."""
        rows = []
        while not self._waiting.empty():
            rows += self._waiting.get()
        self._execution.log_metrics(self._run_id, rows)

    def _raise_if_failed(self) -> None:
        for future in self._written:
            if future.done():
                future.result()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        """Wait for the writer."""
        self._writer.shutdown(wait=True)
        if kind is None:
            self._raise_if_failed()
