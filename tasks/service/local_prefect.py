"""A Prefect server for one command, if none is configured.

Prefect can start a temporary server itself, but in the terminal's process group: Ctrl-C ends it
before the flow can report that it was interrupted (the flow then hangs), and after a killed flow it
keeps running. This server runs under `tasks.processes.supervisor`: it ignores Ctrl-C, and ends with
the process that started it. It has a random password, and answers only this machine's programs.

If the server ends during the command, it is started again. Its port is held by this process, so
that requests wait meanwhile instead of failing: a new client of Prefect does not retry a refused
connection.
"""

import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from tasks.errors import FactorGridError, OrchestratorError
from tasks.logs import log_event
from tasks.processes.supervised import SupervisedProgram
from tasks.service.access import (
    CLIENT_PASSWORD,
    LOOPBACK,
    PREFECT_PROGRAM,
    new_password,
    prefect_access,
    user_password,
)
from tasks.service.prefect_address import check_prefect_address
from tasks.service.prefect_events import deliver_events, shorten_reports
from tasks.service.watched_program import MAX_QUICK_EXITS, QuickExits
from tasks.settings import Settings

STARTUP_SECONDS = 120
#: Seconds between two checks whether the server runs.
POLL_SECONDS = 0.2
#: Requests that wait while the server is started again.
BACKLOG = 256


class LocalServer:
    """A Prefect server on a free port of this machine; it is ready when `wait` returns.

    Attributes
    ----------
    port : its port.
    password : its ``user:password``.
    log : the file with its output.
    failure : why it is not started again; empty while it runs.
    """

    def __init__(self, log: Path) -> None:
        self.password = user_password() or new_password()
        self.log = log
        # If two servers create one database at the same time, one fails: they start in turn.
        self._starting = FileLock(log.with_suffix(".lock"), thread_local=False)
        self._starting.acquire()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.port = int(self._listening.getsockname()[1])
        self.failure = ""
        self._stopping = threading.Event()
        self._program = self._start()
        self._watch = threading.Thread(target=self._restart_when_ended, daemon=True)

    def _start(self) -> SupervisedProgram:
        self._started_at = time.monotonic()
        descriptor = self._listening.fileno()
        command = [*PREFECT_PROGRAM, "--descriptor", str(descriptor), *LOOPBACK]
        environment = {"PREFECT_SERVER_UI_ENABLED": "false", **prefect_access(self.password)}
        return SupervisedProgram(command, self.log, environment, [descriptor])

    @property
    def api_url(self) -> str:
        """The value of ``PREFECT_API_URL``."""
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables by which Prefect's client uses it."""
        return {"PREFECT_API_URL": self.api_url, CLIENT_PASSWORD: self.password}

    def wait(self) -> None:
        """Wait until the server answers; from then on, it is started again if it ends.

        Raises
        ------
        OrchestratorError
            If it ended, or did not answer in time.
        """
        try:
            self._wait_until(time.monotonic() + STARTUP_SECONDS)
        finally:
            self._starting.release()
        self._watch.start()

    def _wait_until(self, deadline: float) -> None:
        while not self._answers():
            if self._program.exit_status is not None or time.monotonic() > deadline:
                raise OrchestratorError(
                    f"Prefect's local server did not start; correct the error in its log "
                    f"{self.log}, or name a running server in PREFECT_API_URL"
                )
            time.sleep(0.1)

    def _answers(self) -> bool:
        # A short time-out: until the server has started, requests to its port wait.
        try:
            with urllib.request.urlopen(f"{self.api_url}/health", timeout=1) as answer:  # noqa: S310 # always an http address
                return bool(answer.status == 200)  # noqa: PLR2004 # OK
        except (urllib.error.URLError, OSError):
            return False

    def _restart_when_ended(self) -> None:
        quick_exits = QuickExits()
        while not self._stopping.wait(POLL_SECONDS):
            if self._program.exit_status is None:
                continue
            if quick_exits.add(self._started_at):
                self._give_up(f"ended {MAX_QUICK_EXITS} times in a row")
                return
            log_event("Prefect's local server ended by itself; it is started again")
            try:
                self._program = self._start()
            except OSError as error:
                self._give_up(f"ended and could not be started again ({error})")
                return

    def _give_up(self, failure: str) -> None:
        self.failure = failure
        self._listening.close()  # requests fail now, instead of waiting

    def stop(self) -> None:
        """End the server and all processes that it started."""
        self._stopping.set()
        if self._watch.is_alive():
            self._watch.join()
        self._program.stop()
        self._listening.close()
        self._starting.release()


@contextmanager
def local_prefect(settings: Settings) -> Iterator[LocalServer | None]:
    """Start a server and point Prefect at it, unless ``PREFECT_API_URL`` names one.

    Enter it before Prefect is imported, because Prefect reads its settings only once. It does not
    wait for the server, so that the caller can import libraries meanwhile.

    Raises
    ------
    OrchestratorError
        If no Prefect server answers at ``PREFECT_API_URL``, or the local server ends several times
        in a row while the block runs, or cannot be started again.
    """
    shorten_reports()
    if url := os.environ.get("PREFECT_API_URL"):
        check_prefect_address(url)
        yield None
        return
    server = LocalServer(settings.logs / "prefect-server.log")
    before = {name: os.environ.get(name) for name in server.environment}
    os.environ.update(server.environment)
    # This server ends with the study; unsent log lines would delay the exit by a minute.
    os.environ.setdefault("PREFECT_LOGGING_TO_API_ENABLED", "false")
    try:
        yield server
    except FactorGridError:
        raise
    except Exception as error:
        if not server.failure:
            raise
        raise OrchestratorError(
            f"Prefect's local server {server.failure}; correct the error at the end of its log "
            f"{server.log}, and run the same command again to continue"
        ) from error
    finally:
        if not server.failure:
            deliver_events()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        server.stop()
