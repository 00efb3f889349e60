"""Designs in which some factors are categories of three or more values, beside two-level factors.

The full design has every combination. In a fraction, a category takes the place of two or three
columns of a two-level fraction, whose combinations are its values: the method of replacement. With
three values, the reference stands at two of the four combinations, and the contrasts with it are
estimated from more runs. Main effects of other factors are orthogonal to all contrasts.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations, islice

import numpy as np
from numpy.typing import NDArray

from analysis.designs.fractions import (
    GENERATORS,
    LARGEST_FULL_DESIGN,
    Fraction,
    count_of_factors,
    fraction,
    fraction_within,
)
from analysis.errors import DesignError
from analysis.factors import Factor, Level

#: Ways to place the categories on the columns of a fraction that are compared, at most.
MOST_PLACES = 2000
#: Runs of a screen whose study does not say how many, where the full design has more.
USUAL_SCREEN = 32
#: Runs of the smallest Plackett-Burman design that is no regular fraction.
SMALLEST_IRREGULAR = 12
#: Values of a category whose signs a fold-over can change, at most: those of two columns.
MOST_FLIPPED = 4
#: The resolution up to which a higher one is better.
ENOUGH = 5


@dataclass(frozen=True)
class MixedFraction(Fraction):
    """A two-level fraction, some of whose columns together hold the values of a category.

    Attributes
    ----------
    names : of the two-level columns; a category has ``optimizer.1`` and ``optimizer.2``.
    columns : for each factor, its name and those of its columns.
    runs : cells of the full design; 0 for a fraction, whose cells are those of the columns.

    References
    ----------
    Addelman, S. (1962), Technometrics 4, 21-46; Wu, C. F. J. and Hamada, M. S. (2009), Experiments,
    2nd ed., section 7.2.
    """

    columns: tuple[tuple[str, tuple[str, ...]], ...] = ()
    runs: int = 0

    @property
    def n_runs(self) -> int:
        """Number of runs of one replicate."""
        return self.runs or super().n_runs

    @property
    def resolution(self) -> int:
        """The fewest different factors in a word; k + 1 for the full design."""
        return min((len(self._factors_of(w)) for w in self.words), default=len(self.columns) + 1)

    def chains(self, order: int) -> list[tuple[str, ...]]:
        """Return the alias chains of terms of up to `order` factors, lower orders first.

        A category is named once for all of its columns: a term in its chain is aliased with one or
        several of its contrasts.
        """
        position = {name: i for i, (name, _) in enumerate(self.columns)}
        terms = [
            frozenset(column for part in parts for column in part)
            for size in range(1, order + 1)
            for group in combinations([own for _, own in self.columns], size)
            for parts in _parts_of_each(group)
        ]
        chains: list[tuple[str, ...]] = []
        seen: set[frozenset[str]] = set()
        for term in terms:
            if term in seen:
                continue
            coset = [term, *(term ^ word for word in self.words)]
            seen.update(coset)
            groups = {
                tuple(sorted(self._factors_of(member), key=position.__getitem__))
                for member in coset
                if member
            }
            kept = [group for group in groups if len(group) <= order]
            kept.sort(key=lambda group: (len(group), [position[name] for name in group]))
            chains.append(tuple(":".join(group) for group in kept))
        return list(dict.fromkeys(chains))

    def folded(self, on: Iterable[str]) -> "MixedFraction":
        """Return the fraction that these runs and their fold-over make together."""
        both = super().folded(on)
        return replace(self, p=both.p, words=both.words)

    def _factors_of(self, word: frozenset[str]) -> set[str]:
        return {name for name, own in self.columns if word & set(own)}


@dataclass(frozen=True)
class PlackettBurman(Fraction):
    """A Plackett-Burman design: every main effect is partly aliased with interactions.

    Attributes
    ----------
    runs : runs of one replicate.
    """

    runs: int = 12

    @property
    def n_runs(self) -> int:
        """Number of runs of one replicate."""
        return self.runs

    @property
    def resolution(self) -> int:
        """III."""
        return 3

    @property
    def relation(self) -> str:
        """There is none: the aliases are partial."""
        return "Plackett-Burman"


def _parts_of_each(group: Sequence[tuple[str, ...]]) -> Iterator[tuple[tuple[str, ...], ...]]:
    """Yield one non-empty part of the columns of each factor of a group."""
    if not group:
        yield ()
        return
    first, *rest = group
    for size in range(1, len(first) + 1):
        for part in combinations(first, size):
            for others in _parts_of_each(rest):
                yield (part, *others)


def columns_of(factor: Factor) -> tuple[str, ...]:
    """Return the names of the two-level columns that hold a factor."""
    if not factor.many_categories:
        return (factor.name,)
    halvings = (len(factor.values) - 1).bit_length()
    return tuple(f"{factor.name}.{i}" for i in range(1, halvings + 1))


def count_of_cells(factors: Sequence[Factor]) -> int:
    """Return the number of cells of the full design."""
    return math.prod(len(factor.levels) for factor in factors)


def full_design(factors: Sequence[Factor]) -> Fraction:
    """Return the full design as a fraction without words.

    Raises
    ------
    DesignError
        If it has more than 2^7 cells.
    """
    cells = count_of_cells(factors)
    if cells > 2**LARGEST_FULL_DESIGN:
        raise DesignError(
            f"{count_of_factors(len(factors))}: the full design has {cells} cells, more than "
            f"{2**LARGEST_FULL_DESIGN}; take a fraction, or fewer values"
        )
    if not any(factor.many_categories for factor in factors):
        return fraction([factor.name for factor in factors], 0)
    columns = tuple((factor.name, columns_of(factor)) for factor in factors)
    names = tuple(name for _, own in columns for name in own)
    return MixedFraction(names, 0, (), columns, cells)


def design_within(factors: Sequence[Factor], most: int) -> Fraction | None:
    """Return the best design of at most `most` runs, as `fraction_within` does for two levels.

    If no fraction is small enough for factors of two levels, the Plackett-Burman design in 12 runs
    for 8 to 11 factors.

    Returns
    -------
    None if every design has more runs.
    """
    if not any(factor.many_categories for factor in factors):
        names = tuple(factor.name for factor in factors)
        found = fraction_within(names, most)
        if found is None and LARGEST_FULL_DESIGN < len(names) < SMALLEST_IRREGULAR <= most:
            return PlackettBurman(names, 1, (), SMALLEST_IRREGULAR)
        return found
    small = [found for found in _mixed_designs(factors) if found.n_runs <= most]
    return max(small, key=lambda f: (min(f.resolution, ENOUGH), -f.n_runs), default=None)


def usual_design(factors: Sequence[Factor]) -> Fraction:
    """Return the design of a screen whose study does not say how many cells it may have.

    With up to 7 factors of two levels, the full design, as in the published study. With more
    factors, or categories of three or more values: the full design up to 32 cells; else the
    smallest design of at most 32 in which no main effect is aliased with a two-way interaction
    (resolution IV); else the best one of at most 32.

    Raises
    ------
    DesignError
        If no design has at most 32 runs.
    """
    only_two = not any(factor.many_categories for factor in factors)
    if only_two and len(factors) <= LARGEST_FULL_DESIGN:
        return full_design(factors)
    if count_of_cells(factors) <= USUAL_SCREEN:
        return full_design(factors)
    found = design_within(factors, USUAL_SCREEN)
    if found is None:
        raise DesignError(
            f"{count_of_factors(len(factors))}: no design has at most {USUAL_SCREEN} cells; "
            "remove factors or values, or set screen_cells"
        )
    four = [f for f in _designs(factors) if f.n_runs <= USUAL_SCREEN and f.resolution >= 4]  # noqa: PLR2004 # resolution IV
    return min(four, key=lambda f: f.n_runs, default=found)


def smallest_design(factors: Sequence[Factor], resolution: int) -> Fraction:
    """Return the design with the fewest runs that reaches a resolution; with categories.

    Raises
    ------
    DesignError
        If none reaches it.
    """
    suitable = [found for found in _designs(factors) if found.resolution >= resolution]
    if not suitable:
        raise DesignError(
            f"resolution {resolution} of {count_of_factors(len(factors))}: no design reaches it; "
            "request a lower one, or take fewer factors or values"
        )
    return min(suitable, key=lambda found: found.n_runs)


def design_in_runs(factors: Sequence[Factor], runs: int) -> Fraction:
    """Return the fraction with exactly this many runs; with categories.

    Raises
    ------
    DesignError
        If there is none.
    """
    found = [design for design in _designs(factors) if design.p and design.n_runs == runs]
    if not found:
        known = sorted({design.n_runs for design in _designs(factors)})
        raise DesignError(
            f"no fraction of {count_of_factors(len(factors))} in {runs} runs; runs: "
            f"{', '.join(map(str, known)) or 'none'}"
        )
    return max(found, key=lambda design: design.resolution)


def _designs(factors: Sequence[Factor]) -> list[Fraction]:
    if any(factor.many_categories for factor in factors):
        return _mixed_designs(factors)
    names = [factor.name for factor in factors]
    found = [fraction(names, p) for k, p in GENERATORS if k == len(names)]
    return [*found, fraction(names, 0)] if len(names) <= LARGEST_FULL_DESIGN else found


def _mixed_designs(factors: Sequence[Factor]) -> list[Fraction]:
    """Return the fractions of resolution III or more, and the full design of up to 2^7 cells."""
    columns = tuple((factor.name, columns_of(factor)) for factor in factors)
    sizes = tuple(len(own) for _, own in columns)
    cells = count_of_cells(factors)
    k = sum(sizes)
    found: list[Fraction] = []
    for p in [p for n, p in GENERATORS if n == k]:
        order = _best_places(sizes, p)
        if order is None or 2 ** (k - p) >= cells:
            continue
        flat = [name for _, own in columns for name in own]
        placed = fraction([flat[i] for i in order], p)
        found.append(MixedFraction(placed.names, placed.p, placed.words, columns))
    return [*found, full_design(factors)] if cells <= 2**LARGEST_FULL_DESIGN else found


@lru_cache(maxsize=256)
def _best_places(sizes: tuple[int, ...], p: int) -> tuple[int, ...] | None:
    """Return which column of the factors stands at each place of the fraction of the table.

    Parameters
    ----------
    sizes : columns of each factor.
    p : halvings of the fraction.

    Returns
    -------
    Of the first `MOST_PLACES` ways, the one with the highest resolution by factors, and of these
    the fewest words of that length; None if the main effects of two factors are aliased, or if a
    category lacks values, in all of them.
    """
    k = sum(sizes)
    letters = [str(i) for i in range(k)]
    words = fraction(letters, p).words
    members = np.array([[letter in word for letter in letters] for word in words])
    best, chosen = (2, 0), None
    for places in islice(_places(tuple(range(k)), sizes), MOST_PLACES):
        lengths = np.sum([members[:, own].any(axis=1) for own in map(list, places)], axis=0)
        shortest = int(lengths.min())
        score = (min(shortest, ENOUGH), -int((lengths == shortest).sum()))
        if shortest > 2 and score > best:  # noqa: PLR2004 # no main effect is aliased with another
            best, chosen = score, places
    if chosen is None:
        return None
    order = [0] * k
    for column, place in enumerate(place for own in chosen for place in own):
        order[place] = column
    return tuple(order)


def _places(free: tuple[int, ...], sizes: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Yield the ways to give the factors their places: categories choose, others follow."""
    many = [i for i, size in enumerate(sizes) if size > 1]
    if not many:
        rest = iter(free)
        yield tuple((next(rest),) if size else () for size in sizes)
        return
    at = many[0]
    for own in combinations(free, sizes[at]):
        left = tuple(place for place in free if place not in own)
        # A size of 0 marks a factor that has its places already.
        inner = (*sizes[:at], 0, *sizes[at + 1 :])
        for others in _places(left, inner):
            yield (*others[:at], own, *others[at + 1 :])


def flipped_level(factor: Factor, level: Level) -> Level:
    """Return the level at which the signs of all columns that hold a factor are changed.

    Of three categories, the second and the third change places; of four, the order is reversed.
    """
    if not factor.many_categories:
        return factor.decode(-factor.code(level))
    # The combinations of two columns, in this order, have the values 0, 1, 2, 0 or 0, 1, 2, 3.
    index = 3 - factor.values.index(level)
    return factor.values[index % len(factor.values)]


def coded_levels(
    factors: Sequence[Factor], names: Sequence[str], coded: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the coded levels (N, k) of factors from the two-level columns (N, m) that hold them.

    Parameters
    ----------
    factors : k factors.
    names : of the m columns.
    coded : -1 and +1.
    """
    at = {name: i for i, name in enumerate(names)}
    found = []
    for factor in factors:
        own = [coded[:, at[name]] for name in columns_of(factor)]
        if not factor.many_categories:
            found.append(own[0])
            continue
        index = np.sum([(x > 0) * 2**i for i, x in enumerate(own)], axis=0)
        codes = np.array([factor.code(value) for value in factor.values])
        found.append(codes[index % len(codes)])
    return np.column_stack(found)
