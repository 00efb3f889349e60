"""Slots: each replicate trains in its own child process, so that a crash ends only that process.

A slot is a right to one device. `SlotPool` gives slots to threads, `Slot.begin` starts a replicate
in a child process, and `Training.finish` waits for its result. The child process itself is in
`tasks.training.slot_child`.
"""

import contextlib
import heapq
import itertools
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from models.spec import ReplicateSpec
from models.training.features import OnFeatures
from models.training.result import ReplicateResult, load_result
from tasks.errors import SlotDiedError, SlotsClosedError
from tasks.training.device_locks import device_lock, machine_locks
from tasks.training.devices import Device, available_devices
from tasks.training.slot_child import (
    ALLOWED_SILENCE,
    OnEpoch,
    SlotChild,
    SlotJob,
    fork_server_context,
)


class SlotPool:
    """The slots of this process; threads share it.

    Parameters
    ----------
    devices : one slot each. By default the GPUs, or else the CPU with all its cores; see
        `tasks.training.devices.available_devices`.
    locks : a folder of lock files. With it, no other process uses a device at the same time: for a
        GPU no process on this machine, for cores of the CPU none that has the same folder.
    compiled : a folder for programs that JAX compiles for a GPU; later children load them.
    """

    def __init__(
        self,
        devices: tuple[Device, ...] | None = None,
        locks: Path | None = None,
        compiled: Path | None = None,
    ) -> None:
        self._locks, self._compiled = locks, compiled
        self._free = list(devices or available_devices())
        self._waiting: list[tuple[float, int]] = []
        self._tickets = itertools.count()
        #: Guards the free devices and the waiting threads.
        self._turn = threading.Condition()
        self._context = fork_server_context()
        self._children: set[SlotChild] = set()
        self._spare: SlotChild | None = None
        #: Guards the children.
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Self:
        """Start the first child, so that it is ready for the first job."""
        self._start_spare()
        return self

    def __exit__(self, *_: object) -> None:
        """End every child."""
        self.close()

    def close(self) -> None:
        """End every child at once, by SIGKILL; the threads that wait for them update MLflow."""
        with self._lock:
            self._closed = True
            children = [*self._children, *([self._spare] if self._spare else [])]
            self._spare = None
        for child in children:
            child.process.kill()
        with self._turn:
            self._turn.notify_all()

    def raise_if_closed(self) -> None:
        """Raise SlotsClosedError if the pool is closed."""
        if self._closed:
            raise SlotsClosedError("the slots are closed: the study was interrupted")

    # -- devices --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def slot(self, cost: float = 0.0) -> Iterator["Slot"]:
        """Wait for a free slot and hold it while the block runs; any thread may call it.

        Parameters
        ----------
        cost : of the threads that wait, the one with the highest cost is served first. If the
            longest training came last, all other slots would be idle while it runs.

        Raises
        ------
        SlotsClosedError
            If the pool was closed in the meantime.
        """
        device = self._acquire(cost)
        try:
            with self._locked_on_this_machine(device):
                yield Slot(self, device)
        finally:
            with self._turn:
                self._free.append(device)
                self._turn.notify_all()

    def _acquire(self, cost: float) -> Device:
        ticket = (-cost, next(self._tickets))
        with self._turn:
            heapq.heappush(self._waiting, ticket)
            try:
                self._turn.wait_for(
                    lambda: self._closed or (self._free and self._waiting[0] == ticket)
                )
                self.raise_if_closed()
                return self._free.pop()
            finally:
                self._waiting.remove(ticket)
                heapq.heapify(self._waiting)
                self._turn.notify_all()

    @contextlib.contextmanager
    def _locked_on_this_machine(self, device: Device) -> Iterator[None]:
        if self._locks is None:
            yield
            return
        folder = machine_locks() if device.gpu else self._locks
        with contextlib.ExitStack() as held:
            # All processes take the cores in the same order, so that none waits in a circle.
            for name in device.names:
                held.enter_context(device_lock(name, folder, self.raise_if_closed))
            yield

    # -- children -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def begin(
        self,
        device: Device,
        spec: ReplicateSpec,
        arrays_folder: Path,
        work: Path,
        *,
        builder_folder: Path | None,
        keep_state: bool,
        continue_from: Path | None,
    ) -> Iterator["Training"]:
        """Start a replicate on a device that the caller holds; see `Slot.begin`."""
        work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=work) as partial, self._child() as child:
            out_folder, log = Path(partial) / "out", Path(partial) / "log"
            child.send(
                SlotJob(
                    spec,
                    arrays_folder,
                    device,
                    builder_folder,
                    self._compiled,
                    out_folder,
                    log,
                    keep_state,
                    continue_from,
                )
            )
            self._start_spare()
            yield Training(self, child, out_folder, log)

    @contextlib.contextmanager
    def _child(self) -> Iterator[SlotChild]:
        """Use the spare child, or a new one; it is ended when the block ends."""
        with self._lock:
            self.raise_if_closed()
            child, self._spare = self._spare, None
            if child is None or not child.process.is_alive():
                child = SlotChild.start(self._context)
            self._children.add(child)
        try:
            yield child
        finally:
            child.end()
            with self._lock:
                self._children.discard(child)

    def _start_spare(self) -> None:
        """Start the next child while another one trains: saves 0.3 s per replicate."""
        # If it cannot be started now, `_child` starts one when it is needed.
        with self._lock, contextlib.suppress(SlotDiedError):
            if self._spare is None and not self._closed:
                self._spare = SlotChild.start(self._context)


