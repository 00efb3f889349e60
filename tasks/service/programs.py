"""The three programs of a service on one machine: MLflow, Prefect and a worker."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import OrchestratorError
from tasks.processes.ports import bind_briefly, free_port
from tasks.service.access import (
    ANY_ADDRESS,
    CLIENT_PASSWORD,
    LOOPBACK,
    MLFLOW_PROGRAM,
    PREFECT_PROGRAM,
    host_names,
    mlflow_access,
    prefect_access,
)
from tasks.service.watched_program import WatchedProgram, server_answers
from tasks.service.work_pool import POOL, WORKER, Api, online_workers
from tasks.settings import Settings

MLFLOW_PORT, PREFECT_PORT = 5000, 4200
#: Heartbeats by which Prefect notices that a worker, or a run of it, is gone.
HEARTBEATS = {"PREFECT_WORKER_HEARTBEAT_SECONDS": "5", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}


@dataclass(frozen=True)
class ServiceConfig:
    """The addresses and databases of a service.

    Attributes
    ----------
    settings : the folders of the home.
    host : the address that the servers bind to.
    mlflow_port, prefect_port : the ports of the two servers.
    mlflow_database, prefect_database : SQLAlchemy URLs; they may contain a password.
    prefect_password : ``user:password`` of Prefect's server.
    names : further names of this machine by which the servers may be called.
    password_file : where the password is; None if the user has set one.
    """

    settings: Settings
    host: str
    mlflow_port: int
    prefect_port: int
    mlflow_database: str
    prefect_database: str
    prefect_password: str
    names: Sequence[str] = ()
    password_file: Path | None = None

    @property
    def local_host(self) -> str:
        """The host name by which programs on this machine connect to the servers."""
        return "127.0.0.1" if self.host in ANY_ADDRESS else self.host

    @property
    def mlflow_url(self) -> str:
        """The value of ``MLFLOW_TRACKING_URI``."""
        return f"http://{self.local_host}:{self.mlflow_port}"

    @property
    def prefect_url(self) -> str:
        """The value of ``PREFECT_API_URL``."""
        return f"http://{self.local_host}:{self.prefect_port}/api"

    @property
    def addresses(self) -> dict[str, str]:
        """The environment variables that address both servers."""
        return {"MLFLOW_TRACKING_URI": self.mlflow_url, "PREFECT_API_URL": self.prefect_url}

    @property
    def host_names(self) -> list[str]:
        """The names by which the servers may be called."""
        return host_names(self.host, self.names)


def choose_port(option: str, requested: int | None, default: int, host: str) -> int:
    """Return the requested port; without a request the default, or the next port that is free.

    Raises
    ------
    OrchestratorError
        If the requested port cannot be used.
    """
    if requested is None:
        return free_port(host, default)
    try:
        return bind_briefly(host, requested)  # port 0 is any free one
    except OSError as error:
        raise OrchestratorError(
            f"{option} {requested} at {host}: the port cannot be used ({error.strerror}); "
            f"name a free one, or omit {option} to use the next free one"
        ) from error


def create_programs(config: ServiceConfig) -> list[WatchedProgram]:
    """Return the three programs, in the order in which they start."""
    return [_mlflow(config), _prefect(config), _worker(config)]


def _mlflow(config: ServiceConfig) -> WatchedProgram:
    command = [*MLFLOW_PROGRAM, "--host", config.host, "--port", str(config.mlflow_port)]
    artifacts = config.settings.artifacts.as_uri()
    if config.host in LOOPBACK:
        command += ["--default-artifact-root", artifacts]
    else:
        # Clients on other machines cannot write files here, so the server writes them.
        command += ["--artifacts-destination", artifacts]
    # The database is in the environment and not in the command line, which other users can read:
    # its URL may contain a password.
    environment = {
        "MLFLOW_BACKEND_STORE_URI": config.mlflow_database,
        "MLFLOW_TRACKING_URI": "",
        **mlflow_access(
            config.host_names, config.mlflow_port, [name.lower() for name in config.names]
        ),
    }
    return WatchedProgram(
        "MLflow",
        config.mlflow_url,
        command,
        environment,
        config.settings.logs / "mlflow.log",
        lambda: server_answers(f"{config.mlflow_url}/health"),
    )


def _prefect(config: ServiceConfig) -> WatchedProgram:
    command = [*PREFECT_PROGRAM, "--host", config.host, "--port", str(config.prefect_port)]
    command += config.host_names
    environment = {
        "PREFECT_API_URL": config.prefect_url,
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": config.prefect_database,
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        # The pages call the server by the name in the browser, which may be on another machine.
        "PREFECT_SERVER_UI_API_URL": "/api",
        **prefect_access(config.prefect_password),
    }
    return WatchedProgram(
        "Prefect",
        config.prefect_url.removesuffix("/api"),
        command,
        environment,
        config.settings.logs / "prefect.log",
        lambda: server_answers(f"{config.prefect_url}/health"),
    )


def _worker(config: ServiceConfig) -> WatchedProgram:
    command = [sys.executable, "-P", "-m", "prefect", "worker", "start"]
    command += ["--pool", POOL, "--type", "process", "--name", WORKER]
    return WatchedProgram(
        "worker",
        f"work pool {POOL}",
        command,
        {
            **config.addresses,
            CLIENT_PASSWORD: config.prefect_password,
            "PREFECT_LOGGING_LEVEL": "INFO",
            **HEARTBEATS,
        },
        config.settings.logs / "worker.log",
        lambda: WORKER in online_workers(Api(config.prefect_url)),
    )
