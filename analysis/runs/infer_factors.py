"""Anyone's experiment: finding the factors, and their two levels, in a table of runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.errors import DesignError, FactorError
from analysis.factors import Factor, Level, Scale, show

#: Columns that say something of a run but are not what was varied, though they have two values;
#: compared in lower case. Named as a factor, each of them is one.
NOT_FACTORS = frozenset(
    {
        *("run", "run_id", "run_name", "key", "reused_from", "stage", "status", "collapsed"),
        *("replicate", "rep", "repeat", "block", "seed", "random_seed", "random_state"),
        *("centre", "center", "start_time", "end_time", "train_seconds"),
    }
)
#: High over low from which a linear factor may want a log scale.
WIDE = 20
#: Names that are varied by ratio, wherever they occur.
BY_RATIO = frozenset({"learning_rate", "lr", "weight_decay"})


@dataclass(frozen=True)
class Experiment:
    """A table of runs with its factors.

    Attributes
    ----------
    runs : a row a run: factors in their own types, the response, and every other column.
    factors : found or given.
    notes : what was left out or taken for granted, a line each.
    """

    runs: pd.DataFrame
    factors: tuple[Factor, ...]
    notes: tuple[str, ...]


def experiment(
    table: pd.DataFrame,
    response: str,
    *,
    levels: Mapping[str, tuple[str, str] | None] | None = None,
    log: Sequence[str] = (),
    apart: Sequence[str] = (),
) -> Experiment:
    """Find the factors of a table, and their levels.

    Parameters
    ----------
    table : a row a run, a header; numbers or text.
    response : its column, which is no factor.
    levels : the factors, where they are given, with low and high or None for those of the data.
        Runs at other levels are then left out. By default every column with two values is one, and
        every number with a third value where all of them are in the middle.
    log : factors on a log scale; learning rates and weight decays are, without being named.
    apart : columns that are no factors, blocks say.

    Raises
    ------
    DesignError
        If a column is missing, or has not two levels.
    """
    table = table.rename(columns=str)
    _check_columns(table, [response, *(levels or {}), *log, *apart])
    told = int(table[response].notna().sum())
    if told < 2:  # noqa: PLR2004 # two runs make a difference
        raise DesignError(
            f"{told} of {len(table)} runs with a {response}: an experiment has two or more; add "
            "runs, or name another response"
        )
    given = dict(levels or {})
    names = list(given) or _candidates(table, response, apart)
    typed = table.assign(**{name: _typed(table[name]) for name in names})
    whole = _complete(typed, names, response)
    factors = [_factor(whole, name, given.get(name), log) for name in names]
    typed, notes = _at_levels(whole, given)
    if not factors:
        raise DesignError(
            f"no factors: no column besides {response} has two levels; name them and their levels"
        )
    wrong = [name for name in log if name not in names]
    if wrong:
        raise DesignError(f"log scale for {wrong[0]}: no factor; there are {', '.join(names)}")
    if not given:
        notes += _left_out(table, response, names)
    notes += [_wide(f) for f in factors if _spans(f)]
    notes += [line for f in factors for line in _middle(typed[f.name], f)]
    typed = typed.assign(**_collapsed(typed))
    return Experiment(typed, tuple(factors), tuple(notes))


def surface_experiment(
    table: pd.DataFrame,
    response: str,
    *,
    levels: Mapping[str, tuple[str, str] | None] | None = None,
    log: Sequence[str] = (),
    apart: Sequence[str] = (),
) -> Experiment:
    """Find the factors of a second-order design, and the levels coded -1 and +1.

    Parameters
    ----------
    table, response, log, apart : as for `experiment`.
    levels : the factors, where they are given, with the levels coded -1 and +1. By default every
        column of numbers with three levels or five that come again is one: of three the outer ones,
        of five those next to the axial ones.

    Raises
    ------
    DesignError
        If there are no such columns, or one is missing.
    """
    table = table.rename(columns=str)
    _check_columns(table, [response, *(levels or {}), *log, *apart])
    given = dict(levels or {})
    others = [c for c in map(str, table) if c not in {response, *apart}]
    free = [c for c in others if c.lower() not in NOT_FACTORS]
    names = list(given) or [c for c in free if _is_curved(table[c])]
    if not names:
        raise DesignError(
            "no factors: no column of numbers has three or five levels; name them and their levels"
        )
    typed = table.assign(**{name: _typed(table[name]) for name in names})
    whole = _complete(typed, names, response)
    factors = [_curved(whole, name, given.get(name), log) for name in names]
    return Experiment(whole, tuple(factors), tuple(_left_out(table, response, names)))


def _is_curved(column: "pd.Series[Any]") -> bool:
    numbers = pd.to_numeric(column, errors="coerce")
    return not numbers.isna().any() and column.nunique() in {3, 5} and len(column) > 5  # noqa: PLR2004 # a design


def _curved(
    runs: pd.DataFrame, name: str, given: tuple[str, str] | None, log: Sequence[str]
) -> Factor:
    values = sorted(set(runs[name]))
    low, high = values[len(values) // 4], values[-1 - len(values) // 4]
    if given is not None:
        low, high = (type(low)(_number(level)) for level in given)
    scale = _scale(name, low, high, log)
    # Axial levels between whole numbers were not rounded, so the factor is not one of them.
    whole = all(isinstance(value, int) for value in values)
    return Factor(name, low, high, "linear" if scale == "integer" and not whole else scale)


def _check_columns(table: pd.DataFrame, names: Sequence[str]) -> None:
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise DesignError(f"column {twice[0]!r} occurs twice; rename one of them")
    missing = [name for name in names if name not in table]
    if missing:
        raise DesignError(
            f"no column {missing[0]!r}; the table has: {', '.join(table.columns) or 'none'}"
        )


def _complete(runs: pd.DataFrame, names: Sequence[str], response: str) -> pd.DataFrame:
    """Return the runs; one with a response must have every level."""
    without = runs[runs[list(names)].isna().any(axis=1)]
    told = without[without[response].notna()]
    if len(told):
        gap = next(name for name in names if told[name].isna().any())
        raise DesignError(
            f"row {told[told[gap].isna()].index[0] + 1}: no level of {gap}; fill it in, or remove "
            "the row"
        )
    complete: pd.DataFrame = runs.drop(index=without.index)
    return complete


def _typed(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return a column as whole numbers, numbers, truth values or text, whichever it holds."""
    if column.dtype == bool:
        return column
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers[column.notna()].isna().any():
        return column.map(lambda x: x.strip() if isinstance(x, str) else x)
    whole = (numbers.dropna() % 1 == 0).all()
    return numbers.astype("Int64").astype(object) if whole else numbers


