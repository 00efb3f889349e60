"""Training on a Dask or Ray cluster, by Prefect's own task runners.

What travels is a description: where MLflow is, which execution, which folder of arrays. A process
there that sees this folder uses the sender's home; another one has a home of its own, and brings
the arrays from the store that the operator names. Each opens its own tracker, arrays and slot; what
comes back is a run's id. No picture is ever pickled.
"""

import multiprocessing
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

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
from tasks.training.share_arrays import bring, offer
from tasks.training.slots import SlotPool
from tasks.training.train_replicate import train_replicate

#: Module and class of each runner; each is an extra of its name.
EXTRAS = {
    "dask": ("prefect_dask", "DaskTaskRunner"),
    "ray": ("prefect_ray", "RayTaskRunner"),
}


@dataclass(frozen=True)
class Site:
    """An execution, described for a process elsewhere; it pickles in a few kilobytes.

    Attributes
    ----------
    settings, images : as the sender sees them.
    arrays : where in a store the arrays are; empty where all machines share the home.
    """

    settings: Settings
    study: Study
    version: str
    facts: DatasetFacts
    experiment: str
    run_id: str
    images: Prepared
    arrays: str = ""

    @classmethod
    def of(cls, context: TrainingContext) -> "Site":
        """Describe the execution of a workshop, its arrays put where all can reach them.

        Raises
        ------
        DataError
            If the store for them cannot be had.
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
            offer(context.images.arrays_folder, share) if share else "",
        )

    def open(self) -> TrainingContext:
        """Open it in this process: its own tracker, arrays and slot.

        Raises
        ------
        UserError
            If this machine has no way to the arrays, to MLflow or to the study's own network.
        """
        _allow_children()
        _check_builder(self.study)
        if self._shares_the_home:
            settings, images = self.settings, self.images
        else:
            settings, images = self._own()
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
        """Whether this process sees the sender's arrays and may write beside them."""
        home, arrays = self.settings.home, self.images.arrays_folder
        return os.access(arrays, os.R_OK | os.X_OK) and os.access(home, os.W_OK)

    def _own(self) -> tuple[Settings, Prepared]:
        """Return settings with this machine's home, and the pictures in it; the rest travels."""
        arrays, host = self.images.arrays_folder, platform.node()
        if not self.arrays:
            raise DataError(
                f"{arrays}: {host} does not see it; put FACTORGRID_HOME on a path that all "
                "machines share, or name a bucket that all reach in FACTORGRID_SHARE"
            )
        if not self.settings.tracking_uri.startswith(("http", "postgresql")):
            raise TrackingError(
                f"MLflow at {self.settings.tracking_uri}: {host} does not see this file; start a "
                "server for all machines and name it in MLFLOW_TRACKING_URI"
            )
        settings = replace(self.settings, home=read_settings().home)
        return settings, replace(self.images, arrays_folder=bring(self.arrays, settings))


def _check_builder(study: Study) -> None:
    """See that the study's own network is here, under the same path, and is the same."""
    host = platform.node()
    try:
        here = with_builder(study).model.builder_source
    except StudyError as error:
        raise StudyError(f"on {host}: {error}") from error
    except OSError as error:
        raise StudyError(
            f"on {host}: model.builder {study.model.builder}: {error.strerror} ({error.filename}); "
            "copy the study's file there, under the same path"
        ) from error
    if here != study.model.builder_source:
        raise StudyError(
            f"on {host}: model.builder {study.model.builder}: the file in "
            f"{study.model.builder_folder} is not the study's; copy the study's there"
        )


def _check_artifacts(tracker: Tracker, experiment: str) -> None:
    """Refuse artifacts in a folder of another machine: they would be written here, and lost."""
    location = str(tracker.client.get_experiment(experiment).artifact_location)
    if location.startswith(("file:", "/")):
        raise TrackingError(
            f"MLflow's artifacts are in {location}, which {platform.node()} does not share; start "
            "its server with --artifacts-destination (`factorgrid up --host` does) and give the "
            "study a new name"
        )


#: What this process has open, by the execution's run.
_open: dict[str, TrainingContext] = {}


def _allow_children() -> None:
    """Let a worker of Dask's, which is a daemon, have the children that train."""
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined] # noqa: SLF001 # Python has no other way


def train_at_site(planned: Planned, site: Site) -> str | None:
    """Train one replicate on the machine where this runs; see `train`."""
    context = _open.get(site.run_id) or _open.setdefault(site.run_id, site.open())
    # The cluster gives a replicate to one task at a time: a run that is still open is that of a
    # worker that was killed.
    context.execution.replicates.end_cut_off(planned.key)
    return train_replicate(planned, context)


@dataclass(frozen=True)
class Cluster:
    """A cluster that trains, by its task runner."""

    runner: TaskRunner[PrefectFuture[Any]]
    task: Task[Any, Any]

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, task: Task[Any, Any]) -> Iterator["Cluster"]:
        """Connect to the cluster that the settings name, or start one on this machine.

        Raises
        ------
        UserError
            If there is no such runner, or its library is not installed.
        """
        with runner_of(settings) as runner:
            yield cls(runner, task)

    def train(self, todo: Sequence[Planned], context: TrainingContext) -> list[str]:
        """Train each there and return the ids of the runs that finished."""
        site = Site.of(context)
        futures = [self.runner.submit(self.task, {"planned": p, "site": site}) for p in todo]
        found = []
        for planned, future in zip(todo, futures, strict=True):
            run_id = future.result()
            words = f"failed: see {context.execution.run_id}" if run_id is None else f"run {run_id}"
            context.progress.finished(planned.key, planned.name, words)
            found.append(run_id)
        return [run_id for run_id in found if run_id is not None]


def runner_of(settings: Settings) -> TaskRunner[PrefectFuture[Any]]:
    """Return Prefect's task runner of a cluster.

    Raises
    ------
    UserError
        If there is no such runner, or its library is not installed.
    """
    name, address = settings.runner, settings.runner_address or None
    if name not in EXTRAS:
        raise UserError(
            f"FACTORGRID_RUNNER={name}: no runner; it is threads (the default), dask or ray"
        )
    module, kind = EXTRAS[name]
    try:
        runner: TaskRunner[PrefectFuture[Any]] = getattr(import_module(module), kind)(address)
    except ImportError as error:
        raise UserError(
            f"FACTORGRID_RUNNER={name}: {module} is not installed; pip install 'factorgrid[{name}]'"
        ) from error
    return runner
