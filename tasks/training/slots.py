"""Slots: each replicate trains in a child process of its own, and only that child can fall.

Children are forked from a server that has Keras and its backend loaded: 0.26 s instead of the 3 to
9 s of a fresh import, and what a replicate leaves behind in memory goes with its process. The
server itself never touches a GPU: a CUDA context does not survive a fork.
"""

import contextlib
import heapq
import itertools
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Self

import numpy as np

from models.errors import BuilderError
from models.images.arrays import open_arrays
from models.spec import ReplicateSpec
from models.training.backend import keep_compiled
from models.training.train import ReplicateResult, fit_replicate, save_result
from tasks.errors import CellError, SlotDiedError, SlotsClosedError
from tasks.processes.child import follow_parent
from tasks.training.device_locks import device_lock, machine_locks
from tasks.training.devices import Device, available_devices, take

OnEpoch = Callable[[dict[str, Any]], None]


def start_fork_server() -> None:
    """Start the server that children are forked from, which loads Keras while others work."""
    _context()
    forkserver.ensure_running()


class SlotPool:
    """So many places to train at once; threads share it.

    Parameters
    ----------
    devices : one slot each: the GPUs, or else the CPU with all its cores, which trains faster in
        one process than in two with half the cores each.
    locks : a folder of locks: a device is then held against other pools, a GPU against all of this
        machine's, the CPU against those that share the folder.
    compiled : a folder for programs that JAX compiles for a GPU: later children load them.
    """

    def __init__(
        self,
        devices: tuple[Device, ...] | None = None,
        locks: Path | None = None,
        compiled: Path | None = None,
    ) -> None:
        self._locks, self.compiled = locks, compiled
        self._free = list(devices or available_devices())
        self._waiting: list[tuple[float, int]] = []
        self._tickets = itertools.count()
        self._turn = threading.Condition()
        self._context = _context()
        self._children: set[_Child] = set()
        self._spare: _Child | None = None
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Self:
        """Start the first child, which waits for what to train."""
        self._prepare()
        return self

    def __exit__(self, *_: object) -> None:
        """End every child."""
        self.close()

    def close(self) -> None:
        """End every child at once, by SIGKILL: MLflow is told by who waits for them."""
        with self._lock:
            self._closed = True
            children = [*self._children, *([self._spare] if self._spare else [])]
            self._spare = None
        for child in children:
            child.process.kill()
        with self._turn:
            self._turn.notify_all()

    @contextlib.contextmanager
    def slot(self, cost: float = 0.0) -> Iterator["Slot"]:
        """Wait for a free slot and hold it; any thread may call it.

        Parameters
        ----------
        cost : of those that wait, the greatest goes first: the longest last would be waited for
            by all slots but one.

        Raises
        ------
        SlotsClosedError
            If the pool was closed in the meantime: the study is over.
        """
        device = self._take(cost)
        try:
            with self._held(device):
                yield Slot(self, device)
        finally:
            with self._turn:
                self._free.append(device)
                self._turn.notify_all()

    def _take(self, cost: float) -> Device:
        ticket = (-cost, next(self._tickets))
        with self._turn:
            heapq.heappush(self._waiting, ticket)
            try:
                self._turn.wait_for(
                    lambda: self._closed or (self._free and self._waiting[0] == ticket)
                )
                self._raise_if_closed()
                return self._free.pop()
            finally:
                self._waiting.remove(ticket)
                heapq.heapify(self._waiting)
                self._turn.notify_all()

    def _held(self, device: Device) -> contextlib.AbstractContextManager[None]:
        """Hold a device against the other processes of this machine."""
        if self._locks is None:
            return contextlib.nullcontext()
        folder = machine_locks() if device.gpu else self._locks
        return device_lock(device.gpu or "cpu", folder, self._raise_if_closed)

    def _raise_if_closed(self) -> None:
        if self._closed:
            raise SlotsClosedError("the slots are closed: the study was interrupted")

    @contextlib.contextmanager
    def _begun(self, job: "SlotJob", work: Path) -> Iterator["Training"]:
        work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=work) as text, self._child() as child:
            training = Training(self, child, Path(text) / "out", Path(text) / "log")
            with contextlib.suppress(BrokenPipeError):  # it died; what it said is in the log
                child.pipe.send((job, training.partial, training.log))
            self._prepare()
            yield training

    @contextlib.contextmanager
    def _child(self) -> "Iterator[_Child]":
        """Take the child that waits, and see that it is gone when the block ends."""
        with self._lock:
            self._raise_if_closed()
            child, self._spare = self._spare, None
            if child is None or not child.process.is_alive():
                child = _Child.start(self._context)
            self._children.add(child)
        try:
            yield child
        finally:
            child.end()
            with self._lock:
                self._children.discard(child)

    def _prepare(self) -> None:
        """Start the next child while this one trains: 0.3 s that the next replicate saves."""
        with self._lock, contextlib.suppress(SlotDiedError):  # who needs it starts another
            if self._spare is None and not self._closed:
                self._spare = _Child.start(self._context)


