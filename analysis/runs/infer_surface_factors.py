"""Inferring the factors of a second-order design from a table of runs."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.errors import DesignError
from analysis.factors import Factor
from analysis.runs.columns import (
    NOT_FACTORS,
    Experiment,
    GivenLevels,
    check_columns,
    complete_runs,
    infer_scale,
    left_out_note,
    number_or_nan,
    typed_column,
)

#: A design with fewer runs has no second-order surface.
FEWEST_RUNS = 6


def infer_surface_experiment(
    table: pd.DataFrame,
    response: str,
    *,
    levels: GivenLevels | None = None,
    log: Sequence[str] = (),
    excluded: Sequence[str] = (),
) -> Experiment:
    """Find the factors of a second-order design, and the levels coded -1 and +1.

    Parameters
    ----------
    table, response, log, excluded : as for `analysis.runs.infer_factors.infer_experiment`.
    levels : the factors, if they are given, with the levels coded -1 and +1. By default every
        column of numbers with three or five levels that repeat is a factor: of three levels the
        outer ones are coded -1 and +1, of five those next to the axial ones.

    Raises
    ------
    DesignError
        If there are no such columns, or one is missing.
    """
    table = table.rename(columns=str)
    check_columns(table, [response, *(levels or {}), *log, *excluded])
    given = dict(levels or {})
    others = [c for c in map(str, table) if c not in {response, *excluded}]
    candidates = [c for c in others if c.lower() not in NOT_FACTORS]
    names = list(given) or [c for c in candidates if _has_surface_levels(table[c])]
    if not names:
        raise DesignError(
            "no factors: no column of numbers has three or five levels; name them and their levels"
        )
    typed = table.assign(**{name: typed_column(table[name]) for name in names})
    runs = complete_runs(typed, names, response)
    factors = [_surface_factor(runs, name, given.get(name), log) for name in names]
    return Experiment(runs, tuple(factors), tuple(left_out_note(table, response, names)))


def _has_surface_levels(column: "pd.Series[Any]") -> bool:
    numbers = pd.to_numeric(column, errors="coerce")
    return not numbers.isna().any() and column.nunique() in {3, 5} and len(column) >= FEWEST_RUNS


def _surface_factor(
    runs: pd.DataFrame, name: str, given: tuple[str, str] | None, log: Sequence[str]
) -> Factor:
    values = sorted(set(runs[name]))
    low, high = values[len(values) // 4], values[-1 - len(values) // 4]
    if given is not None:
        low, high = (type(low)(number_or_nan(level)) for level in given)
    scale = infer_scale(name, low, high, log)
    # Axial levels between whole numbers were not rounded, so the factor is not an integer.
    whole = all(isinstance(value, int) for value in values)
    return Factor(name, low, high, "linear" if scale == "integer" and not whole else scale)
