"""The work pool at a Prefect server: its workers, and runs whose process is gone.

The server is called by plain HTTP: importing Prefect takes seconds, which a quick check must not.
"""

import datetime as dt
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil

from tasks.service.access import CLIENT_PASSWORD

POOL = "factorgrid"
#: One worker per machine, with the name of the machine.
WORKER = socket.gethostname()
#: Default seconds between a worker's heartbeats, and after how many of them it counts as offline.
HEARTBEAT_SECONDS, OFFLINE_AFTER_HEARTBEATS = 30, 2.5
REQUEST_SECONDS = 10
#: How many times a request to a busy server is sent, and the seconds between two of them.
BUSY_TRIES, BUSY_SECONDS = 10, 1.0


@dataclass(frozen=True)
class Api:
    """The API of a Prefect server.

    Attributes
    ----------
    url : the value of ``PREFECT_API_URL``.
    password : ``user:password``; by default the one that Prefect's own client uses.
    """

    url: str
    password: str | None = field(default=None, repr=False)

    def post(self, path: str, content: Any) -> Any:
        """Send a request; return the JSON of the answer, None if it is empty.

        Raises
        ------
        httpx.HTTPError
            If no server answers, or it refuses the request.
        """
        return self._send("POST", path, content)

    def delete(self, path: str) -> None:
        """Send a DELETE request; it raises the same errors as `post`."""
        self._send("DELETE", path, None)

    def _send(self, method: str, path: str, content: Any) -> Any:
        for tries_left in reversed(range(BUSY_TRIES)):
            answer = httpx.request(
                method,
                f"{self.url}/{path}",
                json=content,
                timeout=REQUEST_SECONDS,
                auth=prefect_credentials(self.password),
                trust_env=False,
            )
            # The server answers 503 while SQLite is locked, and has done nothing then. Prefect's
            # own client repeats the request too.
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or not tries_left:
                break
            time.sleep(BUSY_SECONDS)
        answer.raise_for_status()
        return answer.json() if answer.content else None


def prefect_credentials(given: str | None = None) -> tuple[str, str] | None:
    """Return user and password, by default from the variable that Prefect's own client reads."""
    user, separator, password = (given or os.environ.get(CLIENT_PASSWORD, "")).partition(":")
    return (user, password) if separator else None


def online_workers(api: Api) -> list[str]:
    """Return the names of the pool's workers with a recent heartbeat."""
    try:
        workers = api.post(f"work_pools/{POOL}/workers/filter", {})
    except httpx.HTTPError:
        return []
    return sorted({str(worker["name"]) for worker in workers if _is_online(worker)})


def _is_online(worker: Mapping[str, Any]) -> bool:
    last = worker["last_heartbeat_time"]
    if not last:
        return False
    age = dt.datetime.now(tz=dt.UTC) - dt.datetime.fromisoformat(last)
    interval = worker.get("heartbeat_interval_seconds") or HEARTBEAT_SECONDS
    return age.total_seconds() < OFFLINE_AFTER_HEARTBEATS * interval


def unfinished_runs(url: str) -> list[dict[str, Any]]:
    """Return the runs of the pool's deployments that are running according to the server."""
    states = ["RUNNING", "PENDING", "CANCELLING"]
    runs: list[dict[str, Any]] = Api(url).post(
        "flow_runs/filter",
        {
            "flow_runs": {"state": {"type": {"any_": states}}},
            "work_pools": {"name": {"any_": [POOL]}},
        },
    )
    return runs


def reschedule_lost_runs(url: str) -> list[str]:
    """Schedule again the runs of this machine that died with their worker; return their names.

    The server does not notice that the runs of a killed worker are gone. They would be 'Running'
    for ever, and their deployment allows only one run at a time. A run that was being cancelled is
    set to cancelled.
    """
    lost = [run for run in unfinished_runs(url) if _ran_here(run) and not _is_alive(run)]
    for run in lost:
        _reschedule(url, run)
    return [str(run["name"]) for run in lost]