@dataclass(frozen=True)
class SlotJob:
    """What a child is told to do; it opens the arrays itself, so nothing large is piped."""

    spec: ReplicateSpec
    arrays_folder: Path
    device: Device
    builder_folder: Path | None
    compiled: Path | None


@dataclass(frozen=True, eq=False)
class _Child:
    """A process that waits for one job, does it and ends."""

    process: ForkServerProcess
    pipe: Connection

    @classmethod
    def start(cls, context: ForkServerContext) -> Self:
        """Fork one.

        Raises
        ------
        SlotDiedError
            If the server that forks has ended; it starts again with the next one.
        """
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs,), daemon=True)
        try:
            process.start()
        except (EOFError, OSError) as error:
            raise SlotDiedError(f"the slots' server ended: {error}; it starts again") from error
        theirs.close()
        return cls(process, ours)

    def end(self) -> None:
        """End it, wherever it is."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


@dataclass(frozen=True)
class Slot:
    """One place to train, held by one thread."""

    pool: SlotPool
    device: Device

    def begin(
        self,
        spec: ReplicateSpec,
        arrays_folder: Path,
        work: Path,
        *,
        builder_folder: Path | None = None,
    ) -> contextlib.AbstractContextManager["Training"]:
        """Start to train one replicate in a child process, which is gone when the block ends.

        Parameters
        ----------
        spec : what to train.
        arrays_folder : the cached images, opened by the child itself.
        work : a folder on the disk where the result goes, for what is not whole yet.
        builder_folder : where the user's own builder is imported from.

        Raises
        ------
        SlotDiedError
            If no child can be started: worth another try.
        SlotsClosedError
            If the pool was closed.
        """
        compiled = self.pool.compiled
        job = SlotJob(spec, arrays_folder, self.device, builder_folder, compiled)
        return self.pool._begun(job, work)  # noqa: SLF001 # one class in three parts

    def run(
        self,
        spec: ReplicateSpec,
        arrays_folder: Path,
        out_folder: Path,
        *,
        on_epoch: OnEpoch | None = None,
        timeout_seconds: float | None = None,
    ) -> ReplicateResult:
        """Train one replicate and wait for it; see `begin` and `Training.finish`."""
        with self.begin(spec, arrays_folder, out_folder.parent) as training:
            return training.finish(out_folder, on_epoch=on_epoch, timeout_seconds=timeout_seconds)


@dataclass(frozen=True)
class Training:
    """A replicate that a child trains.

    Attributes
    ----------
    partial, log : where the child writes its result, and what its libraries say.
    """

    pool: SlotPool
    child: _Child
    partial: Path
    log: Path

    def finish(
        self,
        out_folder: Path,
        *,
        on_epoch: OnEpoch | None = None,
        on_trained: Callable[[], None] | None = None,
        timeout_seconds: float | None = None,
    ) -> ReplicateResult:
        """Wait until it is trained.

        Parameters
        ----------
        out_folder : gets ``model.keras``, ``predictions.npz`` and ``result.json``, all or none.
        on_epoch : told each epoch's figures, in the calling thread.
        on_trained : called when the child needs its device no longer, and still writes.
        timeout_seconds : after which the child is killed.

        Raises
        ------
        CellError
            If this cell's network cannot be built or trained.
        SlotDiedError
            If the child died or hung: worth another try.
        SlotsClosedError
            If the pool was closed.
        """
        try:
            _listen(self.child, on_epoch, on_trained, timeout_seconds, self.log)
        except SlotDiedError:
            self.pool._raise_if_closed()  # noqa: SLF001 # see `Slot.begin`
            raise
        self.partial.rename(out_folder)
        return load_result(out_folder)


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["models.training.forkserver_preload"])
    return context


def _listen(
    child: _Child,
    on_epoch: OnEpoch | None,
    on_trained: Callable[[], None] | None,
    timeout_seconds: float | None,
    log: Path,
) -> None:
    """Pass a child's epochs on until it says that it is done."""
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not child.pipe.poll(left):
            raise SlotDiedError(f"the slot's process was killed after {timeout_seconds:g} s")
        try:
            kind, content = child.pipe.recv()
        except (EOFError, ConnectionResetError):
            child.process.join(5)
            last = _last_words(log)
            raise SlotDiedError(
                f"the slot's process ended before its result: {_death(child.process)}{last}"
            ) from None
        match kind:
            case "epoch" if on_epoch is not None:
                on_epoch(content)
            case "trained" if on_trained is not None:
                on_trained()
            case "done":
                return
            case "cell":
                raise CellError(*content)


