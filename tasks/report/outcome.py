"""What a study found, as data and in words; the same from a fresh run and from MLflow alone."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from analysis.effects.result import Effects
from analysis.search import procedure
from analysis.search.best_cell import Selection
from analysis.search.refined_grid import Decision
from tasks.registry.register import Registered, read_registered
from tasks.search.confirm import select_cell
from tasks.search.screen import analyse_runs
from tasks.study.study_file import Study
from tasks.tracking.execution import Execution


@dataclass(frozen=True)
class Outcome:
    """The whole of a study's findings.

    Attributes
    ----------
    study : what was asked.
    data : what the pictures were, in words.
    effects : the screen's effects model.
    decision : the refined grid and its reasons.
    grid : a row a cell of the refined grid: its levels, n, mean, sd of the response.
    selection : the chosen cell, and those it cannot be told apart from.
    registered : what became of the winner; None where the study was not run to its end.
    tracking : MLflow's address, and the parent run.
    """

    study: Study
    data: str
    effects: Effects
    decision: Decision
    grid: pd.DataFrame
    selection: Selection
    registered: Registered | None
    tracking: Mapping[str, str]


def outcome_of(execution: Execution) -> Outcome:
    """Rebuild a study's findings from its runs in MLflow alone, by the rules of today's code.

    Raises
    ------
    UserError
        If no cell of the screen finished.
    """
    study, children = execution.study, execution.children()
    effects = analyse_runs(study, execution.table(children, "screen"))
    return Outcome(
        study,
        execution.facts.pictures,
        effects,
        procedure.decide(study.rules, effects),
        grid_table(execution.table(children, "refine"), study),
        select_cell(study, execution.table(children), execution.facts.validation_images),
        read_registered(execution),
        {"tracking_uri": execution.tracker.settings.tracking_uri, "run_id": execution.run_id},
    )


def grid_table(runs: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return a row a cell: its levels, ``n``, ``mean`` and ``sd`` of the response, best first."""
    names = [factor.name for factor in study.factor_list]
    grouped = runs.groupby(names, observed=True)[study.response]
    table = grouped.agg(n="count", mean="mean", sd="std").reset_index()
    return table.sort_values("mean", ascending=False, ignore_index=True)