def _ran_here(run: Mapping[str, Any]) -> bool:
    labels = run.get("labels") or {}
    return bool(labels.get("prefect.worker.name") == WORKER)


def _is_alive(run: Mapping[str, Any]) -> bool:
    """Whether the process of a run exists; there is none if its worker died before starting it."""
    try:
        return "prefect" in " ".join(psutil.Process(int(run["infrastructure_pid"])).cmdline())
    except (psutil.Error, TypeError, ValueError):
        return False


def _reschedule(url: str, run: Mapping[str, Any]) -> None:
    if run["state"]["type"] == "CANCELLING":
        _set_state(url, run, {"type": "CANCELLED", "message": "The process of the run is gone."})
        return
    message = "The worker was killed; the run continues where it stopped."
    # First Crashed, so that the deployment's concurrency limit is free again.
    _set_state(url, run, {"type": "CRASHED", "message": message})
    now = dt.datetime.now(tz=dt.UTC).isoformat()
    scheduled = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": message}
    _set_state(url, run, {**scheduled, "state_details": {"scheduled_time": now}})


def _set_state(url: str, run: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    Api(url).post(f"flow_runs/{run['id']}/set_state", {"state": state, "force": True})


#: Flow runs send a heartbeat every 30 s; a run without one for this long counts as dead.
SILENT_SECONDS = 90
RUN = "prefect.flow-run"
#: The names of the two automations. They find existing automations, and must not be changed.
CRASH_SILENT = "FactorGrid: a run fell silent"
RESCHEDULE_SILENT = "FactorGrid: a silent run goes on elsewhere"
TAGGED = {
    "prefect.resource.role": "tag",
    "prefect.resource.id": "prefect.tag.factorgrid",
}


def create_automations(url: str) -> None:
    """Create the automations by which the server reschedules the runs of a machine that died.

    `reschedule_lost_runs` handles the runs of this machine. Only the server can notice that runs of
    other machines have stopped.
    """
    automations = {CRASH_SILENT: _crash_silent_runs(), RESCHEDULE_SILENT: _reschedule_silent_runs()}
    for name, rule in automations.items():
        if not Api(url).post("automations/filter", {"automations": {"name": {"any_": [name]}}}):
            Api(url).post("automations/", {"name": name, **rule})


def _crash_silent_runs() -> dict[str, Any]:
    """Set a run without heartbeats to Crashed, with the state name ``Silent``, unless it ended."""
    ended = ("Completed", "Failed", "Crashed", "Cancelled", "Paused", "Suspended", "AwaitingRetry")
    return {
        "description": "No heartbeat for 90 s: the worker, or its machine, is gone.",
        "trigger": _trigger(
            "Proactive",
            SILENT_SECONDS,
            after=[f"{RUN}.heartbeat"],
            expect=[f"{RUN}.heartbeat", *(f"{RUN}.{state}" for state in ended)],
        ),
        "actions": [_set_state_action("CRASHED", "Silent", "No heartbeat: the worker is gone.")],
    }


def _reschedule_silent_runs() -> dict[str, Any]:
    """Schedule a silent run again; a run that crashed for another reason is not repeated."""
    return {
        "description": "Finished replicates are in MLflow: the run continues where it stopped.",
        "trigger": _trigger("Reactive", 0, after=[], expect=[f"{RUN}.Silent"]),
        "actions": [
            _set_state_action("SCHEDULED", "AwaitingRetry", "The run continues where it stopped.")
        ],
    }


def _trigger(posture: str, within: int, **events: list[str]) -> dict[str, Any]:
    return {
        "type": "event",
        "posture": posture,
        "match": {"prefect.resource.id": f"{RUN}.*"},
        "match_related": TAGGED,
        "for_each": ["prefect.resource.id"],
        "threshold": 1,
        "within": within,
        **events,
    }


def _set_state_action(state: str, name: str, message: str) -> dict[str, Any]:
    return {"type": "change-flow-run-state", "state": state, "name": name, "message": message}
