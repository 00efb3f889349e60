"""Who is at work on a run: so that no study takes another's for one that was cut off.

On one machine a file lock tells, at once: it is freed when its holder dies, by whatever means.
Elsewhere a tag tells that changes as long as the run's process lives. It is watched, not compared
with a clock: clocks of two machines differ, and a server that was away has held up every tag.
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

#: Tags: who holds a run, as ``place process``, and what changes while it is held. MLflow's pages do
#: not show tags whose names begin so.
HOLDER = "mlflow.factorgrid.holder"
HEARTBEAT = "mlflow.factorgrid.heartbeat"
#: A tag of a replicate: "asked" until it is sure that no other study trains it, then "held".
LEASE = "mlflow.factorgrid.claim"
#: A run is dead whose heartbeat does not change for so many beats, looked at so often in each.
MISSED_BEATS, LOOKS = 4.5, 10

HolderState = Literal["alive", "dead", "ended"]


class Leases:
    """The runs that this process holds, and whether others' holders live.

    Parameters
    ----------
    client : MLflow's, patient.
    locks : the folder of this home's locks.
    seconds : between two beats.
    """

    def __init__(self, client: Any, locks: Path, seconds: float) -> None:
        self.client, self.locks, self.seconds = client, locks, seconds
        self._process = uuid.uuid4().hex[:12]
        self._held: set[str] = set()
        self._over = threading.Event()

    def lock(self, name: str) -> FileLock:
        """Return a lock of this home, free or not."""
        self.locks.mkdir(parents=True, exist_ok=True)
        # Held by a file descriptor, so that a killed holder frees it; any thread may release it.
        return FileLock(self.locks / f"{name}.lock", thread_local=False)

    def tags(self) -> dict[str, str]:
        """Return the tags of a run that is held from its creation."""
        return {HOLDER: f"{self.place} {self._process}", HEARTBEAT: _beat()}

    def is_here(self, run: Any) -> bool:
        """Whether a run's holder shares this home's locks."""
        return str(run.data.tags.get(HOLDER, self.place)).split(" ")[0] == self.place

    @functools.cached_property
    def place(self) -> str:
        """A name of this home, drawn once: host names and paths repeat in containers."""
        file = self.locks / "place"
        with self.lock("place"):
            if not file.exists():
                file.write_text(uuid.uuid4().hex[:12], encoding="utf-8")
            return file.read_text(encoding="utf-8")

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Beat for all that is held, while the block runs."""
        self._over.clear()
        thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")
        thread.start()
        try:
            yield
        finally:
            self._over.set()

    def _beat(self) -> None:
        while not self._over.wait(self.seconds):
            for run_id in list(self._held):
                # A server that is away is noticed elsewhere; whoever watches sees it away, too.
                with contextlib.suppress(Exception):
                    self.client.impatient.set_tag(run_id, HEARTBEAT, _beat())

    def hold(self, run_id: str) -> None:
        """Beat for a run from now on."""
        self._held.add(run_id)

    def release(self, run_id: str) -> None:
        """Beat for it no more."""
        self._held.discard(run_id)

    def take(self, run_id: str) -> bool:
        """Become the holder of a run that nobody holds; False where another was quicker."""
        mine = self.tags()
        for key, value in mine.items():
            self.client.set_tag(run_id, key, value)
        # Two that take it at once both see who wrote last.
        self._over.wait(0.5)
        return bool(self.client.get_run(run_id).data.tags.get(HOLDER) == mine[HOLDER])

    def watch(self, run: Any) -> HolderState:
        """Watch a run of another place until its heart beats or it ends, or it must be dead.

        Only looks that the server answered count, so that its absence makes nobody dead.

        Raises
        ------
        SlotsClosedError
            If this process's own study ends meanwhile: that says nothing of the other.
        """
        first, pause = run.data.tags.get(HEARTBEAT), self.seconds / LOOKS
        for _ in range(int(MISSED_BEATS * LOOKS)):
            if self._over.wait(pause):
                raise SlotsClosedError("the study ended while it watched another's run")
            now = self.client.get_run(run.info.run_id)
            if now.info.status != "RUNNING":
                return "ended"
            if now.data.tags.get(HEARTBEAT) != first:
                return "alive"
        return "dead"


def try_lock(lock: FileLock) -> bool:
    """Take a lock if it is free."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _beat() -> str:
    return dt.datetime.now(tz=dt.UTC).isoformat(timespec="milliseconds")