def _candidates(table: pd.DataFrame, response: str, apart: Sequence[str]) -> list[str]:
    """Return the columns that look like factors: two values, or a few that come again.

    Raises
    ------
    DesignError
        If one has a few values that come again, but not two and a middle.
    """
    usable = table[table[response].notna()]
    known = [c for c in table.columns if c.lower() in NOT_FACTORS]
    names = [c for c in table.columns if c not in {response, *apart, *known}]
    names = [c for c in names if _looks_varied(usable[c])]
    for name in names:
        _check_two_levels(usable[name])
    return names


def _looks_varied(column: "pd.Series[Any]") -> bool:
    values, runs = column.nunique(), len(column)
    if values == 3:  # noqa: PLR2004 # two levels and a middle
        return runs > 4  # noqa: PLR2004 # the least design that has one
    return values == 2 or 2 < values <= runs / 2  # noqa: PLR2004 # two levels


def _check_two_levels(column: "pd.Series[Any]") -> None:
    """Refuse a column with more levels than two and one in the middle, that of centre points."""
    if column.nunique() == 2:  # noqa: PLR2004 # two levels
        return
    numbers = pd.to_numeric(column, errors="coerce")
    inside = numbers[numbers.gt(numbers.min()) & numbers.lt(numbers.max())]
    if not numbers.isna().any() and len(set(inside)) == 1:
        return
    levels = [show(x) for x in sorted(column.dropna().unique().tolist(), key=str)]
    raise DesignError(
        f"column {column.name} has {len(levels)} levels ({', '.join(levels[:6])}), not two: name "
        f"two of them, as in --factor {column.name}={levels[0]},{levels[-1]} (and each other "
        "factor), or the factors without it; --surface fits a second-order design"
    )


