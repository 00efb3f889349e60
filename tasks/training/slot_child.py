"""The child process that trains one replicate: both ends of its pipe are in this file.

Children are forked from a server that has Keras and its backend loaded: 0.26 s instead of the 3 to
9 s of a fresh import. The memory that a replicate leaves behind is freed with its process. The
server itself never touches a GPU, because a CUDA context does not survive a fork.

A child receives one job, sends these messages, and ends:

============  ===================================  ==========================================
message       content                              meaning
============  ===================================  ==========================================
``features``  number of images, and their total    features of a backbone are being computed
``epoch``     the figures of the epoch             an epoch ended
``trained``   None                                 the device is free; only files are written
``done``      None                                 the result is in the job's output folder
``failed``    a reason, and the traceback as text  the network cannot be built or trained
============  ===================================  ==========================================
"""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Self

from models.errors import BuilderError
from models.images.arrays import open_arrays
from models.networks.user_builder import import_builder
from models.spec import ReplicateSpec
from models.training.backend import enable_compilation_cache, load_keras
from models.training.features import OnFeatures
from models.training.result import save_result
from models.training.train import fit_replicate
from tasks.errors import CellError, SettingError, SlotDiedError
from tasks.processes.child import follow_parent
from tasks.settings import Settings
from tasks.training.devices import Device, bind_to_device
from tasks.training.peak_memory import PeakMemory

OnEpoch = Callable[[dict[str, Any]], None]
#: The longest part of a library's last line that an error quotes, in characters.
QUOTED_CHARACTERS = 300
#: Seconds in which the time without a report of a child is counted.
TICK_SECONDS = 1.0
#: A child may report nothing for this many times the longest silence before.
LONGEST_SILENCES = 20
#: Seconds for which every child may report nothing, by default.
ALLOWED_SILENCE = 60 * Settings.silence_minutes


@dataclass(frozen=True)
class SlotJob:
    """What one child trains. It opens the arrays itself, so that nothing large goes through a pipe.

    Attributes
    ----------
    spec : the replicate.
    arrays_folder : the cached images.
    device : the device to train on.
    builder_folder : where the user's own network is imported from, if the study has one.
    compiled : a folder for programs that JAX compiles for a GPU.
    out_folder : gets the result; it must not exist yet.
    log : gets the output of the libraries.
    keep_state : whether the result has a checkpoint, from which a longer training continues.
    continue_from : the checkpoint of a shorter training of the same replicate.
    """

    spec: ReplicateSpec
    arrays_folder: Path
    device: Device
    builder_folder: Path | None
    compiled: Path | None
    out_folder: Path
    log: Path
    keep_state: bool = False
    continue_from: Path | None = None


# -- the parent's end ---------------------------------------------------------------------------


