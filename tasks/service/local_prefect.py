"""A Prefect server for one command, if none is configured.

Prefect can start a temporary server itself, but in the terminal's process group: Ctrl-C ends it
before the flow can report that it was interrupted (the flow then hangs), and after a killed flow it
keeps running. This server runs under `tasks.processes.supervisor`: it ignores Ctrl-C, and ends with
the process that started it.
"""

import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from tasks.errors import OrchestratorError
from tasks.processes.ports import free_port
from tasks.processes.supervised import SupervisedProgram
from tasks.service.prefect_address import check_prefect_address
from tasks.settings import Settings

STARTUP_SECONDS = 120


class LocalServer:
    """A Prefect server on a free port of this machine; it is ready when `wait` returns."""

    def __init__(self, log: Path) -> None:
        # If two servers create one database at the same time, one fails: they start in turn.
        self._starting = FileLock(log.with_suffix(".lock"), thread_local=False)
        self._starting.acquire()
        self.port = free_port()
        self.log = log
        command = [sys.executable, "-P", "-m", "prefect", "server", "start", "--no-ui"]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        self._program = SupervisedProgram(command, log)

    @property
    def api_url(self) -> str:
        """The value of ``PREFECT_API_URL``."""
        return f"http://127.0.0.1:{self.port}/api"

    def wait(self) -> None:
        """Wait until the server answers.

        Raises
        ------
        OrchestratorError
            If it ended, or did not answer in time.
        """
        try:
            self._wait_until(time.monotonic() + STARTUP_SECONDS)
        finally:
            self._starting.release()

    def _wait_until(self, deadline: float) -> None:
        while not self._answers():
            if self._program.exit_status is not None or time.monotonic() > deadline:
                raise OrchestratorError(
                    f"Prefect's local server did not start; correct the error in its log "
                    f"{self.log}, or name a running server in PREFECT_API_URL"
                )
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.api_url}/health", timeout=5) as answer:  # noqa: S310 # always an http address
                return bool(answer.status == 200)  # noqa: PLR2004 # OK
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        """End the server and all processes that it started."""
        self._program.stop()
        self._starting.release()


@contextmanager
def local_prefect(settings: Settings) -> Iterator[LocalServer | None]:
    """Start a server and point Prefect at it, unless ``PREFECT_API_URL`` names one.

    Enter it before Prefect is imported, because Prefect reads its settings only once. It does not
    wait for the server, so that the caller can import libraries meanwhile.

    Raises
    ------
    OrchestratorError
        If no Prefect server answers at ``PREFECT_API_URL``.
    """
    if url := os.environ.get("PREFECT_API_URL"):
        check_prefect_address(url)
        yield None
        return
    server = LocalServer(settings.logs / "prefect-server.log")
    os.environ["PREFECT_API_URL"] = server.api_url
    # This server ends with the study; unsent log lines would delay the exit by a minute.
    os.environ.setdefault("PREFECT_LOGGING_TO_API_ENABLED", "false")
    try:
        yield server
    finally:
        del os.environ["PREFECT_API_URL"]
        server.stop()
