"""Training on a Dask or Ray cluster, by Prefect's task runners.

A worker process gets an `ExecutionDescription`: the address of MLflow, the execution, the folder of
the image arrays. If the worker sees this folder, it uses the sender's home. If not, it uses its own
machine's home, and downloads the arrays from the store that ``FACTORGRID_SHARE`` names. It opens
its own tracker, arrays and slot, and returns the id of a run. No image is ever pickled.
"""

import math
import multiprocessing
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Self
from urllib.parse import urlsplit

from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner
from prefect.tasks import Task

from models.images.arrays import open_arrays
from tasks.data.dataset import Prepared
from tasks.errors import DataError, StudyError, TrackingError, UserError
from tasks.progress import Progress
from tasks.settings import Settings, read_settings
from tasks.study.custom_network import with_builder
from tasks.study.replicates import Planned
from tasks.study.study_file import Study
from tasks.tracking.dataset_facts import DatasetFacts
from tasks.tracking.execution import Execution
from tasks.tracking.tracker import Tracker
from tasks.training.context import TrainingContext
from tasks.training.share_arrays import download_arrays, upload_arrays
from tasks.training.slots import SlotPool
from tasks.training.train_replicate import response_of_run, train_replicate

#: Module and class of each task runner; its name is also that of the optional dependency.
RUNNERS = {
    "dask": ("prefect_dask", "DaskTaskRunner"),
    "ray": ("prefect_ray", "RayTaskRunner"),
}
#: Kinds of addresses that are a host and a port which accepts TCP connections.
TCP_SCHEMES = {"", "tcp", "tls", "ws", "wss", "ray"}
#: Seconds in which something at the address must accept a connection, and then answer as a cluster.
CONNECT_SECONDS, ANSWER_SECONDS = 5, 20
#: Programs that end with exit status 0 if a cluster answers at the address that follows. Each runs
#: in a process of its own: Ray's library waits for minutes, and both write to the terminal.
HELLO = {
    "dask": "import sys, distributed; distributed.Client(sys.argv[1], timeout=15).close()",
    "ray": "import sys, ray._raylet; ray._raylet.GcsClient(address=sys.argv[1])",
}


@dataclass(frozen=True)
class ExecutionDescription:
    """An execution, described for a process on another machine; a few kilobytes when pickled.

    Attributes
    ----------
    settings, images : with the paths of the machine that sends it.
    study, version, facts : the study, the dataset version, and facts about the dataset.
    experiment, run_id : the MLflow experiment, and the parent run of the execution.
    arrays_url : the address of the arrays in a store; empty if all machines share the home.
    """

    settings: Settings
    study: Study
    version: str
    facts: DatasetFacts
    experiment: str
    run_id: str
    images: Prepared
    arrays_url: str = ""

    @classmethod
    def of(cls, context: TrainingContext) -> Self:
        """Describe an execution; upload its arrays if ``FACTORGRID_SHARE`` names a store.

        Raises
        ------
        DataError
            If the store cannot be used.
        """
        execution, share = context.execution, context.settings.share
        return cls(
            context.settings,
            execution.study,
            execution.version,
            execution.facts,
            execution.experiment,
            execution.run_id,
            context.images,
            upload_arrays(context.images.arrays_folder, share) if share else "",
        )

    def open(self) -> TrainingContext:
        """Open the execution in this process, with its own tracker, arrays and slot.

        Raises
        ------
        UserError
            If this machine has no access to the arrays, to MLflow or to the study's own network.
        """
        _allow_children()
        _check_builder(self.study)
        if self._shares_the_home:
            settings, images = self.settings, self.images
        else:
            settings, images = self._use_own_home()
        tracker = Tracker.open(settings)
        if settings.home != self.settings.home:
            _check_artifacts(tracker, self.experiment)
        execution = Execution(
            tracker, self.study, self.version, self.facts, self.experiment, self.run_id
        )
        pool = SlotPool(locks=settings.locks, compiled=settings.compiled)
        arrays = open_arrays(images.arrays_folder)
        return TrainingContext(settings, Progress(), pool, images, arrays, execution)

    @property
    def _shares_the_home(self) -> bool:
        """Whether this process can read the sender's arrays and write to the sender's home."""
        home, arrays = self.settings.home, self.images.arrays_folder
        return os.access(arrays, os.R_OK | os.X_OK) and os.access(home, os.W_OK)

    def _use_own_home(self) -> tuple[Settings, Prepared]:
        """Return the settings and images with this machine's home, and download the arrays."""
        host = platform.node()
        if not self.arrays_url:
            raise DataError(
                f"{self.images.arrays_folder}: not visible on {host}; put FACTORGRID_HOME on a "
                "path that all machines share, or name a bucket that all can use in "
                "FACTORGRID_SHARE"
            )
        if not self.settings.tracking_uri.startswith(("http", "postgresql")):
            raise TrackingError(
                f"MLflow at {self.settings.tracking_uri}: this file is not visible on {host}; "
                "start a server for all machines and name it in MLFLOW_TRACKING_URI"
            )
        settings = replace(self.settings, home=read_settings().home)
        arrays_folder = download_arrays(self.arrays_url, settings)
        return settings, replace(self.images, arrays_folder=arrays_folder)


def _check_builder(study: Study) -> None:
    """Raise StudyError unless this machine has the same network file under the same path."""
    host = platform.node()
    try:
        source = with_builder(study).model.builder_source
    except StudyError as error:
        raise StudyError(f"on {host}: {error}") from error
    except OSError as error:
        raise StudyError(
            f"on {host}: model.builder {study.model.builder}: {error.strerror} ({error.filename}); "
            "copy the study's file there, under the same path"
        ) from error
    if source != study.model.builder_source:
        raise StudyError(
            f"on {host}: model.builder {study.model.builder}: the file in "
            f"{study.model.builder_folder} differs from the study's; copy the study's file there"
        )


