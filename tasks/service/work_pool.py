"""The work pool at a Prefect server: its worker, and runs whose process is gone.

By plain HTTP, so that whoever only looks need not wait for Prefect's import.
"""

import datetime as dt
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import psutil

POOL = "factorgrid"
#: One worker a machine, named after it.
WORKER = socket.gethostname()
#: How often a worker says that it is there unless told otherwise, and how often it may miss that.
HEARTBEAT_SECONDS, MISSED = 30, 2.5
REQUEST_SECONDS = 10
#: How often a server that is too busy is asked, and the pause between.
BUSY_TRIES, BUSY_SECONDS = 10, 1.0


@dataclass(frozen=True)
class Api:
    """A Prefect server's API."""

    url: str

    def post(self, path: str, content: Any) -> Any:
        """Send a request; return the answer's JSON, None where it is empty.

        Raises
        ------
        httpx.HTTPError
            If no server answers, or refuses.
        """
        return self._send("POST", path, content)

    def delete(self, path: str) -> None:
        """Delete something; errors as those of `post`."""
        self._send("DELETE", path, None)

    def _send(self, method: str, path: str, content: Any) -> Any:
        for left in reversed(range(BUSY_TRIES)):
            answer = httpx.request(
                method,
                f"{self.url}/{path}",
                json=content,
                timeout=REQUEST_SECONDS,
                auth=prefect_credentials(),
                trust_env=False,
            )
            # Said while SQLite is locked, and nothing was done: Prefect's own client asks again.
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or not left:
                break
            time.sleep(BUSY_SECONDS)
        answer.raise_for_status()
        return answer.json() if answer.content else None


def prefect_credentials() -> tuple[str, str] | None:
    """Return user and password, as Prefect's own client reads them from the environment."""
    user, separator, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    return (user, password) if separator else None


def online(url: str) -> list[str]:
    """Return the pool's workers that said a moment ago that they are there, by name."""
    try:
        workers = Api(url).post(f"work_pools/{POOL}/workers/filter", {})
    except httpx.HTTPError:
        return []
    return sorted({str(worker["name"]) for worker in workers if _is_heard(worker)})


def _is_heard(worker: Mapping[str, Any]) -> bool:
    last, now = worker["last_heartbeat_time"], dt.datetime.now(tz=dt.UTC)
    patience = MISSED * (worker.get("heartbeat_interval_seconds") or HEARTBEAT_SECONDS)
    return bool(last) and (now - _time(last)).total_seconds() < patience


def _time(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def unfinished(url: str) -> list[dict[str, Any]]:
    """Return the runs of the pool's deployments that the server takes for running."""
    states = ["RUNNING", "PENDING", "CANCELLING"]
    runs: list[dict[str, Any]] = Api(url).post(
        "flow_runs/filter",
        {
            "flow_runs": {"state": {"type": {"any_": states}}},
            "work_pools": {"name": {"any_": [POOL]}},
        },
    )
    return runs


def revive(url: str) -> list[str]:
    """Schedule again what ran on this machine and died with its worker; return their names.

    A server never learns that a killed worker's runs are gone: they would be 'Running' for ever,
    and hold their deployment's only place. One that was to be cancelled is cancelled.
    """
    lost = [run for run in unfinished(url) if _was_here(run) and not _is_alive(run)]
    for run in lost:
        _conclude(url, run)
    return [str(run["name"]) for run in lost]


def _was_here(run: Mapping[str, Any]) -> bool:
    labels = run.get("labels") or {}
    return bool(labels.get("prefect.worker.name") == WORKER)


def _is_alive(run: Mapping[str, Any]) -> bool:
    """Whether its process is there; one whose worker died before it started it has none."""
    try:
        return "prefect" in " ".join(psutil.Process(int(run["infrastructure_pid"])).cmdline())
    except (psutil.Error, TypeError, ValueError):
        return False


def _conclude(url: str, run: Mapping[str, Any]) -> None:
    cancelling = run["state"]["type"] == "CANCELLING"
    if cancelling:
        _set(url, run, {"type": "CANCELLED", "message": "Its process is gone."})
        return
    # By way of Crashed, so that the deployment's place is free again.
    words = "Its worker was killed; it goes on where it stopped."
    _set(url, run, {"type": "CRASHED", "message": words})
    now = dt.datetime.now(tz=dt.UTC).isoformat()
    details = {"scheduled_time": now}
    again = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": words}
    _set(url, run, {**again, "state_details": details})


def _set(url: str, run: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    Api(url).post(f"flow_runs/{run['id']}/set_state", {"state": state, "force": True})


#: Flow runs say every 30 s that they are there; one that misses two is gone.
SILENT_SECONDS = 90
RUN = "prefect.flow-run"
SILENT, AGAIN = "FactorGrid: a run fell silent", "FactorGrid: a silent run goes on elsewhere"
TAGGED = {
    "prefect.resource.role": "tag",
    "prefect.resource.id": "prefect.tag.factorgrid",
}


def watch_heartbeats(url: str) -> None:
    """Have the server itself schedule again what a killed machine was running.

    `revive` sees the runs of this machine; the runs of others only the server can miss.
    """
    for name, rule in {SILENT: _silent(), AGAIN: _again()}.items():
        if not Api(url).post("automations/filter", {"automations": {"name": {"any_": [name]}}}):
            Api(url).post("automations/", {"name": name, **rule})


def _silent() -> dict[str, Any]:
    """Crash a run without heartbeats, as state ``Silent``; one that has ended refuses that."""
    ended = ("Completed", "Failed", "Crashed", "Cancelled", "Paused", "Suspended", "AwaitingRetry")
    return {
        "description": "No heartbeat for 90 s: its worker, or the machine of it, is gone.",
        "trigger": _trigger(
            "Proactive",
            SILENT_SECONDS,
            after=[f"{RUN}.heartbeat"],
            expect=[f"{RUN}.heartbeat", *(f"{RUN}.{state}" for state in ended)],
        ),
        "actions": [_change("CRASHED", "Silent", "No heartbeat: its worker is gone.")],
    }


def _again() -> dict[str, Any]:
    """Schedule a silent run again; a crash of any other kind is a person's to look at."""
    return {
        "description": "What was trained is in MLflow: it goes on where it stopped.",
        "trigger": _trigger("Reactive", 0, after=[], expect=[f"{RUN}.Silent"]),
        "actions": [_change("SCHEDULED", "AwaitingRetry", "It goes on where it stopped.")],
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


def _change(state: str, name: str, message: str) -> dict[str, Any]:
    return {"type": "change-flow-run-state", "state": state, "name": name, "message": message}
