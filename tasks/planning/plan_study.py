"""The plan of a study: its design, trainings, minutes, and the smallest effect that it finds."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from analysis.designs.factorial import Design
from analysis.effects.power import DetectableEffect, smallest_effect
from analysis.search import procedure
from analysis.search.procedure import CellRun, SearchRules
from tasks.planning.minutes import (
    expected_minutes,
    rules_on_devices,
    speed_of_final,
    with_trainings,
)
from tasks.planning.past_runs import PastRuns
from tasks.planning.probe import Probe
from tasks.search.stages import StageCost, stage_costs, whole_length
from tasks.study.study_file import Study
from tasks.training.devices import MAX_PARTS, available_devices


@dataclass(frozen=True)
class StudyPlan:
    """What a study will do.

    Attributes
    ----------
    study : as it was read.
    past : what earlier runs of the study in MLflow show.
    devices : how many replicates train at once on this machine.
    probe : what a few epochs on drawn pictures show; None if there was no probe.
    most_devices : how many replicates could train at once, if a CPU is divided.
    final_speed : how many times as fast the final training is as one on a device of the search.
    """

    study: Study
    past: PastRuns
    devices: int = 1
    probe: Probe | None = None
    most_devices: int = 1
    final_speed: float = 1.0

    @property
    def rules(self) -> SearchRules:
        """The rules of the search, as this machine would begin it."""
        return rules_on_devices(self.study, self.devices)

    @cached_property
    def design(self) -> Design | None:
        """The design of the screen; with a pilot, its levels are known after the pilot.

        None if the screen is a Latin hypercube.
        """
        return None if self.rules.design is None else procedure.screen_design(self.rules)

    @property
    def pilot(self) -> list[CellRun]:
        """The runs of the pilot."""
        return procedure.pilot_runs(self.rules)

    @property
    def screen(self) -> list[CellRun]:
        """The runs of the screen, in the order in which they are trained."""
        return procedure.screen_runs(self.rules)

    @cached_property
    def stages(self) -> list[StageCost]:
        """The cost of each stage that the rules have, in order."""
        return stage_costs(self.study, self.rules)

    @property
    def trainings(self) -> tuple[int, int]:
        """The fewest and the most trainings of the whole study."""
        return sum(s.fewest for s in self.stages), sum(s.most for s in self.stages)

    @property
    def epochs(self) -> tuple[int, int]:
        """The fewest and the most epochs of the whole study."""
        return sum(s.fewest_epochs for s in self.stages), sum(s.most_epochs for s in self.stages)

    @property
    def full_trainings(self) -> tuple[float, float]:
        """The same in trainings of the whole length; if the length is a factor, the longest."""
        fewest, most = self.epochs
        whole = whole_length(self.study, self.rules)
        return fewest / whole, most / whole

    @property
    def seconds(self) -> float | None:
        """Seconds of one training, from earlier runs, else from the probe; None if not known."""
        if self.past.seconds is not None:
            return self.past.seconds
        return self.probe.seconds if self.probe else None

    @property
    def minutes(self) -> tuple[float, float] | None:
        """The expected minutes of the fewest and the most trainings; None if not known."""
        if self.seconds is None:
            return None
        return expected_minutes(
            self.study, self.rules, self.seconds, self.devices, self.final_speed
        )

    @cached_property
    def detectable(self) -> DetectableEffect:
        """The smallest effect that the screen will call active with a chance of 80 %."""
        return _detectable(self.rules, 1)

    @cached_property
    def detectable_doubled(self) -> DetectableEffect:
        """The same with twice as many seeds per cell."""
        return _detectable(self.rules, 2)


def _detectable(rules: SearchRules, times: int) -> DetectableEffect:
    if rules.design is None:
        return DetectableEffect(math.inf, "none", 0)
    more = replace(rules, replicates=rules.replicates * times)
    cells = pd.DataFrame([run.levels for run in procedure.screen_runs(more)], dtype=object)
    return smallest_effect(cells, rules.factors, alpha=rules.alpha)


def plan_on_this_machine(study: Study, past: PastRuns, probe: Probe | None = None) -> StudyPlan:
    """Return the plan of a study on this machine's devices, with the budget of its minutes.

    Raises
    ------
    UserError
        If no training fits into the minutes, or too few for any design.
    """
    devices, most = available_devices(study.parallel), len(available_devices(MAX_PARTS))
    speed = speed_of_final(devices)
    planned = StudyPlan(study, past, len(devices), probe, most, speed)
    sized = with_trainings(study, planned.seconds, len(devices), speed)
    return replace(planned, study=sized)
