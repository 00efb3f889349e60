"""What training a replicate needs, opened once per execution and shared by its threads."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from models.images.arrays import ImageArrays
from tasks.data.dataset import Prepared
from tasks.progress import Progress
from tasks.settings import Settings
from tasks.study.replicates import Planned
from tasks.study.study_file import Study
from tasks.tracking.execution import Execution
from tasks.tracking.metric_history import MetricHistories
from tasks.training.handover import Handover
from tasks.training.slots import SlotPool


class RemoteTrainer(Protocol):
    """Other machines that train; `tasks.training.cluster.Cluster` is one implementation."""

    def train(self, todo: Sequence[Planned], context: "TrainingContext") -> list[str]:
        """Train each replicate there; return the ids of the runs that finished."""
        ...


@dataclass(frozen=True)
class TrainingContext:
    """What training a replicate needs; `tasks.session.open_training` opens it.

    Attributes
    ----------
    settings : the folders, and the address of MLflow.
    progress : the display in the terminal.
    pool : the slots of this process.
    images : the prepared dataset.
    arrays : its images, memory-mapped.
    execution : the parent run in MLflow.
    remote : other machines that train instead of this one; None if this one trains.
    handover : a folder that the user copies to another machine to train; None if there is none.
    histories : the response by epoch of finished replicates, for early stopping.
    """

    settings: Settings
    progress: Progress
    pool: SlotPool
    images: Prepared
    arrays: ImageArrays
    execution: Execution
    remote: RemoteTrainer | None = None
    handover: Handover | None = None
    histories: MetricHistories = field(default_factory=MetricHistories)

    @property
    def study(self) -> Study:
        """The study; if it has a pilot, with the levels that the pilot found."""
        return self.execution.study

    @property
    def version(self) -> str:
        """The dataset version."""
        return self.images.version
