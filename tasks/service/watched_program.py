"""A program that is started again when it ends unexpectedly."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tasks.errors import OrchestratorError
from tasks.processes.supervised import SupervisedProgram

#: The longest time to a program's first answer on a busy machine, and to each later one, seconds.
STARTUP_SECONDS, ANSWER_SECONDS = 180, 10
#: Seconds between two health checks of a program that is up.
CHECK_SECONDS = 10
#: A program that ends this many times in a row, each time within this many seconds of its start,
#: is not started again.
MAX_QUICK_EXITS, QUICK_EXIT_SECONDS = 3, 30


@dataclass
class QuickExits:
    """Counts the ends of a program, each soon after its start, in a row."""

    in_a_row: int = 0

    def add(self, started_at: float) -> bool:
        """Count an end now; return whether the program must not be started again.

        Parameters
        ----------
        started_at : when it was started, by `time.monotonic`.
        """
        is_quick = time.monotonic() - started_at < QUICK_EXIT_SECONDS
        self.in_a_row = self.in_a_row + 1 if is_quick else 1
        return self.in_a_row >= MAX_QUICK_EXITS


@dataclass
class WatchedProgram:
    """A program that is kept running.

    Attributes
    ----------
    name : shown to the user.
    address : its web page; empty if it has none.
    command : what to run.
    environment : environment variables that are added to those of this process.
    log : the file that gets its output.
    is_healthy : checks whether it works.
    up : whether the last check succeeded.
    has_answered : whether any check since its last start has succeeded.
    """

    name: str
    address: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    is_healthy: Callable[[], bool]
    starts: int = 0
    quick_exits: QuickExits = field(default_factory=QuickExits)
    up: bool = False
    has_answered: bool = False
    started_at: float = 0.0
    checked_at: float = 0.0
    process: SupervisedProgram | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it, for the first time or again."""
        self.process = SupervisedProgram(self.command, self.log, self.environment)
        self.starts, self.started_at = self.starts + 1, time.monotonic()
        self.up = self.has_answered = False

    @property
    def has_ended(self) -> bool:
        """Whether it has ended unexpectedly."""
        return self.process is not None and self.process.exit_status is not None

    def check(self) -> None:
        """Check whether it works; start it again if it has ended.

        Raises
        ------
        OrchestratorError
            If it ended several times in a row, or does not answer in time.
        """
        if self.has_ended:
            self._restart()
            return
        if self.up and time.monotonic() - self.checked_at < CHECK_SECONDS:
            return
        self.checked_at = time.monotonic()
        self.up = self.is_healthy()
        self.has_answered = self.has_answered or self.up
        # A program that has answered before is only busy, and a restart would lose its work.
        if not self.has_answered and self._seconds_since_start > STARTUP_SECONDS:
            raise OrchestratorError(self._problem(f"gave no answer in {STARTUP_SECONDS} s"))

    def _restart(self) -> None:
        self.up = False
        if self.quick_exits.add(self.started_at):
            raise OrchestratorError(self._problem(f"ended {MAX_QUICK_EXITS} times in a row"))
        self.start()

    @property
    def _seconds_since_start(self) -> float:
        return time.monotonic() - self.started_at

    def _problem(self, what: str) -> str:
        return f"{self.name} {what}: correct the error at the end of its log: {self.log}"

    @property
    def state(self) -> str:
        """The state as text, for the user."""
        if self.process is None:
            return "waiting"
        state = "up" if self.up else "no answer" if self.has_answered else "starting"
        return f"{state}, started {self.starts} times" if self.starts > 1 else state

    def release(self) -> None:
        """Ask it to end, without waiting."""
        if self.process is not None:
            self.process.request_stop()

    def stop(self) -> None:
        """End it and all processes that it started."""
        if self.process is not None:
            self.process.stop()
        self.up = False


def server_answers(url: str) -> bool:
    """Whether a server answers a health check; it may also require a login."""
    try:
        status = httpx.get(url, timeout=ANSWER_SECONDS, trust_env=False).status_code
    except httpx.HTTPError:
        return False
    return status in (httpx.codes.OK, httpx.codes.UNAUTHORIZED)
