"""Inferring the factors of a two-level experiment, and their levels, from a table of runs."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.errors import DesignError
from analysis.factors import Factor, Level, Scale, show
from analysis.runs.columns import (
    NOT_FACTORS,
    Experiment,
    GivenLevels,
    check_columns,
    complete_runs,
    infer_scale,
    left_out_note,
    matches_a_level,
    typed_column,
)

#: From this ratio of high to low, a linear factor may belong on a log scale.
WIDE_RATIO = 20


def infer_experiment(
    table: pd.DataFrame,
    response: str,
    *,
    levels: GivenLevels | None = None,
    log: Sequence[str] = (),
    excluded: Sequence[str] = (),
) -> Experiment:
    """Find the factors of a table, and their levels.

    Parameters
    ----------
    table : one row per run, with a header; numbers or text.
    response : the column of the response, which is not a factor.
    levels : the factors, if they are given, with low and high, or None for the levels in the
        table. Runs at other levels are then left out. By default every column with two values is a
        factor, and every column of numbers with one more value between them (centre points).
    log : factors on a log scale; learning rates and weight decays are without being named.
    excluded : columns that are not factors, for example blocks.

    Raises
    ------
    DesignError
        If a column is missing, or does not have two levels.
    """
    table = table.rename(columns=str)
    check_columns(table, [response, *(levels or {}), *log, *excluded])
    finished = int(table[response].notna().sum())
    if finished < 2:  # noqa: PLR2004 # two runs make a difference
        raise DesignError(
            f"{finished} of {len(table)} runs have a value of {response}: an experiment needs two "
            "or more; add runs, or name another response"
        )
    given = dict(levels or {})
    names = list(given) or _candidates(table, response, excluded)
    typed = table.assign(**{name: typed_column(table[name]) for name in names})
    complete = complete_runs(typed, names, response)
    factors = [_two_level_factor(complete, name, given.get(name), log) for name in names]
    runs, notes = _at_given_levels(complete, given)
    if not factors:
        raise DesignError(
            f"no factors: no column besides {response} has two levels; name them and their levels"
        )
    unknown = [name for name in log if name not in names]
    if unknown:
        raise DesignError(
            f"log scale for {unknown[0]}: not a factor; the factors are {', '.join(names)}"
        )
    if not given:
        notes += left_out_note(table, response, names)
    notes += [_wide_range_note(f) for f in factors if _has_wide_range(f)]
    notes += [note for f in factors for note in _centre_point_note(runs[f.name], f)]
    runs = runs.assign(**_collapsed_column(runs))
    return Experiment(runs, tuple(factors), tuple(notes))


def infer_design_factors(
    table: pd.DataFrame, *, levels: GivenLevels | None = None
) -> tuple[pd.DataFrame, tuple[Factor, ...]]:
    """Find the factors of a two-level design whose runs may not have been made yet.

    Parameters
    ----------
    table : one row per run, with a header.
    levels : the factors, if they are given; as for `infer_experiment`.

    Returns
    -------
    The table with the factors in their own types, and the factors.

    Raises
    ------
    DesignError
        If a column is missing, does not have two levels, or has an empty field.
    """
    table = table.rename(columns=str)
    given = dict(levels or {})
    check_columns(table, list(given))
    names = list(given) or _candidates(table, None, ())
    if not names:
        raise DesignError("no factors: no column has two levels; name them and their levels")
    typed = table.assign(**{name: typed_column(table[name]) for name in names})
    for name in names:
        empty = typed.index[typed[name].isna()]
        if len(empty):
            raise DesignError(f"row {empty[0] + 1}: no level of {name}; fill it in")
    return typed, tuple(_two_level_factor(typed, name, given.get(name), ()) for name in names)


def _candidates(table: pd.DataFrame, response: str | None, excluded: Sequence[str]) -> list[str]:
    """Return the columns that look like factors: two values, or a few that repeat.

    Raises
    ------
    DesignError
        If a column has a few values that repeat, but not two and one in the middle.
    """
    runs = table if response is None else table[table[response].notna()]
    names = [c for c in table.columns if c not in {response, *excluded}]
    names = [c for c in names if c.lower() not in NOT_FACTORS and _looks_varied(runs[c])]
    for name in names:
        _check_two_levels(runs[name])
    return names


def _looks_varied(column: "pd.Series[Any]") -> bool:
    values, runs = column.nunique(), len(column)
    if values == 3:  # noqa: PLR2004 # two levels and a middle
        return runs > 4  # noqa: PLR2004 # the smallest design that has one
    return values == 2 or 2 < values <= runs / 2  # noqa: PLR2004 # two levels


def _check_two_levels(column: "pd.Series[Any]") -> None:
    """Check that a column has two levels, or two and one between them (centre points)."""
    if column.nunique() == 2:  # noqa: PLR2004 # two levels
        return
    numbers = pd.to_numeric(column, errors="coerce")
    between = numbers[numbers.gt(numbers.min()) & numbers.lt(numbers.max())]
    if not numbers.isna().any() and len(set(between)) == 1:
        return
    levels = [show(x) for x in sorted(column.dropna().unique().tolist(), key=str)]
    raise DesignError(
        f"column {column.name} has {len(levels)} levels ({', '.join(levels[:6])}), not two: name "
        f"two of them, as in --factor {column.name}={levels[0]},{levels[-1]} (and each other "
        "factor), or the factors without it; --surface fits a second-order design"
    )


def _at_given_levels(runs: pd.DataFrame, given: GivenLevels) -> tuple[pd.DataFrame, list[str]]:
    """Return the runs at the given levels, and a note of those that are left out."""
    keep = pd.Series(data=True, index=runs.index)
    for name, levels in given.items():
        if levels is not None:
            keep &= runs[name].map(lambda x, both=levels: matches_a_level(x, both)).astype(bool)
    left = int((~keep).sum())
    note = f"{left} of {len(runs)} runs are at other levels than those given, and left out"
    return runs[keep], [note] if left else []


def _two_level_factor(
    runs: pd.DataFrame, name: str, given: tuple[str, str] | None, log: Sequence[str]
) -> Factor:
    column = runs[name].dropna()
    values = sorted(column.unique().tolist(), key=lambda x: (isinstance(x, str), x))
    if given is not None:
        values = [next((v for v in values if matches_a_level(v, (x, x))), x) for x in given]
        _check_levels_exist(name, values, column)
    if len(values) < 2:  # noqa: PLR2004 # two levels
        raise DesignError(
            f"column {name} has one level ({show(values[0]) if values else '-'}): it "
            "was not varied; leave it out"
        )
    low, high = values[0], values[-1]
    scale = infer_scale(name, low, high, log)
    return Factor(name, low, high, scale, _infer_domain(scale, low, high))


def _check_levels_exist(name: str, levels: Sequence[Any], column: "pd.Series[Any]") -> None:
    for level in levels:
        if level not in set(column):
            existing = ", ".join(show(x) for x in sorted(column.unique(), key=str)[:6])
            raise DesignError(
                f"factor {name}: no run at {level}; the levels are {existing or 'none'}"
            )


def _infer_domain(scale: Scale, low: Level, high: Level) -> tuple[float, float] | None:
    """Return the domain of refined levels: above 0 or 1 if the levels are, shares at most 1.

    A table does not say which values a factor can have; but a count that starts at 1 cannot be 0,
    and a share cannot be above 1.
    """
    if scale == "categorical":
        return None
    least, most = float(low), float(high)
    if scale == "log":
        return (5e-324, math.inf)
    if least < 0:
        return None
    floor = 1.0 if scale == "integer" and least >= 1 else 0.0
    return (floor, 1.0 if most <= 1 and scale == "linear" else math.inf)


def _centre_point_note(column: "pd.Series[Any]", factor: Factor) -> list[str]:
    """Return a note of the level that is taken as that of centre points; none without any."""
    others = column[~column.isin(factor.levels)]
    if others.empty:
        return []
    note = (
        f"{len(others)} runs at {factor.name} = {show(others.iloc[0])} are taken as centre points: "
        f"the effects are those of {show(factor.low)} and {show(factor.high)}"
    )
    return [note]


def _has_wide_range(factor: Factor) -> bool:
    return (
        factor.scale == "linear" and float(factor.high) >= WIDE_RATIO * abs(float(factor.low)) > 0
    )


def _wide_range_note(factor: Factor) -> str:
    return (
        f"{factor.name} ranges from {show(factor.low)} to {show(factor.high)}: if it acts by "
        f"ratio, analyze it with --log {factor.name}"
    )


def _collapsed_column(runs: pd.DataFrame) -> dict[str, "pd.Series[bool]"]:
    """Return the column ``collapsed`` of a table as truth values."""
    if "collapsed" not in runs:
        return {}
    text = runs["collapsed"].astype(str).str.lower().str.strip()
    return {"collapsed": text.isin(["true", "yes", "1", "1.0"])}
