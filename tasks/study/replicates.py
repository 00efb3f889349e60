"""The replicates of a stage as data, each with its cell, seed and key."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from analysis.factors import cell_name, show, with_conditions
from analysis.search.procedure import CellRun
from analysis.search.space import typed_level
from models.spec import ReplicateSpec, Scalar
from tasks.errors import StudyError
from tasks.study.study_file import Study

#: Short forms of the names of factors, for the names of runs.
SHORT_FORMS = {
    "conv_layers": "conv",
    "fc_layers": "fc",
    "learning_rate": "lr",
    "batch_size": "batch",
    "kernel_size": "kernel",
    "dense_units": "units",
}

Stage = Literal["pilot", "screen", "refine", "confirm", "final", "compare"]
#: The training that follows the search: the chosen cell, with more epochs.
FINAL: Stage = "final"
Levels = Mapping[str, Scalar]


@dataclass(frozen=True)
class Planned:
    """One replicate that is planned.

    Attributes
    ----------
    stage : the stage that asks for it; a run of an earlier stage serves as well.
    levels : natural levels by factor.
    coded : coded levels by factor; beyond -1 and +1 in a refined grid.
    replicate : the number of the cell's seed, from 1 and counted through all stages.
    spec : what to train.
    key : replicates with equal keys are trained once.
    centre : whether it is a centre point.
    keep_state : whether a longer training is to continue from it, so that its run gets a
        checkpoint. It is no part of the key.
    """

    stage: Stage
    levels: Levels
    coded: Mapping[str, float]
    replicate: int
    spec: ReplicateSpec
    key: str
    centre: bool = False
    keep_state: bool = False

    @property
    def cell(self) -> str:
        """The cell as text, for example ``conv_layers=3 learning_rate=0.001``."""
        return cell_name(self.levels)

    @property
    def name(self) -> str:
        """The cell and the number of the replicate as text."""
        return f"{self.cell} #{self.replicate}{self._length}"

    @property
    def short_name(self) -> str:
        """A short form, for example ``conv 3, fc 1, lr 0.001 · seed 2``: MLflow cuts long names."""
        return f"{short_cell_name(self.levels)} · seed {self.replicate}{self._length}"

    @property
    def _length(self) -> str:
        """The number of epochs, where other trainings of the cell have another one."""
        epochs = self.spec.training.epochs
        is_other = self.keep_state or self.stage == FINAL
        return f" ({epochs} epoch{'s' * (epochs != 1)})" if is_other else ""


def short_cell_name(levels: Mapping[str, object]) -> str:
    """Return a cell as short text, for example ``conv 3, fc 1, lr 0.001``.

    If two factors have the same short form, all have their full names.
    """
    short = [SHORT_FORMS.get(name, name) for name in levels]
    names = short if len(set(short)) == len(short) else list(levels)
    return ", ".join(
        f"{name} {show(level)}" for name, level in zip(names, levels.values(), strict=True)
    )


def seed_of(study: Study, levels: Levels, replicate: int) -> int:
    """Return the seed of a replicate, the same in every stage and execution.

    Each cell has seeds of its own: a seed that all cells share would be a block, and the errors
    would not be independent, as the effects model assumes.
    """
    content = json.dumps([study.seed, sorted(levels.items()), replicate])
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:4], "big") >> 1


def plan(study: Study, version: str, stage: Stage, runs: Iterable[CellRun]) -> list[Planned]:
    """Return the replicates of the runs that a stage asks for, in their order.

    Parameters
    ----------
    version : the dataset version.
    """
    return [
        planned(study, version, stage, run.levels, run.number, centre=run.centre, epochs=run.epochs)
        for run in runs
    ]


def planned(
    study: Study,
    version: str,
    stage: Stage,
    levels: Levels,
    number: int,
    *,
    centre: bool = False,
    epochs: int | None = None,
) -> Planned:
    """Return the plan of one replicate.

    Parameters
    ----------
    epochs : the length of its training; None for that of the study. With fewer epochs, a longer
        training of the replicate continues from it; the final training has more.

    Raises
    ------
    StudyError
        If `epochs` is given, and the number of epochs is a factor of the study.
    """
    factors = study.factor_list
    typed = with_conditions(factors, {f.name: typed_level(f, levels[f.name]) for f in factors})
    spec = study.spec(typed, seed_of(study, typed, number))
    keep_state = False
    if epochs is not None:
        if "epochs" in typed:
            raise StudyError(
                f"study {study.name}: factors.epochs sets the length of each training, so none can "
                f"be limited to {epochs} epochs; set training.epochs instead of the factor"
            )
        keep_state = epochs < spec.training.epochs
        spec = spec.with_levels({"epochs": epochs})
    coded = {factor.name: float(factor.code(typed[factor.name])) for factor in factors}
    return Planned(stage, typed, coded, number, spec, spec.key(version), centre, keep_state)
