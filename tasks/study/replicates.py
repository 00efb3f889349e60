"""What is to be trained, as data: a stage's replicates, each with its cell, seed and key."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

from analysis.factors import Factor, cell_name, show
from models.spec import ReplicateSpec, Scalar
from tasks.study.study_file import Study

Stage = Literal["pilot", "screen", "refine", "confirm", "compare"]
Levels = Mapping[str, Scalar]


@dataclass(frozen=True)
class Planned:
    """One replicate to come.

    Attributes
    ----------
    stage : where it is asked for; training it elsewhere before is as good.
    levels : natural levels by factor.
    coded : coded levels by factor; beyond -1 and +1 in a refined grid.
    replicate : 1 for a cell's first seed, and so on through all stages.
    spec : what to train.
    key : equal keys are trained once.
    centre : whether it is a centre point.
    """

    stage: Stage
    levels: Levels
    coded: Mapping[str, float]
    replicate: int
    spec: ReplicateSpec
    key: str
    centre: bool = False

    @property
    def cell(self) -> str:
        """The cell in words, as in ``conv_layers=3 learning_rate=0.001``."""
        return cell_name(self.levels)

    @property
    def name(self) -> str:
        """The cell and the replicate in words."""
        return f"{self.cell} #{self.replicate}"

    @property
    def short_name(self) -> str:
        """The same where space is dear, as in ``3/1/0.001 #2``: MLflow's tables cut names."""
        return f"{'/'.join(map(show, self.levels.values()))} #{self.replicate}"


def seed_of(study: Study, levels: Levels, replicate: int) -> int:
    """Return the seed of a replicate: its own, and the same in every stage and execution.

    A seed shared by all cells would be a block, not a replicate; a fresh one a cell keeps the
    errors independent, as the effects model assumes.
    """
    content = json.dumps([study.seed, sorted(levels.items()), replicate])
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:4], "big") >> 1


def plan(
    study: Study,
    version: str,
    stage: Stage,
    cells: Iterable[Levels],
    replicates: Iterable[int],
    *,
    centre: bool = False,
) -> list[Planned]:
    """Return one entry for every cell and replicate number, replicates outermost.

    Parameters
    ----------
    study : the study.
    version : the dataset version.
    stage : the stage that asks.
    cells : natural levels of each cell.
    replicates : replicate numbers, from 1.
    centre : whether the cells are centre points.
    """
    cells = list(cells)
    return [
        planned(study, version, stage, cell, number, centre=centre)
        for number, cell in product(replicates, cells)
    ]


def planned(
    study: Study, version: str, stage: Stage, levels: Levels, number: int, *, centre: bool = False
) -> Planned:
    """Return the entry of one replicate."""
    typed = {factor.name: typed_level(factor, levels[factor.name]) for factor in study.factor_list}
    spec = study.spec(typed, seed_of(study, typed, number))
    coded = {factor.name: float(factor.code(typed[factor.name])) for factor in study.factor_list}
    return Planned(stage, typed, coded, number, spec, spec.key(version), centre)


def grid_cells(grid: Mapping[str, Iterable[Scalar]]) -> list[dict[str, Scalar]]:
    """Return every combination of a grid's levels."""
    return [dict(zip(grid, levels, strict=True)) for levels in product(*grid.values())]


def typed_level(factor: Factor, level: object) -> Scalar:
    """Return a level as its factor's own type, whether it comes from numpy, pandas or MLflow."""
    match factor.scale:
        case "integer":
            return int(float(str(level)))
        case "categorical":
            return next(own for own in factor.levels if str(own) == str(level))
        case _:
            # Twelve digits: a level decoded from a log scale must not differ from itself.
            return float(f"{float(str(level)):.12g}")


def short(level: Scalar) -> Scalar:
    """Return a level between others with three digits: MLflow gives it back as it was trained."""
    return float(f"{level:.3g}") if isinstance(level, float) else level
