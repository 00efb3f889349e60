"""The model matrix, built explicitly, and which of its columns the runs can distinguish."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations, product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.factors import Factor

INTERCEPT = "intercept"
CURVATURE = "curvature"
#: What the names of the columns of blocks begin with, as no factor does: one may be ``block size``.
BLOCK = "(block) "
#: A column closer than this to a combination of others, relative to its length, depends on them.
RANK_TOLERANCE = 1e-9
#: The correlation of two columns up to which they count as orthogonal. In a regular fraction of 8
#: runs, one of which failed, it is 1/7; in a Plackett-Burman design, 1/3 and more.
REGULAR_TOLERANCE = 0.15


@dataclass(frozen=True)
class AliasedTerm:
    """A term that the runs cannot distinguish from others.

    Attributes
    ----------
    term : its name.
    aliased_with : the terms of the model whose estimates contain it, with its share in each (+1
        and -1 in a regular fraction; anything between if cells are missing).
    """

    term: str
    aliased_with: dict[str, float]

    @property
    def relation(self) -> str:
        """The aliasing as text, as in ``C:E = A:B`` or ``A:B:C (in A, -B, ...)``."""
        if not self.aliased_with:
            return f"{self.term} (its column is constant)"
        names = [_signed(name, share) for name, share in self.aliased_with.items()]
        if len(names) == 1:
            return f"{self.term} = {names[0]}"
        shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")  # noqa: PLR2004 # as many as fit in a line
        return f"{self.term} (in {shown})"


def _signed(name: str, share: float) -> str:
    size = "" if abs(abs(share) - 1) < RANK_TOLERANCE else f"{abs(share):.2g} "
    return f"{'-' if share < 0 else ''}{size}{name}"


def code_levels(runs: pd.DataFrame, factors: Sequence[Factor]) -> pd.DataFrame:
    """Return coded levels (N, k), one column per factor, with the index of `runs`.

    A factor that does not count in a run (`Factor.when`) has 0 there, so that its effect is that of
    the runs in which it counts.

    Raises
    ------
    FactorError
        If a level is not on its factor's scale.
    """
    columns = {f.name: [f.code(level) for level in runs[f.name]] for f in factors}
    coded = pd.DataFrame(columns, index=runs.index, dtype=float)
    for factor in factors:
        coded.loc[~runs_that_count(factor, runs), factor.name] = 0.0
    return coded


def cell_numbers(coded: pd.DataFrame) -> NDArray[np.intp]:
    """Return the number of the cell of each run (N,), from 0, by its coded levels."""
    numbers = coded.round(9).groupby(list(coded), sort=False).ngroup()
    return np.asarray(numbers, dtype=np.intp)


def runs_that_count(factor: Factor, runs: pd.DataFrame) -> "pd.Series[bool]":
    """Return in which runs (N,) a factor counts: all of them without a condition."""
    counts = pd.Series(data=True, index=runs.index)
    for name, known in factor.when:
        if name in runs:
            counts &= runs[name].isin(known)
    return counts


def model_matrix(coded: pd.DataFrame, order: int, factors: Sequence[Factor] = ()) -> pd.DataFrame:
    """Return the columns of intercept, main effects and interactions, by term name.

    Parameters
    ----------
    coded : (N, k) coded levels.
    order : the highest interaction.
    factors : those with three or more categories have one column per contrast, see
        `Factor.contrasts`; other columns are levels as they are. A factor with a condition has no
        interaction with the factors of its condition.

    Returns
    -------
    (N, p), -1 and +1 at the corners; an interaction is the product of its factors' columns, and its
    name is their names joined by colons. Montgomery (2013), section 6.5. No formula is parsed, so a
    factor can have any name.
    """
    columns = {INTERCEPT: np.ones(len(coded))}
    many = {f.name: f for f in factors if f.many_categories}
    parts = []
    for name in map(str, coded.columns):
        own = coded[name].to_numpy()
        if name in many:
            parts.append(list(zip(many[name].columns, many[name].contrasts(own).T, strict=True)))
        else:
            parts.append([(name, own)])
    conditions = {(f.name, name) for f in factors for name, _ in f.when}
    named = list(zip(map(str, coded.columns), parts, strict=True))
    for size in range(1, min(order, len(parts)) + 1):
        for group in combinations(named, size):
            # Where a factor counts, its condition does not vary.
            if not conditions.isdisjoint(permutations((name for name, _ in group), 2)):
                continue
            for chosen in product(*(own for _, own in group)):
                term = ":".join(name for name, _ in chosen)
                columns[term] = np.prod([column for _, column in chosen], axis=0)
    return pd.DataFrame(columns, index=coded.index)


def factors_of(term: str, factors: Sequence[Factor]) -> tuple[str, ...]:
    """Return the names of the factors of a term: ``a`` and ``c`` of ``a:c[sgd]``."""
    parts = set(term.split(":"))
    return tuple(f.name for f in factors if not parts.isdisjoint(f.columns))


def columns_of_term(term: str, factors: Sequence[Factor]) -> list[str]:
    """Return the columns of a term that is named by factors, as in ``a:c``: one per contrast."""
    own = {f.name: f.columns for f in factors}
    return [":".join(parts) for parts in product(*(own[name] for name in term.split(":")))]


def block_columns(labels: "pd.Series[Any]", *, about: str) -> pd.DataFrame:
    """Return one column for every block except the first.

    Parameters
    ----------
    labels : (N,) the block of each run.
    about : ``mean``: deviations, so that the intercept is the mean over blocks; ``first``:
        differences from the first block, as R prints them.
    """
    first, *others = sorted(labels.unique(), key=str)
    columns = {f"{BLOCK}{name}": (labels == name).astype(float) for name in others}
    matrix = pd.DataFrame(columns, index=labels.index)
    if about == "mean":
        matrix[labels == first] = -1.0
    return matrix


def estimable(matrix: pd.DataFrame) -> tuple[list[str], list[AliasedTerm]]:
    """Split the columns into independent ones and those that depend on earlier ones.

    Parameters
    ----------
    matrix : (N, p), in the order of preference: lower-order terms first.

    Returns
    -------
    The names of linearly independent columns, and the other terms with their part of the alias
    matrix, (X1'X1)^-1 X1'X2: Montgomery (2013), section 10.7 (supplement S8.1).
    """
    if _independent(matrix.to_numpy(dtype=float)):
        return [str(name) for name in matrix.columns], []
    kept: list[str] = []
    dependent: list[str] = []
    basis = np.zeros((len(matrix), 0))
    for name in matrix.columns:
        column = matrix[name].to_numpy(dtype=float)
        rest = _orthogonal_part(column, basis)
        length = np.linalg.norm(rest)
        if length > RANK_TOLERANCE * max(float(np.linalg.norm(column)), 1.0):
            kept.append(name)
            basis = np.column_stack([basis, rest / length])
        else:
            dependent.append(name)
    return kept, _aliases(matrix, kept, dependent)


def _independent(x: NDArray[np.float64]) -> bool:
    """Whether all columns are independent by a wide margin; False if this quick test is unsure."""
    lengths = np.linalg.norm(x, axis=0)
    if x.shape[0] < x.shape[1] or not lengths.all():
        return False
    scaled = x / lengths
    return bool(np.linalg.eigvalsh(scaled.T @ scaled)[0] > np.sqrt(RANK_TOLERANCE))


def _orthogonal_part(
    column: NDArray[np.float64], basis: NDArray[np.float64]
) -> NDArray[np.float64]:
    for _ in range(2):  # the second pass removes what rounding left
        column = column - basis @ (basis.T @ column)
    return column


def _aliases(matrix: pd.DataFrame, kept: list[str], dependent: list[str]) -> list[AliasedTerm]:
    if not dependent:
        return []
    shares, *_ = np.linalg.lstsq(
        matrix[kept].to_numpy(dtype=float), matrix[dependent].to_numpy(dtype=float), rcond=None
    )
    least = np.sqrt(RANK_TOLERANCE)
    return [
        AliasedTerm(
            term, {n: float(s) for n, s in zip(kept, column, strict=True) if abs(s) > least}
        )
        for term, column in zip(dependent, shares.T, strict=True)
    ]
