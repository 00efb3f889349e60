"""Leases of runs: which process works on a run, so that no study takes over a run that is alive.

Processes on one machine use file locks: the operating system frees a lock when its process dies,
whatever the cause. For processes on other machines, the holder of a run keeps changing a tag of
the run, its heartbeat. An observer watches for a change and never compares the tag with a clock:
the clocks of two machines differ, and a server that was unreachable has delayed every heartbeat.

A process that was cut off or suspended for longer than its lease does not notice it: it may wait
for the server for much longer (``FACTORGRID_PATIENCE``), and its lease may be taken meanwhile.
Nothing therefore depends on time alone. Before a replicate's run is ended, its process decides that
its result is kept, or whoever takes the run over decides that it is discarded. They decide by a
param, whose value MLflow never changes: whatever the order is, the first one decides, and both act
on it. A result that was reused is therefore never discarded. Who holds the lease is read again
before a replicate begins, before a model is registered, and before a study ends.
"""

import contextlib
import datetime as dt
import functools
import hashlib
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from tasks.errors import SlotsClosedError
from tasks.whole_file import write_whole

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
#: The files in which Linux has the name of the machine that no other machine has.
MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
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
        return {HOLDER: self.holder, HEARTBEAT: _heartbeat()}

    @property
    def holder(self) -> str:
        """The name of this process as the holder of runs."""
        return f"{self.home_id} {self._process_id}"

    def is_in_this_home(self, run: Any) -> bool:
        """Whether the holder of a run uses the same home, and so the same lock files."""
        return str(run.data.tags.get(HOLDER, self.home_id)).split(" ")[0] == self.home_id

    @functools.cached_property
    def home_id(self) -> str:
        """A name of this home that no other home has, and no copy of it.

        A random name is stored in the home, because host names and paths repeat in containers. A
        copy has the same random name, but is another folder, or on another machine. If a home is
        moved to another disk, its name changes, too: runs that were cut off before are then watched
        like those of another machine.
        """
        file = self.locks / "place"
        with self.lock("place"):
            # Damaged bytes are another random name.
            stored = (
                file.read_text(encoding="utf-8", errors="replace").strip() if file.exists() else ""
            )
            if not stored:  # a full disk leaves an empty file
                stored = uuid.uuid4().hex[:12]
                write_whole(file, stored)
        # Without the device: its number may change when a disk is mounted again.
        folder = self.locks.stat()
        place = f"{stored} {folder.st_ino} {_machine_id()}"
        return hashlib.sha256(place.encode()).hexdigest()[:12]

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
        False if another process took it over at the same time, or if its holder was alive and has
        finished it.
        """
        for key, value in self.new_tags().items():
            self.client.set_tag(run_id, key, value)
        self._stopped.wait(TAKEOVER_SECONDS)
        run = self.client.get_run(run_id)
        return self.is_held(run) and run.info.status != "FINISHED"

    def is_held(self, run: Any) -> bool:
        """Whether this process is the holder of a run, which was just read from the server."""
        return bool(run.data.tags.get(HOLDER) == self.holder)

    def wait(self, seconds: float) -> None:
        """Wait between two looks at what another process holds.

        Raises
        ------
        SlotsClosedError
            If the study of this process ends meanwhile.
        """
        if self._stopped.wait(seconds):
            raise SlotsClosedError("the study ended while it watched another study")

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
            self.wait(pause)
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


def _machine_id() -> str:
    """Return the name of this machine that no other machine has; empty if it is not known."""
    for file in MACHINE_IDS:
        with contextlib.suppress(OSError):
            if found := file.read_text(encoding="utf-8").strip():
                return found
    return ""


def _heartbeat() -> str:
    return dt.datetime.now(tz=dt.UTC).isoformat(timespec="milliseconds")
