"""A lock on a registered model that belongs to the server: of all homes, one judges at a time.

MLflow has no locks. Every process that wants the lock writes a tag of its own to the registered
model, then reads the tags of all, and follows the rules by which machines share replicates (see
`tasks.tracking.replicate_runs`). A process that sees no other gets the lock. Of those that see each
other, the lowest waits until the others have withdrawn, or until one of them, which saw no other,
has the lock. Each keeps changing its tag; if a tag changes no more, its process is dead, and the
tag is removed. No clocks are compared. Who gets the lock becomes its owner in another tag, so that
an owner that was suspended, and was taken for dead, notices it.
"""

import hashlib
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

from filelock import FileLock

from tasks.errors import LeaseLostError
from tasks.tracking.leases import MISSED_HEARTBEATS, READS_PER_HEARTBEAT
from tasks.tracking.tracker import Tracker

#: Starts the tags of a registered model with which processes request and hold the lock. MLflow's
#: pages hide tags with this prefix.
LOCK = "mlflow.factorgrid.lock."
#: Tag of a registered model: the tag of the process that got the lock last.
OWNER = "mlflow.factorgrid.lock_owner"

State = Literal["withdrawn", "requested", "granted"]


class ModelLock:
    """The lock of one registered model, which must exist.

    Parameters
    ----------
    tracker : the server that has the model.
    name : of the model.
    """

    def __init__(self, tracker: Tracker, name: str) -> None:
        self.tracker, self.name = tracker, name
        self._tag = f"{LOCK}{tracker.leases.holder.replace(' ', '.')}.{uuid.uuid4().hex[:8]}"
        self._state: State = "withdrawn"
        self._heartbeats = 0
        #: Guards the tag: a heartbeat must not write it again after it was removed.
        self._writing = threading.Lock()
        self._released = threading.Event()

    @contextmanager
    def held(self) -> Iterator["ModelLock"]:
        """Wait for the lock, and hold it while the block runs."""
        locks = self.tracker.settings.locks
        locks.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:16]
        with FileLock(locks / f"model-{digest}.lock"):
            try:
                self._acquire()
                yield self
            finally:
                self._released.set()
                self._set_state("withdrawn")

    def require_held(self) -> None:
        """Read whether this process still owns the lock.

        Raises
        ------
        LeaseLostError
            If another process got it, because this one was cut off from MLflow or suspended.
        """
        if self._model_tags().get(OWNER) != self._tag:
            raise LeaseLostError(
                f"model {self.name}: another process took over its lock, because this one was cut "
                "off from MLflow or suspended; run the same command again"
            )

    def _acquire(self) -> None:
        client = self.tracker.client
        self._set_state("requested")
        threading.Thread(target=self._send_heartbeats, daemon=True, name="model lock").start()
        while others := self._other_tags():
            first = min(others)
            owners = [tag for tag, value in others.items() if value.startswith("granted")]
            if owners or first < self._tag:
                self._set_state("withdrawn")
                self._watch(owners[0] if owners else first, others)
                self._set_state("requested")
            else:
                self._watch(first, others)
        self._set_state("granted")
        client.set_registered_model_tag(self.name, OWNER, self._tag)

    def _watch(self, tag: str, seen: dict[str, str]) -> None:
        """Wait until a tag changes or is removed; remove it if its process is dead."""
        leases = self.tracker.leases
        # This process holds the lock file of its home, so a tag of the same home is left over.
        is_dead = tag.startswith(f"{LOCK}{leases.home_id}.")
        for _ in range(0 if is_dead else int(MISSED_HEARTBEATS * READS_PER_HEARTBEAT)):
            leases.wait(leases.heartbeat_seconds / READS_PER_HEARTBEAT)
            if self._model_tags().get(tag) != seen[tag]:
                return
        self.tracker.client.delete_registered_model_tag(self.name, tag)

    # -- tags -----------------------------------------------------------------------------------

    def _model_tags(self) -> dict[str, str]:
        return dict(self.tracker.client.get_registered_model(self.name).tags)

    def _other_tags(self) -> dict[str, str]:
        """Return the tags of all other processes that request or hold the lock."""
        tags = self._model_tags().items()
        return {tag: value for tag, value in tags if tag.startswith(LOCK) and tag != self._tag}

    def _set_state(self, state: State) -> None:
        with self._writing:
            self._state = state
            if state == "withdrawn":
                self.tracker.client.delete_registered_model_tag(self.name, self._tag)
            else:
                self._write(self.tracker.client)

    def _write(self, client: Any) -> None:
        self._heartbeats += 1
        value = f"{self._state} {self._heartbeats}"
        client.set_registered_model_tag(self.name, self._tag, value)

    def _send_heartbeats(self) -> None:
        while not self._released.wait(self.tracker.leases.heartbeat_seconds):
            # Other calls report an unreachable server; for observers it is unreachable, too.
            with self._writing, suppress(Exception):
                if self._state != "withdrawn" and not self._released.is_set():
                    self._write(self.tracker.client.mlflow_client)
