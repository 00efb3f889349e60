"""Slots: each replicate trains in a child process of its own, and only that child can fall.

Children are forked from a server that has Keras and its backend loaded: 0.26 s instead of the 3 to
9 s of a fresh import, and what a replicate leaves behind in memory goes with its process. The
server itself never touches a GPU: a CUDA context does not survive a fork.
"""

import contextlib
import json
import multiprocessing
import os
import queue
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Self

import numpy as np

from models.errors import BuilderError
from models.images import open_arrays
from models.spec import ReplicateSpec
from models.training import ReplicateResult, fit, save_result
from tasks.children import follow_parent
from tasks.devices import device_lock
from tasks.errors import CellError, SlotDiedError, SlotsClosedError

OnEpoch = Callable[[dict[str, Any]], None]


class SlotPool:
    """So many places to train at once; threads share it.

    Parameters
    ----------
    slots : children at a time; one with all cores is faster on a CPU than two with half each.
    locks : a folder of locks that other pools share: each slot is then a device, held by one.
    """

    def __init__(self, slots: int = 1, locks: Path | None = None) -> None:
        self._locks = locks
        self._free: queue.Queue[int] = queue.Queue()
        for number in range(slots):
            self._free.put(number)
        self._context = _context()
        self._children: set[ForkServerProcess] = set()
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Self:
        """Open the pool; the server starts with its first child."""
        return self

    def __exit__(self, *_: object) -> None:
        """End every child."""
        self.close()

    def close(self) -> None:
        """End every child at once, by SIGKILL: MLflow is told by who waits for them."""
        with self._lock:
            self._closed = True
            children = list(self._children)
        for child in children:
            child.kill()

    @contextlib.contextmanager
    def slot(self) -> Iterator["Slot"]:
        """Wait for a free slot and hold it; any thread may call it.

        Raises
        ------
        SlotsClosedError
            If the pool was closed in the meantime: the study is over.
        """
        number = self._free.get()
        try:
            self._raise_if_closed()
            with self._held(number):
                yield Slot(self, number)
        finally:
            self._free.put(number)

    def _held(self, number: int) -> contextlib.AbstractContextManager[None]:
        """Hold the slot's device against the other processes of this machine."""
        if self._locks is None:
            return contextlib.nullcontext()
        return device_lock(f"cpu-{number}", self._locks, self._raise_if_closed)

    def _raise_if_closed(self) -> None:
        if self._closed:
            raise SlotsClosedError("the slots are closed: the study was interrupted")

    def _run(
        self,
        spec: ReplicateSpec,
        arrays_folder: Path,
        out_folder: Path,
        on_epoch: OnEpoch | None,
        timeout_seconds: float | None,
    ) -> ReplicateResult:
        receive, send = self._context.Pipe(duplex=False)
        out_folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out_folder.parent) as text, receive:
            partial, log = Path(text) / "out", Path(text) / "log"
            arguments = (send, spec.to_dict(), str(arrays_folder), str(partial), str(log))
            child = self._context.Process(target=_work, args=arguments, daemon=True)
            with self._watched(child):
                send.close()
                try:
                    _listen(child, receive, on_epoch, timeout_seconds, log)
                except SlotDiedError:
                    self._raise_if_closed()
                    raise
            partial.rename(out_folder)
        return load_result(out_folder)

    @contextlib.contextmanager
    def _watched(self, child: ForkServerProcess) -> Iterator[None]:
        """Start a child, and see that it is gone when the block ends."""
        with self._lock:
            self._raise_if_closed()
            try:
                child.start()
            except (EOFError, OSError) as error:
                raise SlotDiedError(f"the slots' server ended: {error}; it starts again") from error
            self._children.add(child)
        try:
            yield
        finally:
            child.kill()
            child.join()
            with self._lock:
                self._children.discard(child)


@dataclass(frozen=True)
class Slot:
    """One place to train, held by one thread."""

    pool: SlotPool
    number: int

    def run(
        self,
        spec: ReplicateSpec,
        arrays_folder: Path,
        out_folder: Path,
        *,
        on_epoch: OnEpoch | None = None,
        timeout_seconds: float | None = None,
    ) -> ReplicateResult:
        """Train one replicate in a child process.

        Parameters
        ----------
        spec : what to train.
        arrays_folder : the cached images, opened by the child itself.
        out_folder : gets ``model.keras``, ``predictions.npz`` and ``result.json``, all or none.
        on_epoch : told each epoch's figures, in the calling thread.
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
        return self.pool._run(spec, arrays_folder, out_folder, on_epoch, timeout_seconds)  # noqa: SLF001 # one class in two parts


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["models.preload"])
    return context


def _listen(
    child: ForkServerProcess,
    receive: Connection,
    on_epoch: OnEpoch | None,
    timeout_seconds: float | None,
    log: Path,
) -> None:
    """Pass a child's epochs on until it says that it is done."""
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not receive.poll(left):
            raise SlotDiedError(f"the slot's process was killed after {timeout_seconds:g} s")
        try:
            kind, content = receive.recv()
        except EOFError:
            child.join(5)
            last = _last_words(log)
            raise SlotDiedError(
                f"the slot's process ended before its result: {_death(child)}{last}"
            ) from None
        match kind:
            case "epoch" if on_epoch is not None:
                on_epoch(content)
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


def _work(
    send: Connection, spec: dict[str, Any], arrays_folder: str, out_folder: str, log: str
) -> None:
    """Train, in the child."""
    with Path(log).open("wb") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    follow_parent()
    try:
        _train(send, ReplicateSpec.from_dict(spec), Path(arrays_folder), Path(out_folder))
    except Exception as error:  # noqa: BLE001 # the network is the user's: anything may happen in it
        import traceback

        known = isinstance(error, BuilderError)
        words = str(error) if known else f"{type(error).__name__}: {error}".splitlines()[0]
        send.send(("cell", (words, "".join(traceback.format_exception(error)))))
    else:
        send.send(("done", None))


def _train(send: Connection, spec: ReplicateSpec, arrays_folder: Path, out_folder: Path) -> None:
    out_folder.mkdir(parents=True)
    result = fit(
        spec,
        open_arrays(arrays_folder),
        on_epoch=lambda report: send.send(("epoch", report)),
        weights_to=out_folder / "model.keras",
    )
    save_result(result, out_folder)


def load_result(folder: Path) -> ReplicateResult:
    """Read back what `models.training.save_result` wrote."""
    content = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    with np.load(folder / "predictions.npz") as saved:
        return ReplicateResult(**content, **{name: saved[name] for name in saved.files})
