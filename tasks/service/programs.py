"""The programs of a service on one machine, each watched: MLflow, Prefect and a worker."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tasks.errors import OrchestratorError
from tasks.processes.ports import free_port, is_free_port
from tasks.processes.supervised import SupervisedProgram
from tasks.settings import Settings

MLFLOW_PORT, PREFECT_PORT = 5000, 4200
#: Seconds that a program may take to its first answer on a busy machine, and to each later one.
STARTUP_SECONDS, ANSWER_SECONDS = 180, 10
#: Seconds between two questions to a program that is well.
PAUSE_SECONDS = 10
#: A program that ends so often within so many seconds of its start is not started again.
FALLS, SOON_SECONDS = 3, 30
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Place:
    """Where the service listens and keeps what it knows.

    Attributes
    ----------
    settings : the home.
    host : the address to bind to.
    mlflow_port, prefect_port : of the two servers.
    mlflow_database, prefect_database : SQLAlchemy addresses; they may hold a password.
    """

    settings: Settings
    host: str
    mlflow_port: int
    prefect_port: int
    mlflow_database: str
    prefect_database: str

    @property
    def reach(self) -> str:
        """The host by which this machine's own programs reach the servers."""
        return "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 # what was asked for

    @property
    def mlflow_url(self) -> str:
        """What ``MLFLOW_TRACKING_URI`` must say."""
        return f"http://{self.reach}:{self.mlflow_port}"

    @property
    def prefect_url(self) -> str:
        """What ``PREFECT_API_URL`` must say."""
        return f"http://{self.reach}:{self.prefect_port}/api"

    @property
    def environment(self) -> dict[str, str]:
        """What reaches both servers."""
        return {"MLFLOW_TRACKING_URI": self.mlflow_url, "PREFECT_API_URL": self.prefect_url}

    @property
    def logs(self) -> Path:
        """What the programs say, a file each."""
        return self.settings.home / "logs"


@dataclass
class Service:
    """A program that is kept running.

    Attributes
    ----------
    name : for people.
    address : where to look at it; empty where there is nothing to see.
    command, more : what to run, and environment variables on top of today's.
    log : what it says.
    answers : whether it is well.
    """

    name: str
    address: str
    command: Sequence[str]
    more: Mapping[str, str]
    log: Path
    answers: Callable[[], bool]
    starts: int = 0
    falls: int = 0
    up: bool = False
    answered: bool = False
    started: float = 0.0
    asked: float = 0.0
    program: SupervisedProgram | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it, for the first time or again."""
        self.program = SupervisedProgram(self.command, self.log, self.more)
        self.starts, self.started, self.up = self.starts + 1, time.monotonic(), False
        self.answered = False

    @property
    def fell(self) -> bool:
        """Whether it has ended by itself."""
        return self.program is not None and self.program.exit_status is not None

    def look(self) -> None:
        """See whether it is well; start it again where it fell.

        Raises
        ------
        OrchestratorError
            If it falls again and again, or does not answer in time.
        """
        if self.fell:
            self.up = False
            self.falls = self.falls + 1 if self._age < SOON_SECONDS else 1
            if self.falls >= FALLS:
                raise OrchestratorError(self._trouble(f"ended {FALLS} times in a row"))
            self.start()
            return
        if self.up and time.monotonic() - self.asked < PAUSE_SECONDS:
            return
        self.asked = time.monotonic()
        self.up = self.answers()
        self.answered = self.answered or self.up
        # One that has answered once is only busy: its work would be lost with it.
        if not self.answered and self._age > STARTUP_SECONDS:
            raise OrchestratorError(self._trouble(f"gave no answer in {STARTUP_SECONDS} s"))

    @property
    def _age(self) -> float:
        return time.monotonic() - self.started

    def _trouble(self, what: str) -> str:
        return f"{self.name} {what}: mend what its log says at the end: {self.log}"

    @property
    def state(self) -> str:
        """How it is, in words."""
        if self.program is None:
            return "waiting"
        again = f", started {self.starts} times" if self.starts > 1 else ""
        how = "up" if self.up else "no answer" if self.answered else "starting"
        return how + again

    def release(self) -> None:
        """Begin to end it."""
        if self.program is not None:
            self.program.request_stop()

    def stop(self) -> None:
        """End it, and all that it started."""
        if self.program is not None:
            self.program.stop()
        self.up = False


def choose_port(option: str, given: int | None, usual: int, host: str) -> int:
    """Return the port that was asked for, or the usual one, or the next that is free.

    Raises
    ------
    OrchestratorError
        If the one that was asked for is taken.
    """
    if given is None:
        return free_port(host, usual)
    if not is_free_port(host, given):
        raise OrchestratorError(
            f"{option} {given} at {host}: cannot be had (it is taken, perhaps); name a free one, "
            f"or leave {option} out and the next free one is taken"
        )
    return given


def services_of(place: Place) -> list[Service]:
    """Return the three programs, in the order in which they start."""
    return [_mlflow(place), _prefect(place), _worker(place)]


def _mlflow(place: Place) -> Service:
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--host", place.host, "--port", str(place.mlflow_port)]
    artifacts = place.settings.artifacts.as_uri()
    if place.host in LOOPBACK:
        command += ["--default-artifact-root", artifacts]
    else:
        # Who is elsewhere cannot write this machine's files: the server does.
        command += ["--artifacts-destination", artifacts]
    # In the environment, not among the words: a database's password is nobody's to read.
    more = {"MLFLOW_BACKEND_STORE_URI": place.mlflow_database, "MLFLOW_TRACKING_URI": ""}
    return Service(
        "MLflow",
        place.mlflow_url,
        command,
        more,
        place.logs / "mlflow.log",
        lambda: answers(f"{place.mlflow_url}/health"),
    )


def _prefect(place: Place) -> Service:
    command = [sys.executable, "-m", "prefect", "server", "start"]
    command += ["--host", place.host, "--port", str(place.prefect_port)]
    more = {
        "PREFECT_API_URL": place.prefect_url,
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": place.prefect_database,
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    }
    return Service(
        "Prefect",
        place.prefect_url.removesuffix("/api"),
        command,
        more,
        place.logs / "prefect.log",
        lambda: answers(f"{place.prefect_url}/health"),
    )


def _worker(place: Place) -> Service:
    from tasks.service.work_pool import POOL, WORKER, online

    command = [sys.executable, "-m", "prefect", "worker", "start"]
    command += ["--pool", POOL, "--type", "process", "--name", WORKER]
    more = {**place.environment, "PREFECT_LOGGING_LEVEL": "INFO"}
    return Service(
        "worker",
        f"work pool {POOL}",
        command,
        {**more, **HEARTBEATS},
        place.logs / "worker.log",
        lambda: WORKER in online(place.prefect_url),
    )


#: How soon Prefect sees that a worker, or what it ran, is gone.
HEARTBEATS = {"PREFECT_WORKER_HEARTBEAT_SECONDS": "5", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}


def answers(url: str) -> bool:
    """Whether a server says that it is well, or asks who is there."""
    try:
        status = httpx.get(url, timeout=ANSWER_SECONDS, trust_env=False).status_code
    except httpx.HTTPError:
        return False
    return status in (httpx.codes.OK, httpx.codes.UNAUTHORIZED)
