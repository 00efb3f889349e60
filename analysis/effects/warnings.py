"""What a reader of the effects must be told: missing, aliased, unbalanced, collapsed, bent."""

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.effects.least_squares import table_value
from analysis.effects.model_matrix import CURVATURE, REGULAR_TOLERANCE, code_levels, model_matrix
from analysis.factors import cell_name, show

if TYPE_CHECKING:
    from analysis.effects.result import Effects

#: So many cells or terms are named; the rest is counted.
SHOWN = 8
#: Of so many factors every cell can be looked for.
NAMEABLE = 7


def effect_warnings(effects: "Effects", runs: pd.DataFrame) -> tuple[str, ...]:
    """Return one line for each thing that bears on how far the effects can be trusted.

    Parameters
    ----------
    effects : fitted.
    runs : the table as given, failed runs among them.
    """
    failed = len(runs) - len(effects.runs)
    has = "has" if failed == 1 else "have"
    lines = [f"{failed} of {len(runs)} runs {has} no {effects.response}"] if failed else []
    lines += _missing(effects)
    lines += _lost(effects)
    lines += _shares(effects)
    lines += _copies(effects)
    lines += _exact(effects)
    lines += _unbalanced(effects)
    lines += _misfit(effects)
    lines += _collapsed(effects)
    return tuple(lines)


def _some(words: list[str]) -> str:
    more = f"; and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return "; ".join(words[:SHOWN]) + more


def _missing(effects: "Effects") -> list[str]:
    """Name the cells without a run, where most have one: a smaller design is a fraction."""
    factors = effects.factors
    names = [f.name for f in factors]
    have = set(effects.runs[names].itertuples(index=False, name=None))
    cells = list(product(*(f.levels for f in factors))) if len(factors) <= NAMEABLE else []
    missing = [cell for cell in cells if cell not in have]
    if not missing or 2 * len(missing) >= len(cells):
        return []
    shown = _some([cell_name(dict(zip(names, cell, strict=True))) for cell in missing])
    has = "has" if len(missing) == 1 else "have"
    return [f"{len(missing)} of {len(cells)} cells {has} no finished run: {shown}"]


def _lost(effects: "Effects") -> list[str]:
    if not effects.aliased:
        return []
    words = (
        f"these runs cannot tell apart: {_some([term.relation for term in effects.aliased])}; run "
        "the missing cells, or a larger fraction, to separate them"
    )
    return [words]


def _shares(effects: "Effects") -> list[str]:
    """Warn of main effects that hold shares of interactions, as in a Plackett-Burman design."""
    if effects.order > 1 or effects.aliased or len(effects.factors) < 3:  # noqa: PLR2004 # nothing to hold
        return []
    coded = code_levels(effects.runs, effects.factors)
    pairs = model_matrix(coded, 2).iloc[:, 1 + coded.shape[1] :]
    if not (np.abs(coded.to_numpy().T @ pairs.to_numpy()) > REGULAR_TOLERANCE * len(coded)).any():
        return []
    words = (
        "every main effect holds shares of the two-way interactions: what is active here may be an "
        "interaction of others; run the active factors again in a full design"
    )
    return [words]


def _copies(effects: "Effects") -> list[str]:
    """Warn of runs that are equal to the last digit in every column: copies, perhaps."""
    columns = effects.runs.columns.difference(["fitted", "residual", "studentised"])
    same = int(effects.runs[list(columns)].duplicated().sum())
    if not same:
        return []
    words = (
        f"{same} run{'s are' if same > 1 else ' is'} equal to another in every column: if copied, "
        "or one network read twice, remove them, since they pass for replicates"
    )
    return [words]


def _exact(effects: "Effects") -> list[str]:
    if not effects.residual_df or effects.terms["std_error"].notna().any():
        return []
    return ["the model fits to the last digit: copied, rounded or made-up figures; no t-test"]


def _unbalanced(effects: "Effects") -> list[str]:
    counts = effects.runs.groupby([f.name for f in effects.factors], observed=True).size()
    few, many = int(counts.min()), int(counts.max())
    if CURVATURE in effects.anova.index or few == many:
        return []
    words = (
        f"unbalanced: {few} to {many} runs a cell; the effects are estimated side by side, and "
        "their sums of squares do not add up"
    )
    return [words]


def _misfit(effects: "Effects") -> list[str]:
    lines = []
    lack, bend = (table_value(effects.anova, row, "p") for row in ("lack of fit", CURVATURE))
    if lack < effects.alpha:
        lines.append(
            f"the model of order {effects.order} does not fit (lack of fit p = {lack:.2g}): fit a "
            "higher order"
        )
    if bend < effects.alpha:
        lines.append(
            f"curvature (p = {bend:.2g}): the response bends between the levels, so the best may "
            "lie between them; a response surface would tell"
        )
    return lines


def _collapsed(effects: "Effects") -> list[str]:
    runs = effects.runs
    fallen = runs[runs["collapsed"].astype(bool)] if "collapsed" in runs else runs[:0]
    if fallen.empty:
        return []
    names = [f.name for f in effects.factors]
    shown = [cell_name(cell) for cell in fallen[names].drop_duplicates().to_dict("records")]
    words = (
        f"{len(fallen)} of {len(runs)} runs collapsed (learnt nothing): {_some(shown)}; they weigh "
        "on every effect"
    )
    if effects.working_level is not None:
        level = show(effects.working_level.level)
        words += (
            f", so the other factors are judged at {effects.working_level.factor}={level} alone"
        )
    return [words]
