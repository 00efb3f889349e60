"""`factorgrid up`: MLflow, Prefect and a worker on this machine, until Ctrl-C."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
from filelock import Timeout
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tasks.errors import OrchestratorError
from tasks.redaction import without_password
from tasks.service.databases import open_databases
from tasks.service.programs import (
    LOOPBACK,
    MLFLOW_PORT,
    PREFECT_PORT,
    Place,
    Service,
    choose_port,
    services_of,
)
from tasks.service.running import service_lock, write_addresses
from tasks.service.work_pool import revive
from tasks.settings import Settings
from tasks.tracking.database_schema import refuse_other_schema

PULSE_SECONDS = 0.5


@dataclass(frozen=True)
class ServiceOptions:
    """What the options of the command line ask for; None for the usual."""

    host: str = "127.0.0.1"
    mlflow_port: int | None = None
    prefect_port: int | None = None
    database: str | None = None


def place_of(settings: Settings, asked: ServiceOptions) -> Place:
    """Choose ports and open the databases.

    Raises
    ------
    OrchestratorError
        If a port that was asked for is taken, or the database cannot be had.
    """
    return Place(
        settings,
        asked.host,
        choose_port("--mlflow-port", asked.mlflow_port, MLFLOW_PORT, asked.host),
        choose_port("--prefect-port", asked.prefect_port, PREFECT_PORT, asked.host),
        *open_databases(settings, asked.database),
    )


class Up:
    """The service, as it runs and as it is shown."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.services = services_of(place)
        self.said: list[str] = []
        self._console = Console(stderr=True, highlight=False)

    def run(self) -> None:
        """Start everything and keep it running, until interrupted.

        Raises
        ------
        OrchestratorError
            If a program does not start, or falls again and again.
        """
        try:
            if not self._console.is_terminal:
                self._pulse_for_ever()
            with Live(console=self._console, get_renderable=self._screen, screen=False):
                self._pulse_for_ever()
        finally:
            self._stop()

    def _pulse_for_ever(self) -> None:
        *servers, worker = self.services
        self._bring_up(servers)
        self._revive()
        self._bring_up([worker])
        self._say(f"ready: {', '.join(s.address for s in servers)}; Ctrl-C ends all")
        while True:
            time.sleep(PULSE_SECONDS)
            for service in self.services:
                self._watch(service)

    def _bring_up(self, services: Sequence[Service]) -> None:
        for service in services:
            service.start()
        waiting = list(services)
        while waiting:
            time.sleep(PULSE_SECONDS)
            for service in list(waiting):
                service.look()
                if service.up:
                    waiting.remove(service)
                    self._say(f"{service.name} is up: {service.address}")

    def _watch(self, service: Service) -> None:
        if service.fell and service.name == "worker":
            self._revive()
        before = service.starts
        service.look()
        if service.starts > before:
            self._say(f"{service.name} ended by itself; started again")

    def _revive(self) -> None:
        try:
            names = revive(self.place.prefect_url)
        except httpx.HTTPError:
            return  # Prefect is on its way up again as well; the next worker asks once more
        for name in names:
            self._say(f"run {name} was cut off; it is scheduled again")

    def _say(self, text: str) -> None:
        self.said.append(f"{time.strftime('%H:%M:%S')}  {text}")
        if not self._console.is_terminal:
            self._console.print(text, markup=False, soft_wrap=True)

    def _stop(self) -> None:
        """End the worker first, so that its runs can still tell the servers; then the servers."""
        *servers, worker = self.services
        worker.stop()
        for server in servers:
            server.release()
        for server in servers:
            server.stop()

    def _screen(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for title in ("", "state", "address", "log"):
            table.add_column(title, overflow="fold")
        for service in self.services:
            mark = Text(service.state, style="green" if service.up else "yellow")
            table.add_row(service.name, mark, service.address, str(service.log))
        lines = [f"home      {self.place.settings.home}"]
        lines += [f"database  {without_password(self.place.mlflow_database)}"]
        lines += [f"          {without_password(self.place.prefect_database)}"]
        if self.place.host not in LOOPBACK:
            lines += [f"open to whoever reaches {self.place.host}: see the guide on security"]
        recent = self.said[-6:]
        return Group(table, Text("\n".join(["", *lines, "", *recent, "", self._hint()])))

    def _hint(self) -> str:
        return "factorgrid deploy  puts studies on a schedule here; Ctrl-C ends all of this."


def run_service(settings: Settings, asked: ServiceOptions) -> None:
    """Run the service of a home until interrupted.

    Raises
    ------
    OrchestratorError
        If it runs already, or cannot.
    TrackingError
        If MLflow's database is another version's.
    """
    settings.create()
    lock = service_lock(settings.home)
    try:
        # Whoever only looks whether we run holds it for a moment.
        lock.acquire(timeout=1)
    except Timeout as error:
        raise OrchestratorError(
            f"{settings.home}: `factorgrid up` runs on it already; end that one, or set "
            "FACTORGRID_HOME to another folder"
        ) from error
    with lock:
        place = place_of(settings, asked)
        refuse_other_schema(place.mlflow_database)
        write_addresses(settings.home, place.environment)
        Up(place).run()
