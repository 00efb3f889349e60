"""The columns of a table of runs: which exist, what they hold, and on which scale they vary."""

import difflib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import DesignError, FactorError
from analysis.factors import Factor, Level, Scale, show
from analysis.runs.bookkeeping import BLOCKS, Statuses, plain_name, with_statuses
from analysis.runs.level_order import Order

#: Names of hyperparameters that are varied by ratio in every experiment.
LOG_SCALE_NAMES = frozenset({"learning_rate", "lr", "weight_decay"})
#: What programs write where a number is missing; compared in lower case. As a level it is a text.
MISSING = frozenset({"nan", "na", "n/a", "#n/a", "null", "none", "-", "--", ".", "?"})
#: Numbers that differ by a smaller share are one level: 0.1 + 0.2 is 0.3.
SAME_LEVEL = 1e-9
#: Squares of larger numbers, and products of a few of them, leave the range of floating point.
LARGEST = 1e100
#: The levels of the factors that a user named: low and high, or None for those in the table.
GivenLevels = Mapping[str, tuple[str, str] | None]


@dataclass(frozen=True)
class Experiment:
    """A table of runs with its factors.

    Attributes
    ----------
    runs : one row per run: factors in their own types, the response, and every other column.
    factors : inferred or given.
    notes : what was assumed, one line each.
    left_out : columns that vary, but are not factors.
    statuses : of the runs.
    orders : factor whose levels are text -> what their order rests on.
    spellings : factor -> its levels in another spelling, and the level that each is taken as.
    """

    runs: pd.DataFrame
    factors: tuple[Factor, ...]
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    statuses: Statuses = field(default_factory=Statuses)
    orders: Mapping[str, Order] = field(default_factory=dict)
    spellings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def check_columns(table: pd.DataFrame, names: Sequence[str]) -> None:
    """Check that no column occurs twice and that the named columns exist.

    Raises
    ------
    DesignError
        If one does occur twice or does not exist.
    """
    repeated = table.columns[table.columns.duplicated()]
    if len(repeated):
        raise DesignError(f"column {repeated[0]!r} occurs twice; rename one of them")
    missing = [name for name in names if name not in table]
    if missing:
        close = difflib.get_close_matches(missing[0], list(table.columns), 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise DesignError(
            f"no column {missing[0]!r}; the table has: {', '.join(table.columns) or 'none'}{hint}"
        )


def ended_runs(
    table: pd.DataFrame, response: str, needed: Sequence[str]
) -> tuple[pd.DataFrame, Statuses]:
    """Return the runs that ended, and what the statuses said; a run that failed has no response.

    Parameters
    ----------
    table : as it was read.
    response : its column of responses.
    needed : further columns that must be there.

    Raises
    ------
    DesignError
        If a column is missing or occurs twice, or a response is too large to calculate with.
    """
    table = table.rename(columns=str)
    check_columns(table, [response, *needed])
    return with_statuses(table.assign(**{response: response_column(table[response])}), response)


def check_log_scales(log: Sequence[str], factors: Sequence[str]) -> None:
    """Check that what is to have a log scale is a factor.

    Raises
    ------
    DesignError
        If it is not.
    """
    unknown = [name for name in log if name not in factors]
    if unknown:
        raise DesignError(
            f"--log {unknown[0]}: not one of the factors, {', '.join(factors)}; leave it out, or "
            "name it with --factor as well"
        )


def response_column(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return a response without what programs write for a missing number.

    Raises
    ------
    DesignError
        If a number is too large to calculate with.
    """
    found = column.mask(column.astype(str).str.strip().str.lower().isin(MISSING | {""}))
    _check_size(found, str(column.name))
    return found


def typed_column(
    column: "pd.Series[Any]", finished: "pd.Series[bool] | None" = None
) -> "pd.Series[Any]":
    """Return a column as whole numbers, numbers, truth values or text, whichever it holds.

    Numbers that are equal to nine digits are one level, and so are texts that differ only in upper
    and lower case and in spaces around them.

    Parameters
    ----------
    column : of a table.
    finished : the rows that decide; by default all.
    """
    texts = column.map(lambda x: x.strip() if isinstance(x, str) else x)
    texts = texts.mask(texts.astype(str).eq("") | texts.isna(), None)
    deciding = texts[texts.notna() if finished is None else texts.notna() & finished]
    if deciding.astype(str).str.lower().isin(["true", "false"]).all() and len(deciding):
        return texts.map(lambda x: str(x).lower() == "true", na_action="ignore").astype(object)
    numbers = texts.map(number_or_nan)
    if numbers[deciding.index].isna().any():
        taken = spellings(texts)
        return texts.map(lambda x: taken.get(str(x), show(x)), na_action="ignore").astype(object)
    _check_size(numbers, str(column.name))
    finite = numbers[np.isfinite(numbers)]
    if (finite % 1 == 0).all() and finite.abs().max() < 2**53 and len(finite) == numbers.count():
        return numbers.astype("Int64").astype(object)
    return numbers.replace(_same_numbers(finite.unique().tolist()))


def spellings(column: "pd.Series[Any]") -> dict[str, str]:
    """Return the texts of a column in a rarer spelling, and the one that each is taken as."""
    counts = Counter(str(x).strip() for x in column.dropna() if isinstance(x, str))
    first: dict[str, str] = {}
    for text, _ in counts.most_common():
        first.setdefault(" ".join(text.split()).casefold(), text)
    taken = {text: first[" ".join(text.split()).casefold()] for text in counts}
    return {text: same for text, same in taken.items() if text != same}


def _same_numbers(values: list[float]) -> dict[float, float]:
    """Return numbers that differ only in their last digits, and the shortest of each group."""
    groups: list[list[float]] = []
    for value in sorted(values):
        if groups and math.isclose(groups[-1][0], value, rel_tol=SAME_LEVEL):
            groups[-1].append(value)
        else:
            groups.append([value])
    shortest = [min(group, key=lambda x: len(repr(x))) for group in groups]
    return {
        value: short
        for group, short in zip(groups, shortest, strict=True)
        for value in group
        if value != short
    }


def _check_size(column: "pd.Series[Any]", name: str) -> None:
    numbers = column.map(number_or_nan).abs()
    large = numbers[numbers.gt(LARGEST) & numbers.lt(math.inf)]
    if len(large):
        raise DesignError(
            f"row {int(large.index[0]) + 1}: {name} is {column[large.index[0]]}: too large to "
            f"calculate with, above {LARGEST:g}; correct it, or use a larger unit"
        )


def complete_runs(runs: pd.DataFrame, names: Sequence[str], response: str) -> pd.DataFrame:
    """Return the runs that have a level of every factor.

    Raises
    ------
    DesignError
        If a run with a response has no level of a factor.
    """
    incomplete = runs[runs[list(names)].isna().any(axis=1)]
    finished = incomplete[incomplete[response].notna()]
    if len(finished):
        factor = next(name for name in names if finished[name].isna().any())
        raise DesignError(
            f"row {finished[finished[factor].isna()].index[0] + 1}: no level of {factor}; fill it "
            "in, or remove the row"
        )
    complete: pd.DataFrame = runs.drop(index=incomplete.index)
    return complete


def number_or_nan(value: Any) -> float:
    """Return a value as a number; NaN if it is not one."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def matches_a_level(level: Any, given: tuple[str, str]) -> bool:
    """Whether a level is one of the two that a user typed; numbers as numbers: 0.1 is 1e-1."""
    number, *typed = number_or_nan(level), *(number_or_nan(x) for x in given)
    if math.isnan(number) or any(math.isnan(x) for x in typed):
        return str(level) in given
    return any(math.isclose(number, x, rel_tol=1e-9) for x in typed)


def infer_scale(name: str, low: Level, high: Level, log: Sequence[str]) -> Scale:
    """Return the scale of a factor.

    Parameters
    ----------
    name : name of the factor.
    low, high : its levels.
    log : factors on a log scale; `LOG_SCALE_NAMES` are without being named.

    Raises
    ------
    FactorError
        If a category is to be on a log scale.
    """
    if isinstance(low, str | bool) or isinstance(high, str | bool):
        if name in log:
            raise FactorError(
                f"factor {name}: {low!r} is not a number, so it has no log scale; leave out "
                f"--log {name}"
            )
        return "categorical"
    if name in log or (name.lower() in LOG_SCALE_NAMES and low > 0):
        return "log"
    whole = isinstance(low, int) and isinstance(high, int)
    return "integer" if whole and (low, high) != (-1, 1) else "linear"


def left_out_columns(table: pd.DataFrame, response: str, used: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that vary but are neither used nor the response."""
    others = [c for c in table.columns if c != response and c not in used]
    return tuple(c for c in others if len(table[c].dropna().unique()) > 1)


def block_notes(table: pd.DataFrame, used: Sequence[str]) -> list[str]:
    """Return a note of each column of blocks that is not used."""
    blocks = [name for name in map(str, table) if plain_name(name) in BLOCKS and name not in used]
    return [
        f"{name} has {count} blocks: analyze it with --block {name}, so that differences between "
        "blocks do not count as error"
        for name in blocks
        if (count := table[name].nunique()) > 1
    ]