def fork_server_context() -> ForkServerContext:
    """Return the context that forks children from a process with Keras loaded."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["models.training.forkserver_preload"])
    return context


def start_fork_server() -> None:
    """Start the server that children are forked from; it loads Keras in the background.

    Raises
    ------
    SettingError
        If its socket cannot be made, because the path of the temporary folder is too long.
    """
    fork_server_context()
    try:
        forkserver.ensure_running()
    except OSError as error:
        if "path too long" not in str(error):  # of AF_UNIX; it has no number
            raise
        raise SettingError(
            f"TMPDIR {os.environ.get('TMPDIR', '')}: the path is too long for a socket in it; set "
            "TMPDIR to a folder with a path of at most 50 characters"
        ) from error


@dataclass(frozen=True, eq=False)
class SlotChild:
    """A child process that waits for one job, does it and ends."""

    process: ForkServerProcess
    pipe: Connection
    memory: PeakMemory = field(default_factory=PeakMemory)

    @classmethod
    def start(cls, context: ForkServerContext) -> Self:
        """Fork a child.

        Raises
        ------
        SlotDiedError
            If the fork server has ended; it is started again with the next child.
        """
        parent_end, child_end = context.Pipe()
        process = context.Process(target=_run_child, args=(child_end,), daemon=True)
        try:
            process.start()
        except (EOFError, OSError) as error:
            raise SlotDiedError(
                f"the server that starts training processes ended: {error}; it is started again"
            ) from error
        child_end.close()
        return cls(process, parent_end)

    def send(self, job: SlotJob) -> None:
        """Send the job. A child that has died already is noticed by `wait`."""
        self.memory.watch(self.process.pid)
        with contextlib.suppress(BrokenPipeError):
            self.pipe.send(job)

    def wait(
        self,
        log: Path,
        *,
        on_epoch: OnEpoch | None = None,
        on_trained: Callable[[], None] | None = None,
        on_features: OnFeatures | None = None,
        allowed_silence: float = ALLOWED_SILENCE,
    ) -> None:
        """Wait until the job is done, and pass on what the child reports.

        A child that reports nothing for too long is given up, because it may be suspended, or wait
        for something for ever. Only the time in which this process runs itself is counted.

        Parameters
        ----------
        log : the log file of the job, quoted if the child dies.
        on_epoch : called with the figures of each epoch, in the calling thread.
        on_trained : called when the child no longer needs its device and still writes files.
        on_features : called while features of a backbone are computed.
        allowed_silence : seconds for which the child may report nothing; if an epoch took longer
            than a part of it, `LONGEST_SILENCES` times as long as the longest epoch.

        Raises
        ------
        CellError
            If the network of this cell cannot be built or trained.
        SlotDiedError
            If the child died, or reported nothing for too long.
        """
        silence = longest = 0.0
        while True:
            if not self.pipe.poll(TICK_SECONDS):
                silence += TICK_SECONDS
                if silence >= max(allowed_silence, LONGEST_SILENCES * longest):
                    cause = f"no epoch ended for {silence / 60:.3g} min"
                    remedy = "FACTORGRID_SILENCE sets how many minutes are allowed"
                    raise self._died("the training process was ended", cause, f" ({remedy})")
                continue
            longest, silence = max(longest, silence), 0.0
            kind, content = self._receive(log)
            match kind:
                case "epoch" if on_epoch is not None:
                    on_epoch(content)
                case "features" if on_features is not None:
                    on_features(*content)
                case "trained" if on_trained is not None:
                    on_trained()
                case "done":
                    return
                case "failed":
                    raise CellError(*content)

    def _receive(self, log: Path) -> tuple[str, Any]:
        try:
            message: tuple[str, Any] = self.pipe.recv()
        except (EOFError, OSError):  # OSError: it ended in the middle of a message
            self.process.join(5)
            cause = _exit_as_text(self.process)
            what = "the training process ended before its result"
            raise self._died(what, cause, _last_log_line(log)) from None
        return message

    def _died(self, what: str, cause: str, more: str) -> SlotDiedError:
        peak = self.memory.megabytes
        memory = f", peak memory {peak:,.0f} MiB" if peak else ""
        return SlotDiedError(f"{what}: {cause}{memory}{more}", cause, peak)

    def end(self) -> None:
        """End the process at once, whatever it does."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _exit_as_text(process: ForkServerProcess) -> str:
    code = process.exitcode
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory, perhaps)" if name == "SIGKILL" else ""
        return f"signal {name}{hint}"
    return f"exit status {code}"


def _last_log_line(log: Path) -> str:
    """Return the last line that the libraries of a child wrote; empty if there is none."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f"; its last output: {lines[-1][:QUOTED_CHARACTERS]}" if lines else ""


# -- the child's end ----------------------------------------------------------------------------


def _run_child(pipe: Connection) -> None:
    """Receive one job, do it, and report."""
    follow_parent()
    try:
        job: SlotJob = pipe.recv()
    except EOFError:
        return  # the pool was closed before it needed this child
    redirect_output(job.log)
    try:
        _train(pipe, job)
    except Exception as error:  # noqa: BLE001 # the network may be the user's own: any error is possible
        import traceback

        has_message = isinstance(error, BuilderError)
        reason = str(error) if has_message else f"{type(error).__name__}: {error}".splitlines()[0]
        pipe.send(("failed", (reason, "".join(traceback.format_exception(error)))))
    else:
        pipe.send(("done", None))


def redirect_output(log: Path) -> None:
    """Write standard output and standard error to a file, those of native libraries too."""
    with log.open("wb") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)


def _train(pipe: Connection, job: SlotJob) -> None:
    job.out_folder.mkdir(parents=True)
    bind_to_device(job.device)
    # Not on a CPU: compiling is quick there, and a program for one CPU may crash another.
    if job.device.gpu and job.compiled:
        enable_compilation_cache(job.compiled)
    if job.builder_folder:
        # Keras first: what it tries to import must not be searched for in the user's folder.
        load_keras()
        import_builder(job.builder_folder, job.spec.model)

    def on_trained() -> None:
        # The memory of a GPU is occupied as long as its process lives.
        if not job.device.gpu:
            pipe.send(("trained", None))

    result = fit_replicate(
        job.spec,
        open_arrays(job.arrays_folder),
        on_epoch=lambda figures: pipe.send(("epoch", figures)),
        on_trained=on_trained,
        weights_to=job.out_folder / "model.keras",
        checkpoint_to=job.out_folder / "checkpoint.npz" if job.keep_state else None,
        continue_from=job.continue_from,
        arrays_folder=job.arrays_folder,
        on_features=lambda done, total: pipe.send(("features", (done, total))),
    )
    save_result(result, job.out_folder)
