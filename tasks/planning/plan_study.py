"""The plan of a study: its design, trainings, minutes, and the smallest effect that it finds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from analysis.designs.factorial import Design
from analysis.effects.power import DetectableEffect, smallest_effect
from analysis.search import procedure
from analysis.search.procedure import CellRun, SearchRules, ShortTrainings
from tasks.planning.minutes import usual_parallel, with_trainings
from tasks.planning.past_runs import PastRuns
from tasks.planning.probe import Probe
from tasks.search.stages import stage_sizes
from tasks.study.replicates import FINAL
from tasks.study.study_file import Study
from tasks.training.devices import MAX_PARTS, available_devices


@dataclass(frozen=True)
class StageCost:
    """How many trainings a stage has, and how long they are.

    Attributes
    ----------
    stage : its name.
    fewest, most : trainings.
    fewest_epochs, most_epochs : of these trainings together.
    """

    stage: str
    fewest: int
    most: int
    fewest_epochs: int
    most_epochs: int


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
    """

    study: Study
    past: PastRuns
    devices: int = 1
    probe: Probe | None = None
    most_devices: int = 1

    @property
    def rules(self) -> SearchRules:
        """The rules of the search, as this machine would begin it."""
        rules = self.study.rules
        if self.study.method != "budget" or self.study.parallel is not None:
            return rules
        return replace(rules, parallel=usual_parallel(self.devices))

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
        """The cost of each stage that the rules have, in order.

        What the refinement and the confirmation train depends on the results. Cells that the screen
        trained are not repeated.
        """
        rules = self.rules
        planned = [("pilot", self.pilot), ("screen", self.screen)]
        stages = [self._known(stage, runs) for stage, runs in planned if runs]
        if rules.short is not None:
            return [*stages, *self._of_two_lengths(rules.short), *self._final()]
        later = [("refine", rules.most_refined), ("confirm", rules.most_confirmed)]
        searched = [self._at_most(stage, runs) for stage, runs in later if runs]
        return [*stages, *searched, *self._final()]

    def _final(self) -> list[StageCost]:
        epochs = self.study.final_epochs
        return [] if epochs is None else [StageCost(FINAL, 1, 1, epochs, epochs)]

    def _known(self, stage: str, runs: Sequence[CellRun]) -> StageCost:
        epochs = sum(self.epochs_of(run) for run in runs)
        return StageCost(stage, len(runs), len(runs), epochs, epochs)

    def _of_two_lengths(self, short: ShortTrainings) -> list[StageCost]:
        """Return the cost of refinement and confirmation with short trainings."""
        more, cells = self.more_short_trainings, self.rules.budget
        rest = short.full - short.epochs if short.continues else short.full
        epochs = more * short.epochs + cells * rest
        return [
            StageCost("refine", 0, more + cells, 0, epochs),
            self._at_most("confirm", self.rules.most_confirmed),
        ]

    @property
    def more_short_trainings(self) -> int:
        """The short trainings of the refinement; 0 if all trainings have full length."""
        return stage_sizes(self.rules)["refine"] - self.rules.most_refined

    def _at_most(self, stage: str, runs: int) -> StageCost:
        return StageCost(stage, 0, runs, 0, runs * self.whole_length)

    def epochs_of(self, run: CellRun) -> int:
        """Return how many epochs a run trains: its own number, or that of its cell or the study."""
        own = getattr(run, "epochs", None)
        return int(own or run.levels.get("epochs", self.study.training.epochs))

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
        return fewest / self.whole_length, most / self.whole_length

    @property
    def whole_length(self) -> int:
        """Epochs of the longest training."""
        longest = (int(f.high) for f in self.rules.factors if f.name == "epochs")
        return next(longest, self.study.training.epochs)

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
        # If the length is a factor, the seconds are those of a training of a middle length.
        counts = self.trainings if "epochs" in self.study.factors else self.full_trainings
        fewest, most = (n * self.seconds / 60 / self.devices for n in counts)
        return fewest, most

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
    devices, most = len(available_devices(study.parallel)), len(available_devices(MAX_PARTS))
    planned = StudyPlan(study, past, devices, probe, most)
    return replace(planned, study=with_trainings(study, planned.seconds, devices))