def _death(child: ForkServerProcess) -> str:
    code = child.exitcode
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory, perhaps)" if name == "SIGKILL" else ""
        return f"signal {name}{hint}"
    return f"exit status {code}"


def _last_words(log: Path) -> str:
    """Return the last line that a child's libraries wrote, where there is one."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f"; its last words: {lines[-1][:300]}" if lines else ""


def _work(pipe: Connection) -> None:
    """Train what the pipe brings, in the child."""
    follow_parent()
    try:
        job, out_folder, log = pipe.recv()
    except EOFError:
        return  # the pool closed without needing this one
    with log.open("wb") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    try:
        _train(pipe, job, out_folder)
    except Exception as error:  # noqa: BLE001 # the network is the user's: anything may happen in it
        import traceback

        known = isinstance(error, BuilderError)
        words = str(error) if known else f"{type(error).__name__}: {error}".splitlines()[0]
        pipe.send(("cell", (words, "".join(traceback.format_exception(error)))))
    else:
        pipe.send(("done", None))


def _train(pipe: Connection, job: SlotJob, out_folder: Path) -> None:
    out_folder.mkdir(parents=True)
    take(job.device)
    # On a CPU compiling is quick, and what is compiled for one may crash another.
    if job.device.gpu and job.compiled:
        keep_compiled(job.compiled)
    if job.builder_folder:
        sys.path.insert(0, str(job.builder_folder))

    def on_trained() -> None:
        # The memory of a GPU is held for as long as its process lives.
        if not job.device.gpu:
            pipe.send(("trained", None))

    result = fit_replicate(
        job.spec,
        open_arrays(job.arrays_folder),
        on_epoch=lambda report: pipe.send(("epoch", report)),
        on_trained=on_trained,
        weights_to=out_folder / "model.keras",
    )
    save_result(result, out_folder)


def load_result(folder: Path) -> ReplicateResult:
    """Read back what `models.training.train.save_result` wrote."""
    content = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    with np.load(folder / "predictions.npz") as saved:
        return ReplicateResult(**content, **{name: saved[name] for name in saved.files})
