"""Inferring the factors of a two-level experiment, and their levels, from a table of runs."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import DesignError
from analysis.factors import Factor, Level, Scale, show
from analysis.runs.bookkeeping import further_responses, not_factors
from analysis.runs.columns import (
    Experiment,
    GivenLevels,
    block_notes,
    check_columns,
    check_log_scales,
    complete_runs,
    ended_runs,
    infer_scale,
    left_out_columns,
    matches_a_level,
    spellings,
    typed_column,
)
from analysis.runs.level_order import ordered_levels

#: From this ratio of high to low, a linear factor may belong on a log scale.
WIDE_RATIO = 20
#: A column of more different texts is no factor.
MOST_CATEGORIES = 8


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
    needed = [*(levels or {}), *log, *excluded]
    table, statuses = ended_runs(table, response, needed)
    has_response = table[response].notna()
    if has_response.sum() < 2:  # noqa: PLR2004 # two runs make a difference
        n = len(table) + sum(statuses.left_out.values())
        raise DesignError(
            f"{has_response.sum()} of {n} runs have a value of {response}: an experiment "
            "needs two or more; add runs, or name another response"
        )
    given = dict(levels or {})
    names, measured = (list(given), []) if given else _candidates(table, response, excluded)
    if not names:
        raise DesignError(
            f"no factors: no column besides {response} has two levels; name them and their levels"
        )
    check_log_scales(log, names)
    typed = table.assign(**{name: typed_column(table[name], has_response) for name in names})
    complete = complete_runs(typed, names, response)
    factors = [_two_level_factor(complete, name, given.get(name), log) for name in names]
    runs, notes = _at_given_levels(complete, given)
    notes += [_measured_note(name, names) for name in measured]
    notes += block_notes(table, [*names, *excluded])
    notes += [_wide_range_note(f) for f in factors if _has_wide_range(f)]
    notes += [note for f in factors for note in _centre_point_note(runs[f.name], f)]
    texts = [factor.name for factor in factors if isinstance(factor.low, str)]
    return Experiment(
        runs.assign(**_collapsed_column(runs)),
        tuple(factors),
        tuple(notes),
        left_out=left_out_columns(
            table, response, [*names, *excluded, "collapsed", statuses.column]
        ),
        statuses=statuses,
        orders={name: ordered_levels(complete[name].unique())[1] for name in texts},
        spellings={name: same for name in texts if (same := spellings(table[name]))},
    )


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
    names = list(given) or _candidates(table, None, ())[0]
    if not names:
        raise DesignError("no factors: no column has two levels; name them and their levels")
    typed = table.assign(**{name: typed_column(table[name]) for name in names})
    for name in names:
        empty = typed.index[typed[name].isna()]
        if len(empty):
            raise DesignError(f"row {empty[0] + 1}: no level of {name}; fill it in")
    return typed, tuple(_two_level_factor(typed, name, given.get(name), ()) for name in names)


def _candidates(
    table: pd.DataFrame, response: str | None, excluded: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return the columns that look like factors, and those that look like further responses.

    Factors have two values, or two that repeat and one in the middle, or a few texts.

    Raises
    ------
    DesignError
        If a column has a few numbers that repeat, but not two and one in the middle, or too many
        texts.
    """
    runs = table if response is None else table[table[response].notna()]
    passed_over = {response, *excluded, *not_factors(table)}
    names = [name for name in table.columns if name not in passed_over]
    typed = pd.DataFrame({name: typed_column(runs[name]) for name in names}, dtype=object)
    names = [name for name in names if _looks_varied(typed[name])]
    measured = _further_responses(table, typed[names])
    factors = [name for name in names if name not in measured]
    for name in factors:
        _check_two_levels(typed[name])
    return factors, measured


def _looks_varied(column: "pd.Series[Any]") -> bool:
    values, runs = column.nunique(), len(column)
    if values == 3:  # noqa: PLR2004 # two levels and a middle
        return runs > 4  # noqa: PLR2004 # the smallest design that has one
    return values == 2 or 2 < values <= runs / 2  # noqa: PLR2004 # two levels


def _further_responses(table: pd.DataFrame, typed: pd.DataFrame) -> list[str]:
    """Return columns of numbers that were measured, if the others are an orthogonal design."""
    two = [name for name in typed if typed[name].nunique() == 2]  # noqa: PLR2004 # two levels
    levels = {name: typed_column(table[name]) for name in two}
    codes = pd.DataFrame(
        {name: np.where(column == typed[name].max(), 1, -1) for name, column in levels.items()}
    )
    further = further_responses(codes)
    measured = [name for name in further if not _is_text(typed[name])]
    if len(measured) < len(further) or len(two) - len(measured) < 2:  # noqa: PLR2004 # two factors
        return measured
    # Numbers of three and more values of a design have equal numbers of runs.
    unequal = [
        name
        for name in map(str, typed)
        if name not in two
        and not _is_text(typed[name])
        and not _has_centre_points(typed[name])
        and len(set(typed[name].value_counts())) > 1
    ]
    return [*measured, *unequal]


def _is_text(column: "pd.Series[Any]") -> bool:
    return any(isinstance(level, str) for level in column.dropna())


def _has_centre_points(column: "pd.Series[Any]") -> bool:
    """Whether a column of numbers has two levels and one between them."""
    return not _is_text(column) and column.nunique() == 3  # noqa: PLR2004 # two levels and a middle


def _check_two_levels(column: "pd.Series[Any]") -> None:
    """Check that a column has two levels, one between them (centre points), or a few texts."""
    if column.nunique() == 2 or _has_centre_points(column):  # noqa: PLR2004 # two levels
        return
    if _is_text(column) and column.nunique() <= MOST_CATEGORIES:
        return
    levels = [show(x) for x in ordered_levels(column.dropna().unique().tolist())[0]]
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
    note = f"runs at other levels than those given, which are left out: {left} of {len(runs)}"
    return runs[keep], [note] if left else []


def _two_level_factor(
    runs: pd.DataFrame, name: str, given: tuple[str, str] | None, log: Sequence[str]
) -> Factor:
    column = runs[name].dropna()
    values, _ = ordered_levels(column.unique().tolist())
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
    many = scale == "categorical" and len(values) > 2  # noqa: PLR2004 # two are low and high
    categories = tuple(values) if many else ()
    return Factor(name, low, high, scale, _infer_domain(scale, low, high), values=categories)


def _check_levels_exist(name: str, levels: Sequence[Any], column: "pd.Series[Any]") -> None:
    for level in levels:
        if level not in set(column):
            existing = ", ".join(show(x) for x in ordered_levels(column.unique())[0][:6])
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


def _measured_note(name: str, factors: Sequence[str]) -> str:
    """Return why a column with few values is not taken as a factor."""
    options = " ".join(f"--factor {factor}" for factor in [*factors, name])
    return (
        f"{name} is taken as another response, because the other columns are a balanced design "
        f"without it; if it was set, and not measured, analyze it with {options}"
    )


def _centre_point_note(column: "pd.Series[Any]", factor: Factor) -> list[str]:
    """Return a note of the level that is taken as that of centre points; none without any."""
    others = column[~column.isin(factor.levels)]
    if others.empty:
        return []
    note = (
        f"runs at {factor.name} = {show(others.iloc[0])}, which are taken as centre points: "
        f"{len(others)}; the effects are those of {show(factor.low)} and {show(factor.high)}"
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
