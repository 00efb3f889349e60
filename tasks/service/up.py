"""`factorgrid up`: runs MLflow, Prefect and a worker on this machine until Ctrl-C."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import httpx
from filelock import FileLock, Timeout
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tasks.errors import OrchestratorError, TrackingError
from tasks.redaction import without_password
from tasks.service.access import (
    CLIENT_PASSWORD,
    LOOPBACK,
    PASSWORD_FILE,
    checked_host_names,
    stored_password,
    user_password,
)
from tasks.service.databases import open_databases
from tasks.service.programs import (
    MLFLOW_PORT,
    PREFECT_PORT,
    ServiceConfig,
    choose_port,
    create_programs,
)
from tasks.service.running_service import delete_addresses, service_lock, write_addresses
from tasks.service.watched_program import WatchedProgram
from tasks.service.work_pool import reschedule_lost_runs
from tasks.settings import Settings
from tasks.tracking.prepare_database import CREATION_LOCK, prepare_database
from tasks.tracking.tracker import Tracker
from tasks.tracking.views import newest_studies_as_text

#: Seconds between two rounds of checks.
POLL_SECONDS = 0.5
#: How many of the last messages the display shows.
SHOWN_MESSAGES = 6


@dataclass(frozen=True)
class ServiceOptions:
    """The options of the command line; None means the default."""

    host: str = "127.0.0.1"
    mlflow_port: int | None = None
    prefect_port: int | None = None
    database: str | None = None
    allowed_hosts: str | None = None


def configure_service(settings: Settings, options: ServiceOptions) -> ServiceConfig:
    """Choose the ports, open the databases, and read or create the password.

    Raises
    ------
    OrchestratorError
        If a requested port, database, name or password cannot be used.
    """
    names = checked_host_names("--allowed-hosts", options.allowed_hosts)
    password = user_password()
    return ServiceConfig(
        settings,
        options.host,
        choose_port("--mlflow-port", options.mlflow_port, MLFLOW_PORT, options.host),
        choose_port("--prefect-port", options.prefect_port, PREFECT_PORT, options.host),
        *open_databases(settings, options.database),
        prefect_password=password or stored_password(settings.home),
        names=names,
        password_file=None if password else settings.home / PASSWORD_FILE,
    )


class ServiceRunner:
    """Runs the programs of a service and displays their state."""

    def __init__(self, config: ServiceConfig) -> None:
        self.config = config
        self.programs = create_programs(config)
        self.messages: list[str] = []
        self._console = Console(stderr=True, highlight=False)

    def run(self) -> None:
        """Start all programs and keep them running until interrupted.

        Raises
        ------
        OrchestratorError
            If a program does not start, or ends several times in a row.
        """
        try:
            if not self._console.is_terminal:
                self._run_programs()
            with Live(console=self._console, get_renderable=self._display, screen=False):
                self._run_programs()
        finally:
            self._stop()

    def _run_programs(self) -> None:
        *servers, worker = self.programs
        self._start(servers)
        self._reschedule_lost_runs()
        self._start([worker])
        addresses = ", ".join(server.address for server in servers)
        if self.config.password_file is not None:
            self._report(f"Prefect's pages ask for the line in {self.config.password_file}")
        for line in self._newest_studies():
            self._report(line)
        self._report(f"ready: {addresses}; Ctrl-C ends all")
        while True:
            time.sleep(POLL_SECONDS)
            for program in self.programs:
                self._check(program)

    def _newest_studies(self) -> list[str]:
        config = self.config
        settings = replace(config.settings, tracking_uri=config.mlflow_url)
        with suppress(TrackingError):  # the service works without the links
            tracker = Tracker.open(settings, create=False)
            return newest_studies_as_text(tracker, config.mlflow_url)
        return []

    def _start(self, programs: Sequence[WatchedProgram]) -> None:
        """Start programs, and wait until all are up."""
        for program in programs:
            program.start()
        waiting = list(programs)
        while waiting:
            time.sleep(POLL_SECONDS)
            for program in list(waiting):
                program.check()
                if program.up:
                    waiting.remove(program)
                    self._report(f"{program.name} is up: {program.address}")

    def _check(self, program: WatchedProgram) -> None:
        if program.has_ended and program.name == "worker":
            self._reschedule_lost_runs()
        starts_before = program.starts
        program.check()
        if program.starts > starts_before:
            self._report(f"{program.name} ended by itself; started again")

    def _reschedule_lost_runs(self) -> None:
        try:
            names = reschedule_lost_runs(self.config.prefect_url)
        except httpx.HTTPError:
            return  # Prefect is being restarted too; this is repeated when the next worker starts
        for name in names:
            self._report(f"run {name} was cut off; it is scheduled again")

    def _report(self, text: str) -> None:
        message = f"{time.strftime('%H:%M:%S')}  {text}"
        self.messages.append(message)
        if not self._console.is_terminal:
            self._console.print(message, markup=False, soft_wrap=True)

    def _stop(self) -> None:
        """End the worker first, so that its runs can still reach the servers; then the servers."""
        *servers, worker = self.programs
        worker.stop()
        for server in servers:
            server.release()
        for server in servers:
            server.stop()

    def _display(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for title in ("", "state", "address", "log"):
            table.add_column(title, overflow="fold")
        for program in self.programs:
            state = Text(program.state, style="green" if program.up else "yellow")
            table.add_row(program.name, state, program.address, str(program.log))
        config = self.config
        lines = [
            f"home      {config.settings.home}",
            f"database  {without_password(config.mlflow_database)}",
            f"          {without_password(config.prefect_database)}",
            f"password  {config.password_file or 'as you have set it'}, for Prefect's pages",
        ]
        if config.host not in LOOPBACK:
            lines.append(
                f"every machine that can reach {config.host} has access: see the guide on security"
            )
        hint = "factorgrid deploy  schedules studies here; Ctrl-C ends all programs."
        messages = self.messages[-SHOWN_MESSAGES:]
        return Group(table, Text("\n".join(["", *lines, "", *messages, "", hint])))


def run_service(settings: Settings, options: ServiceOptions) -> None:
    """Run the service of a home until interrupted.

    Raises
    ------
    OrchestratorError
        If it runs already, or cannot start.
    TrackingError
        If MLflow's database has the schema of another version.
    """
    settings.create()
    lock = service_lock(settings.home)
    try:
        # A command that checks whether the service runs holds the lock for a moment.
        lock.acquire(timeout=1)
    except Timeout as error:
        raise OrchestratorError(
            f"{settings.home}: `factorgrid up` runs on it already; end that one, or set "
            "FACTORGRID_HOME to another folder"
        ) from error
    with lock:
        delete_addresses(settings.home)
        config = configure_service(settings, options)
        with FileLock(settings.home / CREATION_LOCK):
            prepare_database(settings, config.mlflow_database)
        # The requests of this process to its Prefect server.
        os.environ[CLIENT_PASSWORD] = config.prefect_password
        write_addresses(settings.home, config.addresses, config.password_file)
        ServiceRunner(config).run()
