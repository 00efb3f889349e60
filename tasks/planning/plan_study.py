"""The plan of a study: its design, trainings, minutes, and the smallest effect that it finds."""

from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from analysis.designs.factorial import Design
from analysis.effects.power import DetectableEffect, smallest_effect
from analysis.search import procedure
from analysis.search.procedure import CellRun, SearchRules
from tasks.planning.past_runs import PastRuns
from tasks.study.study_file import Study


@dataclass(frozen=True)
class StudyPlan:
    """What a study will do.

    Attributes
    ----------
    study : as it was read.
    past : what earlier runs of the study in MLflow show.
    devices : how many replicates train at once on this machine.
    """

    study: Study
    past: PastRuns
    devices: int = 1

    @property
    def rules(self) -> SearchRules:
        """The rules of the search."""
        return self.study.rules

    @cached_property
    def design(self) -> Design:
        """The design of the screen; with a pilot, its levels are known after the pilot."""
        return procedure.screen_design(self.rules)

    @property
    def pilot(self) -> list[CellRun]:
        """The runs of the pilot."""
        return procedure.pilot_runs(self.rules)

    @property
    def screen(self) -> list[CellRun]:
        """The runs of the screen, in the order in which they are trained."""
        return procedure.screen_runs(self.rules)

    @property
    def most_refined(self) -> int:
        """The most trainings of the refinement. Cells that the screen trained are not repeated."""
        rules = self.rules
        rounds = rules.rounds if rules.method == "grid" else 1
        return rules.budget * rounds * rules.refine_replicates

    @property
    def most_confirmed(self) -> int:
        """The most trainings with fresh seeds."""
        return self.rules.confirm_cells * self.rules.confirm_replicates

    @property
    def trainings(self) -> tuple[int, int]:
        """The fewest and the most trainings of the whole study."""
        fewest = len(self.pilot) + len(self.screen)
        return fewest, fewest + self.most_refined + self.most_confirmed

    @property
    def minutes(self) -> tuple[float, float] | None:
        """The expected minutes of the fewest and the most trainings; None without earlier runs."""
        if self.past.seconds is None:
            return None
        fewest, most = (n * self.past.seconds / 60 / self.devices for n in self.trainings)
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
    more = replace(rules, replicates=rules.replicates * times)
    cells = pd.DataFrame([run.levels for run in procedure.screen_runs(more)], dtype=object)
    return smallest_effect(cells, rules.factors, alpha=rules.alpha)
