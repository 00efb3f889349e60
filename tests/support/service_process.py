"""A real `factorgrid up` on free ports, and a client of its Prefect server."""

import datetime as dt
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from support.prefect_database import add_prefect_database
from support.small_study import command, environment, factorgrid

from tasks.service.access import CLIENT_PASSWORD
from tasks.service.running_service import running_service
from tasks.service.work_pool import Api, prefect_credentials

ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def until(condition: Callable[[], Any], seconds: float = 120, what: str = "it") -> Any:
    """Wait until a condition returns something true, and return that."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not in {seconds} s"
        time.sleep(0.3)
    return found


@dataclass(frozen=True)
class Service:
    """A running service, and what a test does with it."""

    home: Path
    process: "subprocess.Popen[str]"
    addresses: dict[str, str]
    log: Path

    @property
    def api(self) -> Api:
        return Api(self.addresses["PREFECT_API_URL"], self.addresses[CLIENT_PASSWORD])

    @property
    def log_text(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def deploy(self, *words: str | Path, **more: str) -> None:
        ended = factorgrid("deploy", *words, home=self.home, **more)
        assert ended.returncode == 0, ended.stderr

    def runs(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.post(
            "flow_runs/filter", {**_selected(name), "sort": "EXPECTED_START_TIME_ASC"}
        )
        return found

    def start_run(self, name: str, parameters: dict[str, Any] | None = None) -> str:
        (deployment,) = self.deployments(name)
        content = {"parameters": parameters or {}}
        run = self.api.post(f"deployments/{deployment['id']}/create_flow_run", content)
        return str(run["id"])

    def deployments(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.post("deployments/filter", _selected(name))
        return found

    def run(self, run_id: str) -> dict[str, Any]:
        found = self.api.post("flow_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
        return dict(found[0])

    def await_state(self, run_id: str, states: set[str], seconds: float = 180) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            run = self.run(run_id)
            return run if run["state_type"] in states or _has_ended(run) else None

        found: dict[str, Any] = until(reached, seconds, f"run {run_id} in {states}")
        return found

    def worker(self) -> psutil.Process:
        """Return the worker's own process."""
        started = psutil.Process(self.process.pid).children(recursive=True)
        words = ["-P", "-m", "prefect", "worker", "start"]
        (worker,) = (p for p in started if words_of(p)[1:6] == words)
        return worker


def _selected(name: str) -> dict[str, Any]:
    """Return the filter of a deployment by its full name: the flow's and its own."""
    flow, own = name.split("/")
    return {"flows": {"name": {"any_": [flow]}}, "deployments": {"name": {"any_": [own]}}}


def words_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it ended just now
        return []


def _has_ended(run: dict[str, Any]) -> bool:
    """Whether a run has ended: one that crashed is started again a moment later."""
    if run["state_type"] != "CRASHED":
        return run["state_type"] in ENDED
    since = dt.datetime.fromisoformat(run["state"]["timestamp"])
    return dt.datetime.now(tz=dt.UTC) - since > dt.timedelta(seconds=20)


@contextmanager
def service(home: Path, *words: str, **more: str) -> Iterator[Service]:
    """Run `factorgrid up` on free ports; end it as a system's stop does."""
    log = home.parent / "up.txt"
    add_prefect_database(home)
    typed = ["up", "--mlflow-port", "0", "--prefect-port", "0", *words]
    with log.open("w") as file:
        process = subprocess.Popen(
            command(*typed),
            env=environment(home, **more),
            cwd=home.parent,
            stderr=file,
            stdout=file,
            text=True,
        )
    try:
        until(lambda: "ready: " in log.read_text() or process.poll() is not None, 400, "up")
        assert process.poll() is None, log.read_text()
        yield Service(home, process, running_service(home), log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def left_running(home: Path) -> Sequence[str]:
    """Return the processes, except pytest, that have this home in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environ = (folder / "environ").read_bytes()
            words = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if (
            str(home).encode() in environ
            and "pytest" not in words
            and int(folder.name) != os.getpid()
        ):
            found.append(words)
    return found


def page(api: Api, path: str) -> Any:
    """Return what Prefect's server answers to a request with the password."""
    answer = httpx.get(
        f"{api.url}/{path}", auth=prefect_credentials(api.password), trust_env=False
    ).raise_for_status()
    return json.loads(answer.text)
