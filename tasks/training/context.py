"""What training needs, opened once for an execution."""

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
from tasks.training.early_stopping import Pruner
from tasks.training.handover import Handover
from tasks.training.slots import SlotPool


class RemoteTrainer(Protocol):
    """Other machines that train."""

    def train(self, todo: Sequence[Planned], context: "TrainingContext") -> list[str]:
        """Train each replicate there; return the ids of the runs that finished."""
        ...


@dataclass(frozen=True)
class TrainingContext:
    """What training needs, shared by the threads of one execution."""

    settings: Settings
    progress: Progress
    pool: SlotPool
    images: Prepared
    arrays: ImageArrays
    execution: Execution
    remote: "RemoteTrainer | None" = None
    handover: Handover | None = None
    pruner: Pruner = field(default_factory=Pruner)

    @property
    def study(self) -> Study:
        """The study, with the levels that the pilot found where it has one."""
        return self.execution.study

    @property
    def version(self) -> str:
        """The dataset version."""
        return self.images.version
