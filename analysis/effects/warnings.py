"""The cautions of an effects model: missing, aliased, repeated, unbalanced and collapsed runs."""

from itertools import product

import numpy as np
import pandas as pd

from analysis.effects.caution import Caution
from analysis.effects.least_squares import FITTED, RESIDUAL, STUDENTISED, table_value
from analysis.effects.model_matrix import (
    CURVATURE,
    INTERCEPT,
    REGULAR_TOLERANCE,
    code_levels,
    factors_of,
    model_matrix,
)
from analysis.effects.result import Effects
from analysis.factors import with_conditions

#: With at most this many factors, all cells are listed to find the missing ones.
MOST_FACTORS_LISTED = 7
#: Columns of `Effects.runs` that the fit added.
FITTED_COLUMNS = [FITTED, RESIDUAL, STUDENTISED]


def effect_warnings(effects: Effects, runs: pd.DataFrame) -> tuple[Caution, ...]:
    """Return one caution for each reason to trust the effects less.

    Parameters
    ----------
    effects : the fitted model.
    runs : the table as it was given, with the failed runs.

    Returns
    -------
    Cautions of these kinds, with their details:

    - ``failed_runs``: ``failed`` of ``runs`` runs have no ``response``.
    - ``missing_cells``: ``missing`` of ``total`` cells have no finished run: ``cells``, a tuple of
      levels by factor.
    - ``aliased_terms``: ``terms``, a tuple of `AliasedTerm`.
    - ``shares_of_interactions``: main effects are mixed with parts of two-way interactions.
    - ``constant``: all ``runs`` runs have the same ``response``, its ``value``.
    - ``repeated_rows``: ``repeated`` rows are equal to another in every column.
    - ``exact_fit``: there is no residual, although it has degrees of freedom.
    - ``unbalanced``: cells have ``fewest`` to ``most`` runs.
    - ``lack_of_fit``: of the model of this ``order``, with its ``p``.
    - ``curvature``: with its ``p``.
    - ``collapsed_runs``: ``collapsed`` of ``runs`` runs, in ``cells``; ``at`` is the level by
      factor at which the other factors are judged, because every run at the other level collapsed.
    - ``all_collapsed``: all ``runs`` runs did.
    """
    found = [
        _constant(effects),
        _failed_runs(effects, runs),
        _missing_cells(effects),
        _aliased_terms(effects),
        _shares_of_interactions(effects),
        _repeated_rows(effects),
        _exact_fit(effects),
        _unbalanced(effects),
        _lack_of_fit(effects),
        _curvature(effects),
        _collapsed_runs(effects),
    ]
    return tuple(caution for caution in found if caution is not None)


def _constant(effects: Effects) -> Caution | None:
    if not _is_constant(effects):
        return None
    value = float(effects.runs[effects.response].iloc[0])
    details = {"runs": len(effects.runs), "response": effects.response, "value": value}
    return Caution("constant", details)


def _is_constant(effects: Effects) -> bool:
    response = effects.runs[effects.response]
    return bool(response.eq(response.iloc[0]).all())


def _failed_runs(effects: Effects, runs: pd.DataFrame) -> Caution | None:
    failed = len(runs) - len(effects.runs)
    if not failed:
        return None
    details = {"failed": failed, "runs": len(runs), "response": effects.response}
    return Caution("failed_runs", details)


def _missing_cells(effects: Effects) -> Caution | None:
    """Name the cells without a run, if most cells have one: a smaller design is a fraction."""
    factors = effects.factors
    if len(factors) > MOST_FACTORS_LISTED:
        return None
    names = [f.name for f in factors]
    have = set(effects.runs[names].itertuples(index=False, name=None))
    every = product(*(f.levels for f in factors))
    distinct = [with_conditions(factors, dict(zip(names, cell, strict=True))) for cell in every]
    cells = list(dict.fromkeys(tuple(cell.values()) for cell in distinct))
    missing = [dict(zip(names, cell, strict=True)) for cell in cells if cell not in have]
    if not missing or 2 * len(missing) >= len(cells):
        return None
    details = {"missing": len(missing), "total": len(cells), "cells": tuple(missing)}
    return Caution("missing_cells", details)


def _aliased_terms(effects: Effects) -> Caution | None:
    return Caution("aliased_terms", {"terms": effects.aliased}) if effects.aliased else None


def _shares_of_interactions(effects: Effects) -> Caution | None:
    """Find main effects that hold shares of interactions, as in a Plackett-Burman design."""
    if effects.order > 1 or effects.aliased or len(effects.factors) < 3:  # noqa: PLR2004 # nothing to hold
        return None
    coded = code_levels(effects.runs, effects.factors)
    matrix = model_matrix(coded, 2, effects.factors).drop(columns=INTERCEPT)
    terms = [(name, factors_of(name, effects.factors)) for name in map(str, matrix.columns)]
    products = np.abs(matrix.to_numpy().T @ matrix.to_numpy()) > REGULAR_TOLERANCE * len(coded)
    mixed = [
        products[i, j]
        for i, (_, own) in enumerate(terms)
        for j, (_, others) in enumerate(terms)
        if len(own) == 1 and len(others) > 1 and own[0] not in others
    ]
    if not any(mixed):
        return None
    return Caution("shares_of_interactions")


def _repeated_rows(effects: Effects) -> Caution | None:
    """Find runs that are equal to the last digit in every column: possibly copies."""
    columns = effects.runs.columns.difference(FITTED_COLUMNS)
    repeated = int(effects.runs[list(columns)].duplicated().sum())
    return Caution("repeated_rows", {"repeated": repeated}) if repeated else None


def _exact_fit(effects: Effects) -> Caution | None:
    known = effects.terms["std_error"].notna().any()
    if not effects.residual_df or known or _is_constant(effects):
        return None
    return Caution("exact_fit")


def _unbalanced(effects: Effects) -> Caution | None:
    counts = effects.runs.groupby([f.name for f in effects.factors], observed=True).size()
    fewest, most = int(counts.min()), int(counts.max())
    if CURVATURE in effects.anova.index or fewest == most:
        return None
    many = [f.name for f in effects.factors if f.many_categories]
    # In a fraction, the first values of a category stand at more runs than the others.
    if many and len(many) < len(effects.factors):
        within = counts.groupby(many)
        if within.max().equals(within.min()):
            return None
    return Caution("unbalanced", {"fewest": fewest, "most": most})


def _lack_of_fit(effects: Effects) -> Caution | None:
    p = table_value(effects.anova, "lack of fit", "p")
    if not p < effects.alpha:
        return None
    return Caution("lack_of_fit", {"order": effects.order, "p": p})


def _curvature(effects: Effects) -> Caution | None:
    p = table_value(effects.anova, CURVATURE, "p")
    return Caution("curvature", {"p": p}) if p < effects.alpha else None


def _collapsed_runs(effects: Effects) -> Caution | None:
    runs = effects.runs
    collapsed = runs[runs["collapsed"].astype(bool)] if "collapsed" in runs else runs[:0]
    if collapsed.empty:
        return None
    cells = collapsed[[f.name for f in effects.factors]].drop_duplicates().to_dict("records")
    if len(collapsed) == len(runs):
        return Caution("all_collapsed", {"runs": len(runs)})
    found = effects.collapse
    only = found is not None and found.learned is not None and found.working_level is not None
    details = {
        "collapsed": len(collapsed),
        "runs": len(runs),
        "cells": tuple(cells),
        "at": {found.strongest: found.working_level} if found is not None and only else {},
    }
    return Caution("collapsed_runs", details)