def _at_levels(
    runs: pd.DataFrame, given: Mapping[str, tuple[str, str] | None]
) -> tuple[pd.DataFrame, list[str]]:
    """Return the runs at the given levels or between them, and a note of those left out."""
    keep = pd.Series(data=True, index=runs.index)
    for name, levels in given.items():
        if levels is not None:
            keep &= runs[name].map(lambda x, both=levels: _within(x, both)).astype(bool)
    left = int((~keep).sum())
    note = f"{left} of {len(runs)} runs are at other levels than those given, and left out"
    return runs[keep], [note] if left else []


def _within(level: Any, levels: tuple[str, str]) -> bool:
    numbers = _number(level), *(_number(x) for x in levels)
    if any(math.isnan(x) for x in numbers):
        return str(level) in levels
    return any(math.isclose(numbers[0], x, rel_tol=1e-9) for x in numbers[1:])


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _factor(
    runs: pd.DataFrame, name: str, given: tuple[str, str] | None, log: Sequence[str]
) -> Factor:
    column = runs[name].dropna()
    values = sorted(column.unique().tolist(), key=lambda x: (isinstance(x, str), x))
    if given is not None:
        values = [next((v for v in values if _within(v, (x, x))), x) for x in given]
        _check_there(name, values, column)
    if len(values) < 2:  # noqa: PLR2004 # two levels
        raise DesignError(
            f"column {name} has one level ({show(values[0]) if values else '-'}): it "
            "was not varied; leave it out"
        )
    low, high = values[0], values[-1]
    scale = _scale(name, low, high, log)
    return Factor(name, low, high, scale, _domain(scale, low, high))


def _check_there(name: str, values: Sequence[Any], column: "pd.Series[Any]") -> None:
    for level in values:
        if level not in set(column):
            there = ", ".join(show(x) for x in sorted(column.unique(), key=str)[:6])
            raise DesignError(f"factor {name}: no run at {level}; there are {there or 'none'}")


def _scale(name: str, low: Level, high: Level, log: Sequence[str]) -> Scale:
    if isinstance(low, str | bool) or isinstance(high, str | bool):
        if name in log:
            raise FactorError(f"factor {name}: {low!r} is no number, so it has no log scale")
        return "categorical"
    if name in log or (name.lower() in BY_RATIO and low > 0):
        return "log"
    whole = isinstance(low, int) and isinstance(high, int)
    return "integer" if whole and (low, high) != (-1, 1) else "linear"


def _domain(scale: Scale, low: Level, high: Level) -> tuple[float, float] | None:
    """Return what refined levels must keep to: above 0 or 1 where the levels are, shares below 1.

    A table says nothing of what a factor can be; but a count that starts at 1 has no 0, and a share
    no figure above 1.
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


def _left_out(table: pd.DataFrame, response: str, names: Sequence[str]) -> list[str]:
    others = [c for c in table.columns if c != response and c not in names]
    varied = [c for c in others if len(table[c].unique()) > 1]
    return [f"no factors, so left out: {', '.join(varied)}"] if varied else []


def _middle(column: "pd.Series[Any]", factor: Factor) -> list[str]:
    """Say which level is taken for that of centre points."""
    others = column[~column.isin(factor.levels)]
    if others.empty:
        return []
    words = (
        f"{len(others)} runs at {factor.name} = {show(others.iloc[0])} are taken as centre points: "
        f"the effects are those of {show(factor.low)} and {show(factor.high)}"
    )
    return [words]


def _spans(factor: Factor) -> bool:
    return factor.scale == "linear" and float(factor.high) >= WIDE * abs(float(factor.low)) > 0


def _wide(factor: Factor) -> str:
    return (
        f"{factor.name} spans {show(factor.low)} to {show(factor.high)}: if it works by ratio, "
        f"analyse it with --log {factor.name}"
    )


def _collapsed(runs: pd.DataFrame) -> dict[str, "pd.Series[bool]"]:
    """Return a column ``collapsed`` of a table as truth values."""
    if "collapsed" not in runs:
        return {}
    words = runs["collapsed"].astype(str).str.lower().str.strip()
    return {"collapsed": words.isin(["true", "yes", "1", "1.0"])}