@dataclass(frozen=True)
class Slot:
    """The right to train on one device, held by one thread."""

    pool: SlotPool
    device: Device

    def begin(
        self,
        spec: ReplicateSpec,
        arrays_folder: Path,
        work: Path,
        *,
        builder_folder: Path | None = None,
        keep_state: bool = False,
        continue_from: Path | None = None,
    ) -> contextlib.AbstractContextManager["Training"]:
        """Start to train one replicate in a child process, which is ended when the block ends.

        Parameters
        ----------
        spec : what to train.
        arrays_folder : the cached images; the child opens them itself.
        work : a folder for incomplete results, on the same disk as the complete ones.
        builder_folder : where the user's own network is imported from.
        keep_state : whether the result has a checkpoint, from which a longer training continues.
        continue_from : the checkpoint of a shorter training of the same replicate; see
            `models.training.train.fit_replicate`. It must exist until the training ended.

        Raises
        ------
        SlotDiedError
            If no child can be started; another try may succeed.
        SlotsClosedError
            If the pool was closed.
        """
        return self.pool.begin(
            self.device,
            spec,
            arrays_folder,
            work,
            builder_folder=builder_folder,
            keep_state=keep_state,
            continue_from=continue_from,
        )

    def run(
        self,
        spec: ReplicateSpec,
        arrays_folder: Path,
        out_folder: Path,
        *,
        keep_state: bool = False,
        continue_from: Path | None = None,
        on_epoch: OnEpoch | None = None,
        allowed_silence: float = ALLOWED_SILENCE,
    ) -> ReplicateResult:
        """Train one replicate and wait for it; see `begin` and `Training.finish`."""
        with self.begin(
            spec,
            arrays_folder,
            out_folder.parent,
            keep_state=keep_state,
            continue_from=continue_from,
        ) as training:
            return training.finish(out_folder, on_epoch=on_epoch, allowed_silence=allowed_silence)


@dataclass(frozen=True)
class Training:
    """A replicate that is being trained by a child.

    Attributes
    ----------
    partial : the folder into which the child writes its result.
    log : the file with the output of the child's libraries.
    """

    pool: SlotPool
    child: SlotChild
    partial: Path
    log: Path

    def finish(
        self,
        out_folder: Path,
        *,
        on_epoch: OnEpoch | None = None,
        on_trained: Callable[[], None] | None = None,
        on_features: OnFeatures | None = None,
        allowed_silence: float = ALLOWED_SILENCE,
    ) -> ReplicateResult:
        """Wait until the replicate is trained, and return its result.

        Parameters
        ----------
        out_folder : gets ``model.keras``, ``predictions.npz``, ``result.json`` and, if it was
            requested, ``checkpoint.npz``: all of them, or none if the training fails.
        on_epoch : called with the figures of each epoch, in the calling thread.
        on_trained : called when the child no longer needs its device and still writes files.
        on_features : called while features of a backbone are computed.
        allowed_silence : seconds for which the child may report nothing; see `SlotChild.wait`.

        Raises
        ------
        CellError
            If the network of this cell cannot be built or trained.
        SlotDiedError
            If the child died or reported nothing for too long; another try may succeed.
        SlotsClosedError
            If the pool was closed.
        """
        try:
            self.child.wait(
                self.log,
                on_epoch=on_epoch,
                on_trained=on_trained,
                on_features=on_features,
                allowed_silence=allowed_silence,
            )
        except SlotDiedError:
            self.pool.raise_if_closed()
            raise
        self.partial.rename(out_folder)
        return load_result(out_folder)