def _check_artifacts(tracker: Tracker, experiment: str) -> None:
    """Raise TrackingError if artifacts go to a folder of another machine: they would be lost."""
    location = str(tracker.client.get_experiment(experiment).artifact_location)
    if location.startswith(("file:", "/")):
        raise TrackingError(
            f"MLflow's artifacts are in {location}, not visible on {platform.node()}; start "
            "its server with --artifacts-destination (`factorgrid up --host` does) and give the "
            "study a new name"
        )


#: The executions that this process has opened, by the id of their parent run.
_open_contexts: dict[str, TrainingContext] = {}


def _allow_children() -> None:
    """Let a Dask worker start child processes; it is a daemon, which Python does not allow to."""
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined] # noqa: SLF001 # Python has no public way


def train_for_execution(planned: Planned, description: ExecutionDescription) -> str | None:
    """Train one replicate of an execution of another machine; see `train_replicate`."""
    run_id = description.run_id
    if run_id not in _open_contexts:
        _open_contexts.setdefault(run_id, description.open())
    context = _open_contexts[run_id]
    # After a pilot the study has other levels than when this process opened the execution.
    execution = replace(context.execution, study=description.study)
    context = replace(context, execution=execution)
    # The cluster gives a replicate to one worker at a time: a run that is still open is that of a
    # worker that was killed.
    context.execution.replicates.end_cut_off(planned.key)
    return train_replicate(planned, context)


@dataclass(frozen=True)
class Cluster:
    """A cluster that trains replicates.

    Attributes
    ----------
    runner : Prefect's task runner for the cluster.
    task : the Prefect task that trains one replicate in a worker.
    """

    runner: TaskRunner[PrefectFuture[Any]]
    task: Task[Any, Any]

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, task: Task[Any, Any]) -> Iterator["Cluster"]:
        """Connect to the cluster that the settings name, or start one on this machine.

        Raises
        ------
        UserError
            If the runner is unknown, or its library is not installed.
        """
        with ExitStack() as stack:
            # Ray's workers import from the folder in which they are started before any other.
            with chdir(settings.create().logs):
                runner = stack.enter_context(create_runner(settings))
            yield cls(runner, task)

    def train(self, todo: Sequence[Planned], context: TrainingContext) -> list[str]:
        """Train each replicate there, and return the ids of the runs that finished."""
        description = ExecutionDescription.of(context)
        futures = [
            self.runner.submit(self.task, {"planned": planned, "description": description})
            for planned in todo
        ]
        finished = []
        for planned, future in zip(todo, futures, strict=True):
            run_id, figure = future.result(), math.nan
            if run_id is None:
                summary = f"failed: see {context.execution.run_id}"
            else:
                figure = response_of_run(context.execution, run_id)
                summary = f"{context.study.measured.title} {figure:.3f}"
                finished.append(run_id)
            context.progress.finished(
                planned.key, planned.name, summary, figure, planned.spec.training.epochs
            )
        return finished


def require_cluster(settings: Settings) -> None:
    """Check that the cluster that the settings name can be used, in at most half a minute.

    Raises
    ------
    UserError
        If the runner is unknown, its library is not installed, or no such cluster answers at the
        address.
    """
    if settings.runner == "threads":
        return
    create_runner(settings)
    address = settings.runner_address
    reason = _no_connection(address) or _no_answer(settings.runner, address)
    if reason:
        raise UserError(
            f"FACTORGRID_RUNNER_ADDRESS={address}: no cluster of {settings.runner} answers there "
            f"({reason}); start it, correct the address, or unset it to start a cluster on this "
            "machine"
        )


def _no_connection(address: str) -> str:
    """Return why nothing accepts connections at an address; empty if something does."""
    if address in {"", "auto", "local"}:
        return ""
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in TCP_SCHEMES:
        return ""
    if not host or port is None:
        return "it is not a host and a port"
    try:
        with socket.create_connection((host, port), timeout=CONNECT_SECONDS):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _no_answer(runner: str, address: str) -> str:
    """Return why what accepts connections at an address is no such cluster; empty if it is one."""
    if address in {"", "auto", "local"} or address.startswith("ray://"):
        return ""
    command = [sys.executable, "-P", "-c", HELLO[runner], address]
    try:
        ended = subprocess.run(  # noqa: S603 # our own interpreter and program
            command, capture_output=True, timeout=ANSWER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return "something else listens at that port"
    return "something else listens at that port" if ended.returncode else ""


def create_runner(settings: Settings) -> TaskRunner[PrefectFuture[Any]]:
    """Return Prefect's task runner for the cluster that the settings name.

    Raises
    ------
    UserError
        If the runner is unknown, or its library is not installed.
    """
    name, address = settings.runner, settings.runner_address or None
    if name not in RUNNERS:
        raise UserError(
            f"FACTORGRID_RUNNER={name}: unknown; set it to threads (the default), dask or ray"
        )
    module, class_name = RUNNERS[name]
    try:
        runner: TaskRunner[PrefectFuture[Any]] = getattr(import_module(module), class_name)(address)
    except ImportError as error:
        raise UserError(
            f"FACTORGRID_RUNNER={name}: {module} is not installed; pip install 'factorgrid[{name}]'"
        ) from error
    return runner
