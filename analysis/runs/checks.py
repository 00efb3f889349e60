"""Checks of a table of runs and of a requested model, before it is fitted."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.errors import DesignError
from analysis.factors import Factor, show

#: Squares of smaller differences are below the range of floating point.
SMALLEST_RANGE = 1e-150
#: Coded levels closer than this are equal.
LEVEL_TOLERANCE = 1e-6


def checked_runs(
    runs: pd.DataFrame, factors: Sequence[Factor], response: str, *, constant: bool = False
) -> pd.DataFrame:
    """Return the runs that have a response, as numbers, indexed from 0.

    Parameters
    ----------
    runs, factors, response : as for `analysis.effects.fit.fit_effects`.
    constant : whether the response may be the same in all runs.

    Raises
    ------
    DesignError
        If a column is missing, the response is not a number, or it never changes.
    """
    if not factors:
        raise DesignError("no factors: name one or more")
    missing = [name for name in (response, *(f.name for f in factors)) if name not in runs]
    if missing:
        raise DesignError(
            f"no column {missing[0]!r} among: {', '.join(map(str, runs.columns))}; correct the name"
        )
    numbers = pd.to_numeric(runs[response], errors="coerce")
    _reject_text(runs[response], numbers)
    usable: pd.DataFrame = runs.assign(**{response: numbers})[np.isfinite(numbers)]
    same = np.ptp(usable[response]) == 0 if len(usable) else True
    if len(usable) < 2 or (same and not constant):  # noqa: PLR2004 # two runs make a difference
        raise DesignError(
            f"{len(usable)} run{'s' * (len(usable) != 1)} whose {response} never changes: no "
            "effect can be estimated; add runs, or choose another response"
        )
    if not same and np.ptp(usable[response]) < SMALLEST_RANGE:
        raise DesignError(
            f"{response} changes by less than {SMALLEST_RANGE:g}, too little to calculate with: "
            "use a smaller unit"
        )
    return usable.reset_index(drop=True)


def _reject_text(given: "pd.Series[Any]", numbers: "pd.Series[float]") -> None:
    text = given[numbers.isna() & given.notna() & given.astype(str).str.strip().ne("")]
    if len(text):
        raise DesignError(
            f"response {given.name}, row {int(text.index[0]) + 1}: {text.iloc[0]!r} is not a "
            "number; correct it, or leave it empty where the run failed"
        )


def centre_points(coded: pd.DataFrame, factors: Sequence[Factor]) -> "pd.Series[bool]":
    """Return which runs are centre points: between the levels, all at the same levels.

    Parameters
    ----------
    coded : (N, k) coded levels.
    factors : k factors; categorical ones have no middle, and are ignored.

    Raises
    ------
    DesignError
        If a factor has another level besides its two and the one of the centre points.
    """
    corner = (coded.abs() - 1).abs().lt(LEVEL_TOLERANCE)
    corner[[f.name for f in factors if f.many_categories or f.when]] = True
    between = coded.abs().lt(1 - LEVEL_TOLERANCE)
    inside = ~corner.all(axis=1)
    middles = coded[inside].round(6)
    for factor in factors:
        column = coded[factor.name]
        stray = ~corner[factor.name] & ~between[factor.name]
        if _has_middle(factor):
            # In the middle of one factor but not of another: not a centre point.
            others = [f.name for f in factors if _has_middle(f)]
            stray |= between[factor.name] & ~between[others].all(axis=1)
            several = len(middles[factor.name].unique()) > 1
            stray |= between[factor.name] & several
        if stray.any():
            raise DesignError(_unknown_level(factor, float(column[stray].iloc[0])))
    return inside


def _has_middle(factor: Factor) -> bool:
    """Whether centre points are at a level between its two: not for integers 1 and 2."""
    if factor.when:
        return False
    if factor.whole:
        return float(factor.high) - float(factor.low) > 1
    return factor.scale != "categorical"


def _unknown_level(factor: Factor, coded: float) -> str:
    try:
        level = show(factor.decode(coded))
    except OverflowError:
        level = f"coded {coded:g}"
    return (
        f"factor {factor.name}: level {level} is neither {show(factor.low)} nor "
        f"{show(factor.high)}, nor that of centre points, which are in the middle of every factor; "
        "name two levels of each factor, or leave those runs out"
    )


def checked_order(order: int) -> int:
    """Return the order.

    Raises
    ------
    DesignError
        If it is below 1.
    """
    if order < 1:
        raise DesignError(f"order {order}: the highest interaction has at least 1 factor; raise it")
    return order


def checked_terms(terms: Sequence[str], factors: Sequence[Factor]) -> list[str]:
    """Return the terms with their factors in the factors' order, each once, lower orders first.

    Raises
    ------
    DesignError
        If a term names an unknown factor or one factor twice, or there are no terms.
    """
    names = [f.name for f in factors]
    found = []
    for term in terms:
        parts = [part.strip() for part in term.split(":")]
        unknown = [part for part in parts if part not in names]
        if unknown or len(set(parts)) < len(parts):
            what = f"no factor {unknown[0]!r}" if unknown else "a factor twice"
            raise DesignError(f"term {term!r}: {what}; the factors are {', '.join(names)}")
        found.append(":".join(name for name in names if name in parts))
    if not found:
        raise DesignError("no terms: name one or more, or an order")
    return sorted(dict.fromkeys(found), key=lambda term: term.count(":"))


def recurring(
    runs: pd.DataFrame, factors: Sequence[str], column: str
) -> Literal["all", "some"] | None:
    """Return whether the values of a column recur over cells, as blocks do.

    Returns
    -------
    ``all``: each cell has each of two or more values once; ``some``: a value is in two or more
    cells, and there are several values; else None.
    """
    values = runs[column].dropna()
    if len(values) < len(runs) or len(values.unique()) < 2:  # noqa: PLR2004 # one value is no block
        return None
    cells = runs.groupby(list(factors), sort=False, observed=True).ngroup()
    if cells.nunique() < 2:  # noqa: PLR2004 # nothing to recur over
        return None
    counts = pd.crosstab(cells, values)
    if counts.eq(1).all(axis=None):
        return "all"
    return "some" if counts.gt(0).sum().gt(1).any() else None
