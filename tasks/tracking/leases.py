"""Leases of runs: which process works on a run, so that no study takes over a run that is alive.

Processes on one machine use file locks: the operating system frees a lock when its process dies,
whatever the cause. For processes on other machines, the holder of a run keeps changing a tag of
the run, its heartbeat. An observer watches for a change and never compares the tag with a clock:
the clocks of two machines differ, and a server that was unreachable has delayed every heartbeat.
"""

import contextlib
import datetime as dt
import functools
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from tasks.errors import SlotsClosedError

#: Tag: the holder of a run, as ``HOME_ID PROCESS_ID``. MLflow's pages hide tags with this prefix.
HOLDER = "mlflow.factorgrid.holder"
#: Tag: the time of the last heartbeat. Only whether it changes is read.
HEARTBEAT = "mlflow.factorgrid.heartbeat"
#: Tag of a replicate's run: `CLAIM_REQUESTED` until it is certain that no other study trains the
#: replicate, then `CLAIM_GRANTED`.
CLAIM = "mlflow.factorgrid.claim"
CLAIM_REQUESTED, CLAIM_GRANTED = "asked", "held"
#: A run is dead if its heartbeat did not change for this many intervals between heartbeats.
MISSED_HEARTBEATS = 4.5
#: How often an observer reads the heartbeat in each interval.
READS_PER_HEARTBEAT = 10
#: Seconds after which two processes that take over one run at once both see the last writer.
TAKEOVER_SECONDS = 0.5

HolderState = Literal["alive", "dead", "ended"]


class Leases:
    """The runs that this process holds, and the state of runs that other processes hold.

    Parameters
    ----------
    client : a `RetryingClient`.
    locks : the folder with the lock files of this home.
    heartbeat_seconds : interval between two heartbeats.
    """

    def __init__(self, client: Any, locks: Path, heartbeat_seconds: float) -> None:
        self.client, self.locks, self.heartbeat_seconds = client, locks, heartbeat_seconds
        self._process_id = uuid.uuid4().hex[:12]
        self._held_runs: set[str] = set()
        self._stopped = threading.Event()

    def lock(self, name: str) -> FileLock:
        """Return a lock of this home; it is not acquired."""
        self.locks.mkdir(parents=True, exist_ok=True)
        # The lock belongs to a file descriptor: it is freed when its process is killed, and any
        # thread may release it.
        return FileLock(self.locks / f"{name}.lock", thread_local=False)

    def new_tags(self) -> dict[str, str]:
        """Return the tags of a run that this process holds from its creation."""
        return {HOLDER: f"{self.home_id} {self._process_id}", HEARTBEAT: _heartbeat()}

    def is_in_this_home(self, run: Any) -> bool:
        """Whether the holder of a run uses the same home, and so the same lock files."""
        return str(run.data.tags.get(HOLDER, self.home_id)).split(" ")[0] == self.home_id

    @functools.cached_property
    def home_id(self) -> str:
        """A random name of this home, stored in it: host names and paths repeat in containers."""
        file = self.locks / "place"
        with self.lock("place"):
            if not file.exists():
                file.write_text(uuid.uuid4().hex[:12], encoding="utf-8")
            return file.read_text(encoding="utf-8")

    @contextlib.contextmanager
    def heartbeats(self) -> Iterator[None]:
        """Send heartbeats for all runs that this process holds, while the block runs."""
        self._stopped.clear()
        thread = threading.Thread(target=self._send_heartbeats, daemon=True, name="heartbeat")
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()

    def _send_heartbeats(self) -> None:
        while not self._stopped.wait(self.heartbeat_seconds):
            for run_id in list(self._held_runs):
                # Other calls report an unreachable server; for observers it is unreachable, too.
                with contextlib.suppress(Exception):
                    self.client.mlflow_client.set_tag(run_id, HEARTBEAT, _heartbeat())

    def start_heartbeat(self, run_id: str) -> None:
        """Send heartbeats for a run from now on."""
        self._held_runs.add(run_id)

    def stop_heartbeat(self, run_id: str) -> None:
        """Send no more heartbeats for a run."""
        self._held_runs.discard(run_id)

    def take_over(self, run_id: str) -> bool:
        """Become the holder of a run that has no living holder.

        Returns
        -------
        False if another process took it over at the same time.
        """
        tags = self.new_tags()
        for key, value in tags.items():
            self.client.set_tag(run_id, key, value)
        self._stopped.wait(TAKEOVER_SECONDS)
        return bool(self.client.get_run(run_id).data.tags.get(HOLDER) == tags[HOLDER])

    def observe(self, run: Any) -> HolderState:
        """Watch a run of another home until its heartbeat changes, it ends, or it must be dead.

        Only reads that the server answered are counted. An unreachable server therefore never
        makes a living run look dead.

        Raises
        ------
        SlotsClosedError
            If the study of this process ends meanwhile; the other run's state is unknown then.
        """
        first, pause = run.data.tags.get(HEARTBEAT), self.heartbeat_seconds / READS_PER_HEARTBEAT
        for _ in range(int(MISSED_HEARTBEATS * READS_PER_HEARTBEAT)):
            if self._stopped.wait(pause):
                raise SlotsClosedError("the study ended while it watched a run of another study")
            now = self.client.get_run(run.info.run_id)
            if now.info.status != "RUNNING":
                return "ended"
            if now.data.tags.get(HEARTBEAT) != first:
                return "alive"
        return "dead"


def try_lock(lock: FileLock) -> bool:
    """Acquire a lock if it is free; return whether it was."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _heartbeat() -> str:
    return dt.datetime.now(tz=dt.UTC).isoformat(timespec="milliseconds")
