"""The columns of a table of runs: which exist, what they hold, and on which scale they vary."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.errors import DesignError, FactorError
from analysis.factors import Factor, Level, Scale

#: Columns that describe a run but were not varied, although they may have two values; compared in
#: lower case. If a user names one of them as a factor, it is a factor.
NOT_FACTORS = frozenset(
    {
        *("run", "run_id", "run_name", "key", "reused_from", "stage", "status", "collapsed"),
        *("replicate", "rep", "repeat", "block", "seed", "random_seed", "random_state"),
        *("centre", "center", "start_time", "end_time", "train_seconds"),
    }
)
#: Names of hyperparameters that are varied by ratio in every experiment.
LOG_SCALE_NAMES = frozenset({"learning_rate", "lr", "weight_decay"})
#: The levels of the factors that a user named: low and high, or None for those in the table.
GivenLevels = Mapping[str, tuple[str, str] | None]


@dataclass(frozen=True)
class Experiment:
    """A table of runs with its factors.

    Attributes
    ----------
    runs : one row per run: factors in their own types, the response, and every other column.
    factors : inferred or given.
    notes : what was left out or assumed, one line each.
    """

    runs: pd.DataFrame
    factors: tuple[Factor, ...]
    notes: tuple[str, ...]


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
        raise DesignError(
            f"no column {missing[0]!r}; the table has: {', '.join(table.columns) or 'none'}"
        )


def typed_column(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return a column as whole numbers, numbers, truth values or text, whichever it holds."""
    if column.dtype == bool:
        return column
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers[column.notna()].isna().any():
        return column.map(lambda x: x.strip() if isinstance(x, str) else x)
    whole = (numbers.dropna() % 1 == 0).all()
    return numbers.astype("Int64").astype(object) if whole else numbers


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


def left_out_note(table: pd.DataFrame, response: str, names: Sequence[str]) -> list[str]:
    """Return a note of the columns that vary but are not factors; no note if there are none."""
    others = [c for c in table.columns if c != response and c not in names]
    varied = [c for c in others if len(table[c].unique()) > 1]
    return [f"not factors, so left out: {', '.join(varied)}"] if varied else []
