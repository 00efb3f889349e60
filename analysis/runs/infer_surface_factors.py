"""Inferring the factors of a second-order design from a table of runs."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.errors import DesignError
from analysis.factors import Factor
from analysis.runs.bookkeeping import not_factors
from analysis.runs.columns import (
    Experiment,
    GivenLevels,
    block_notes,
    check_log_scales,
    complete_runs,
    ended_runs,
    infer_scale,
    left_out_columns,
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
    ended, statuses = ended_runs(table, response, [*(levels or {}), *log, *excluded])
    given = dict(levels or {})
    passed_over = {response, *excluded, *not_factors(ended)}
    candidates = [name for name in ended.columns if name not in passed_over]
    names = list(given) or [name for name in candidates if _has_surface_levels(ended[name])]
    if not names:
        raise DesignError(
            "no factors: no column of numbers has three or five levels; name them and their levels"
        )
    check_log_scales(log, names)
    typed = ended.assign(**{name: typed_column(ended[name]) for name in names})
    runs = complete_runs(typed, names, response)
    factors = [_surface_factor(runs, name, given.get(name), log) for name in names]
    left_out = left_out_columns(ended, response, [*names, *excluded, statuses.column])
    return Experiment(
        runs,
        tuple(factors),
        tuple(block_notes(ended, [*names, *excluded])),
        left_out=left_out,
        statuses=statuses,
    )


def _has_surface_levels(column: "pd.Series[Any]") -> bool:
    numbers = typed_column(column).map(number_or_nan)
    return not numbers.isna().any() and numbers.nunique() in {3, 5} and len(column) >= FEWEST_RUNS


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
