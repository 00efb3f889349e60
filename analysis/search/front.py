"""Two responses at once: the effects on the second, and the cells that no other cell beats."""

import math
from dataclasses import dataclass

import pandas as pd

from analysis.effects.fit import fit_effects
from analysis.effects.model_matrix import INTERCEPT
from analysis.errors import AnalysisError
from analysis.runs.response import response_of
from analysis.search.best_cell import Selection
from analysis.search.procedure import SearchRules


@dataclass(frozen=True)
class SecondFindings:
    """What a study found of its second response, of which lower is better.

    Attributes
    ----------
    response, second : the names of both.
    factors : their names.
    effects : term -> change of the second response from the low to the high level; empty if it is
        not known in all runs of the screen. They are not tested: most costs are the same in every
        run of a cell.
    front : the rows of `Selection.cells` that no other cell beats in both, the best mean first.
    """

    response: str
    second: str
    factors: tuple[str, ...]
    effects: dict[str, float]
    front: pd.DataFrame


def second_findings(
    rules: SearchRules, screen: pd.DataFrame, selection: Selection
) -> SecondFindings | None:
    """Return the findings about the second response; None if a study has none.

    Parameters
    ----------
    screen : the runs of the screen.
    selection : of the winner, with the second response of each cell.
    """
    if rules.second is None:
        return None
    return SecondFindings(
        rules.response,
        rules.second,
        tuple(factor.name for factor in rules.factors),
        _effects(rules, rules.second, screen),
        front(selection.cells, rules.response, rules.second),
    )


def _effects(rules: SearchRules, second: str, screen: pd.DataFrame) -> dict[str, float]:
    finished = screen[screen[rules.response].notna()]
    if second not in finished or finished[second].isna().any():
        return {}
    try:
        fit = fit_effects(finished, rules.factors, second, alpha=rules.alpha, constant=True)
    except AnalysisError:
        return {}
    effects = fit.terms["effect"].drop(INTERCEPT, errors="ignore").dropna()
    return {str(term): float(effect) for term, effect in effects.items()}


def front(cells: pd.DataFrame, response: str, second: str) -> pd.DataFrame:
    """Return the cells that no other cell beats in both responses, the best mean first.

    A cell beats another if it is at least as good in both and better in one: Pareto's front. Means
    are compared as they are, whatever their error.

    Parameters
    ----------
    cells : as in `Selection.cells`; a cell with a collapsed run does not count.
    response, second : their names; of the second, lower is better.
    """
    known = cells[cells[second].notna() & cells["collapsed"].eq(0)]
    utility = response_of(response).sign * known["mean"]
    ordered = known.assign(_mean=utility).sort_values(
        ["_mean", second], ascending=[False, True], kind="stable"
    )
    # Of each mean the smallest, which must be below those of all better means.
    smallest = ordered.groupby("_mean", sort=False)[second].min()
    beats = smallest[smallest < smallest.cummin().shift(fill_value=math.inf)]
    on_front = ordered[second].eq(ordered["_mean"].map(beats))
    return ordered[on_front].drop(columns="_mean").reset_index(drop=True)
