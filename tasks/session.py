"""What a flow opens: first a session for a study, then the context in which it trains."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from prefect import runtime
from prefect.tasks import Task

from models.images.arrays import open_arrays
from tasks.data.allowed_folders import check_allowed
from tasks.data.dataset import Prepared
from tasks.environment import prepare_environment
from tasks.logs import configure_log
from tasks.progress import Progress
from tasks.settings import Settings
from tasks.study.backbone import weight_places
from tasks.study.custom_network import source_of, with_builder
from tasks.study.study_file import Study, study_with_response
from tasks.tracking.dataset_facts import DatasetFacts
from tasks.tracking.execution import Execution, RunKind, open_execution
from tasks.tracking.tracker import Tracker
from tasks.training.check_backbone import check_backbone
from tasks.training.cluster import Cluster, require_cluster
from tasks.training.context import RemoteTrainer, TrainingContext
from tasks.training.devices import available_devices
from tasks.training.handover import Handover
from tasks.training.provenance import log_provenance
from tasks.training.slot_child import start_fork_server
from tasks.training.slots import SlotPool


@dataclass(frozen=True)
class Session:
    """A study with its connection to MLflow, before its images are prepared.

    Attributes
    ----------
    study : if it has its own network, with the digest of that network's code.
    tracker : the connection to MLflow.
    progress : the display in the terminal.
    """

    study: Study
    tracker: Tracker
    progress: Progress

    @property
    def settings(self) -> Settings:
        """The folders and addresses of this home."""
        return self.tracker.settings


@contextmanager
def open_session(study: Study, elsewhere: Path | None = None) -> Iterator[Session]:
    """Open the log, the progress display and MLflow for a study; close them at the end.

    Parameters
    ----------
    elsewhere : a folder by which another machine trains.

    Raises
    ------
    UserError
        If the study's own network, MLflow or the cluster cannot be used, or if a deployment names a
        place that the operator does not allow.
    """
    settings = prepare_environment().create()
    deployed = bool(runtime.deployment.id)
    if deployed:
        data = study.data
        check_allowed(
            {
                "data.source": data.source_place,
                "data.rules": data.rules_place,
                "elsewhere": elsewhere,
                **weight_places(study),
            }
        )
    study = with_builder(study, deployed=deployed)
    require_cluster(settings)
    start_fork_server()
    check_backbone(study)
    configure_log(lambda: runtime.flow_run.id)
    with Progress().display() as progress:
        yield Session(study, Tracker.open(settings, notify=progress.show_waiting), progress)


def with_default_response(session: Session, images: Prepared) -> Session:
    """Return a session whose study has a response that suits the images, if it names none.

    A set whose classes differ much in size gets the balanced accuracy; this is printed.
    """
    arrays = open_arrays(images.arrays_folder)
    counts = np.bincount(arrays.labels, minlength=len(arrays.classes)).tolist()
    study = study_with_response(session.study, counts)
    if study.response != session.study.response:
        session.progress.print_line(
            f"response: {study.response}, because the largest class has "
            f"{max(counts) / min(counts):.3g} times the images of the smallest; a response in the "
            "study's file replaces it"
        )
    return replace(session, study=study)


@contextmanager
def open_training(
    session: Session,
    images: Prepared,
    *,
    kind: RunKind = "study",
    elsewhere: Path | None = None,
    remote_task: Task[Any, Any] | None = None,
) -> Iterator[TrainingContext]:
    """Open the execution and the slots of a session; close them at the end, whatever happens.

    Parameters
    ----------
    session : the study and MLflow.
    images : the prepared dataset.
    kind : the kind of the parent run.
    elsewhere : a folder by which another machine trains; see `Handover`.
    remote_task : the Prefect task that trains a replicate on a cluster, if one is configured.
    """
    arrays, settings = open_arrays(images.arrays_folder), session.settings
    devices = available_devices(session.study.parallel)
    facts = DatasetFacts.of(arrays, images.description)
    with (
        open_execution(session.tracker, session.study, images.version, facts, kind) as execution,
        SlotPool(devices, settings.locks, settings.compiled) as pool,
        _open_cluster(settings, remote_task) as remote,
    ):
        # Logged before the stages: MLflow fails if several threads log a new dataset at once.
        execution.log_dataset(execution.run_id, str(images.source), {"accepted": images.accepted})
        log_provenance(execution, arrays)
        _log_builder(execution)
        if execution.resumed:
            session.progress.print_line(f"resuming run {execution.run_id}, which was cut off")
        yield TrainingContext(
            settings,
            session.progress,
            pool,
            images,
            arrays,
            execution,
            remote,
            Handover(elsewhere) if elsewhere else None,
        )


@contextmanager
def with_all_cores(context: TrainingContext) -> Iterator[TrainingContext]:
    """Return a context whose trainings use the whole CPU, also where a study divides its cores."""
    settings, whole = context.settings, available_devices()
    if len(whole) == len(available_devices(context.study.parallel)):
        yield context
        return
    with SlotPool(whole, settings.locks, settings.compiled) as pool:
        yield replace(context, pool=pool)


@contextmanager
def _open_cluster(
    settings: Settings, task: Task[Any, Any] | None
) -> Iterator[RemoteTrainer | None]:
    """Connect to the cluster that the settings name; None if this machine trains."""
    if task is None or settings.runner == "threads":
        yield None
        return
    with Cluster.open(settings, task) as cluster:
        yield cluster


def _log_builder(execution: Execution) -> None:
    """Log the source of the study's own network, if it has one."""
    source = source_of(execution.study)
    if source is not None:
        name, text = source
        execution.writer.log_text(execution.run_id, text, f"builder/{name}")
