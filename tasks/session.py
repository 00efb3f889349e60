"""What a flow opens: first the session of a study, then the context in which it trains."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import runtime
from prefect.tasks import Task

from models.images.arrays import open_arrays
from tasks.data.dataset import Prepared
from tasks.environment import prepare_environment
from tasks.logs import configure_log
from tasks.progress import Progress
from tasks.settings import Settings
from tasks.study.custom_network import source_of, with_builder
from tasks.study.study_file import Study
from tasks.tracking.dataset_facts import DatasetFacts
from tasks.tracking.execution import Execution, RunKind, open_execution
from tasks.tracking.tracker import Tracker
from tasks.training.cluster import Cluster
from tasks.training.context import RemoteTrainer, TrainingContext
from tasks.training.handover import Handover
from tasks.training.provenance import log_provenance
from tasks.training.slots import SlotPool, start_fork_server


@dataclass(frozen=True)
class Session:
    """A study with MLflow open, before its pictures are prepared.

    Attributes
    ----------
    study : with the digest of its network's code, where it has one of its own.
    """

    study: Study
    tracker: Tracker
    progress: Progress

    @property
    def settings(self) -> Settings:
        """Where things are kept."""
        return self.tracker.settings


@contextmanager
def open_session(study: Study) -> Iterator[Session]:
    """Open the log, the progress display and MLflow for a study; close them in turn.

    Raises
    ------
    UserError
        If the study's own network or MLflow cannot be used.
    """
    settings = prepare_environment().create()
    start_fork_server()
    configure_log(lambda: runtime.flow_run.id)
    study = with_builder(study, deployed=bool(runtime.deployment.id))
    with Progress().display() as progress:
        yield Session(study, Tracker.open(settings, notify=progress.show_waiting), progress)


@contextmanager
def open_training(
    session: Session,
    images: Prepared,
    *,
    kind: RunKind = "study",
    elsewhere: Path | None = None,
    remote_task: Task[Any, Any] | None = None,
) -> Iterator[TrainingContext]:
    """Open the execution and the slots of a session; close them in turn, whatever happens.

    Parameters
    ----------
    images : the prepared pictures.
    kind : what the parent run is of.
    elsewhere : a folder that takes the training to another machine; see `Handover`.
    remote_task : the Prefect task that trains a replicate on a cluster, where one is configured.
    """
    arrays, settings = open_arrays(images.arrays_folder), session.settings
    facts = DatasetFacts.of(arrays, images.description)
    with (
        open_execution(session.tracker, session.study, images.version, facts, kind) as execution,
        SlotPool(locks=settings.locks, compiled=settings.compiled) as pool,
        _open_cluster(settings, remote_task) as remote,
    ):
        # Once, before the stages: parallel first writers of a new dataset would collide.
        execution.log_dataset(execution.run_id, str(images.source), {"accepted": images.accepted})
        log_provenance(execution, arrays)
        _log_builder(execution)
        if execution.resumed:
            session.progress.print_line(f"going on with run {execution.run_id}, which was cut off")
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
def _open_cluster(
    settings: Settings, task: Task[Any, Any] | None
) -> Iterator[RemoteTrainer | None]:
    """Connect to the cluster that the settings name; None where this machine trains."""
    if task is None or settings.runner == "threads":
        yield None
        return
    with Cluster.open(settings, task) as cluster:
        yield cluster


def _log_builder(execution: Execution) -> None:
    found = source_of(execution.study)
    if found is not None:
        name, text = found
        execution.log_text(execution.run_id, text, f"builder/{name}")
