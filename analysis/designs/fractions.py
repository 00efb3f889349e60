"""Regular fractions of two-level designs: generators, defining relation, resolution, aliases."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from analysis.errors import DesignError

Word = frozenset[str]

#: A full two-level design has at most 2^7 runs here.
LARGEST_FULL_DESIGN = 7
#: The letters of the tables; I is left out, because it is the identity.
LETTERS = "ABCDEFGHJKLMNOP"

#: (k, p) -> generators of the 2^(k-p) fraction of highest resolution and, among those, least
#: aberration: each word is the product that gives one of the last p factors. Montgomery (2013),
#: table 8.14, after Box, Hunter and Hunter (2005), table 6.22 (page 272). With 12 to 15 factors,
#: only the fractions in 16 runs, and those in 32 runs of Chen, Sun and Wu (1993), International
#: Statistical Review 61, 131-145: every word has an even number of factors.
GENERATORS: dict[tuple[int, int], str] = {
    (3, 1): "AB",
    (4, 1): "ABC",
    (5, 1): "ABCD",
    (5, 2): "AB AC",
    (6, 1): "ABCDE",
    (6, 2): "ABC BCD",
    (6, 3): "AB AC BC",
    (7, 1): "ABCDEF",
    (7, 2): "ABCD ABDE",
    (7, 3): "ABC BCD ACD",
    (7, 4): "AB AC BC ABC",
    (8, 2): "ABCD ABEF",
    (8, 3): "ABC ABD BCDE",
    (8, 4): "BCD ACD ABC ABD",
    (9, 2): "ACDFG BCEFG",
    (9, 3): "ABCD ACEF CDEF",
    (9, 4): "BCDE ACDE ABDE ABCE",
    (9, 5): "ABC BCD ACD ABD ABCD",
    (10, 3): "ABCG BCDE ACDF",
    (10, 4): "BCDF ACDF ABDE ABCE",
    (10, 5): "ABCD ABCE ABDE ACDE BCDE",
    (10, 6): "ABC BCD ACD ABD ABCD AB",
    (11, 5): "CDE ABCD ABF BDEF ADEF",
    (11, 6): "ABC BCD CDE ACD ADE BDE",
    (11, 7): "ABC BCD ACD ABD ABCD AB AC",
    (12, 7): "ABC ABD ABE ACD ACE ADE BCD",
    (12, 8): "ABC ABD ACD BCD ABCD AB AC AD",
    (13, 8): "ABC ABD ABE ACD ACE ADE BCD BCE",
    (13, 9): "ABC ABD ACD BCD ABCD AB AC AD BC",
    (14, 9): "ABC ABD ABE ACD ACE ADE BCD BCE BDE",
    (14, 10): "ABC ABD ACD BCD ABCD AB AC AD BC BD",
    (15, 10): "ABC ABD ABE ACD ACE ADE BCD BCE BDE CDE",
    (15, 11): "ABC ABD ACD BCD ABCD AB AC AD BC BD CD",
}


@dataclass(frozen=True)
class Fraction:
    """A regular fraction of a two-level design: the principal one, in which every word is +1.

    Attributes
    ----------
    names : names of the k factors.
    p : number of times the full design is halved: the fraction has 2^(k-p) cells.
    words : the defining relation without the identity: 2^p - 1 words, shortest first.
    """

    names: tuple[str, ...]
    p: int
    words: tuple[Word, ...]

    @property
    def n_runs(self) -> int:
        """Number of runs of one replicate."""
        return int(2 ** (len(self.names) - self.p))

    @property
    def resolution(self) -> int:
        """Length of the shortest word; k + 1 for the full design, in which nothing is aliased."""
        return min((len(word) for word in self.words), default=len(self.names) + 1)

    @property
    def word_lengths(self) -> tuple[int, ...]:
        """Number of words of length 3, 4, ..., k; least aberration is least in dictionary order.

        Fries, A. and Hunter, W. G. (1980), Technometrics 22, 601-608.
        """
        lengths = [len(word) for word in self.words]
        return tuple(lengths.count(n) for n in range(3, len(self.names) + 1))

    @property
    def relation(self) -> str:
        """The defining relation as text, as in ``I = A:B:C:E = B:C:D:F = A:D:E:F``."""
        return " = ".join(["I", *(self._term(word) for word in self.words)])

    @property
    def generators(self) -> tuple[str, ...]:
        """One generator for each halving, as in ``E = A:B:C``.

        Gaussian elimination of the defining words: each generator gives one factor as a product of
        factors that no generator gives.
        """
        reduced: dict[str, Word] = {}
        for word in self.words:
            rest = word
            for name, other in reduced.items():
                rest = rest ^ other if name in rest else rest
            if rest:
                generated = self.names[self._positions(rest)[-1]]
                reduced = {n: w ^ rest if generated in w else w for n, w in reduced.items()}
                reduced[generated] = rest
        ordered = sorted(reduced, key=self.names.index)
        return tuple(f"{name} = {self._term(reduced[name] - {name})}" for name in ordered)

    def aliases(self, term: str, order: int) -> tuple[str, ...]:
        """Return the terms of up to `order` factors that are aliased with a term.

        Raises
        ------
        DesignError
            If the term names an unknown factor.
        """
        factors = frozenset(term.split(":"))
        unknown = factors.difference(self.names)
        if unknown:
            raise DesignError(
                f"term {term}: no factor {min(unknown)}; there are {', '.join(self.names)}"
            )
        aliased = (factors ^ word for word in self.words)
        short = sorted((len(w), self._positions(w)) for w in aliased if 0 < len(w) <= order)
        return tuple(":".join(self.names[i] for i in positions) for _, positions in short)

    def chains(self, order: int) -> list[tuple[str, ...]]:
        """Return every alias chain of terms of up to `order` factors, lower orders first.

        A term without an alias is a chain of one.
        """
        seen: set[str] = set()
        chains = []
        for size in range(1, order + 1):
            for names in combinations(self.names, size):
                term = ":".join(names)
                if term not in seen:
                    chain = (term, *self.aliases(term, order))
                    seen.update(chain)
                    chains.append(chain)
        return chains

    def folded(self, on: Iterable[str]) -> "Fraction":
        """Return the fraction that these runs and their fold-over make together.

        Words with an odd number of the factors whose signs change drop out.
        """
        flipped = frozenset(on)
        kept = tuple(word for word in self.words if len(word & flipped) % 2 == 0)
        return Fraction(self.names, self.p - (len(kept) < len(self.words)), kept)

    def _positions(self, word: Word) -> tuple[int, ...]:
        return tuple(i for i, name in enumerate(self.names) if name in word)

    def _term(self, word: Word) -> str:
        return ":".join(self.names[i] for i in self._positions(word))


def from_generators(names: Sequence[str], generators: Sequence[Word]) -> Fraction:
    """Return the fraction whose last factors are products of the first.

    Parameters
    ----------
    names : names of the k factors.
    generators : for each of the last p factors, the names of the factors whose product it is.
    """
    added = names[len(names) - len(generators) :]
    defining = [frozenset((name, *word)) for name, word in zip(added, generators, strict=True)]
    words = {
        _product(part)
        for size in range(1, len(defining) + 1)
        for part in combinations(defining, size)
    }
    return Fraction(tuple(names), len(generators), _ordered(words, names))


def regular_fraction(names: Sequence[str], coded: NDArray[np.float64]) -> Fraction | None:
    """Return the principal fraction that the cells of a two-level design make.

    Parameters
    ----------
    names : names of the k factors, at most 15.
    coded : (N, k) levels, -1 and +1; a cell may come several times.

    Returns
    -------
    None if the cells are no principal regular fraction: if they are not all the cells on which the
    words that are constant are +1, or if a word is -1.
    """
    k = len(names)
    if k > len(LETTERS):
        return None
    cells = np.unique(coded > 0, axis=0).astype(np.int64)
    p = k - (len(cells).bit_length() - 1)
    if 2 ** (k - p) != len(cells):
        return None
    # Row i has the binary digits of i, the factors of a word. A word is +1 in a cell in which an
    # even number of its factors is low.
    members = (np.arange(1, 2**k)[:, None] >> np.arange(k)) & 1
    odd = (members.astype(np.float32) @ (1 - cells.T).astype(np.float32)) % 2
    constant = (odd == odd[:, :1]).all(axis=1)
    if odd[constant, 0].any():
        return None
    words = {
        frozenset(name for name, member in zip(names, row, strict=True) if member)
        for row in members[constant]
    }
    return Fraction(tuple(names), p, _ordered(words, names)) if len(words) == 2**p - 1 else None


def _ordered(words: Iterable[Word], names: Sequence[str]) -> tuple[Word, ...]:
    """Return the words, shortest first, then in the order of their factors."""
    positions = {name: i for i, name in enumerate(names)}
    return tuple(sorted(words, key=lambda word: (len(word), sorted(positions[n] for n in word))))


def _product(words: Iterable[Word]) -> Word:
    result: Word = frozenset()
    for word in words:
        result ^= word
    return result


def fraction(names: Sequence[str], p: int) -> Fraction:
    """Return the 2^(k-p) fraction of least aberration from the table; the full design for p = 0.

    Raises
    ------
    DesignError
        If the table has none; the error names the numbers of runs that it has for k factors.

    References
    ----------
    `GENERATORS`.
    """
    k = len(names)
    if p == 0:
        return Fraction(tuple(names), 0, ())
    if (k, p) not in GENERATORS:
        runs = ", ".join(str(2 ** (k - q)) for n, q in GENERATORS if n == k)
        if not runs:
            raise DesignError(f"{count_of_factors(k)}: no fraction; {_counts_with_fractions()}")
        raise DesignError(f"no fraction of {k} factors in {2.0 ** (k - p):g} runs; runs: {runs}")
    letters = dict(zip(LETTERS, names, strict=False))
    words = [frozenset(letters[c] for c in word) for word in GENERATORS[k, p].split()]
    return from_generators(names, words)


def count_of_factors(k: int) -> str:
    """Return ``1 factor``, ``2 factors``, ..."""
    return f"{k} factor{'s' * (k != 1)}"


def _counts_with_fractions() -> str:
    counts = sorted({k for k, _ in GENERATORS})
    return f"there are fractions of {counts[0]} to {counts[-1]} factors"


def _available(names: Sequence[str]) -> list[Fraction]:
    """Return every fraction of the table for these factors, and the full design of up to 7."""
    k = len(names)
    found = [fraction(names, p) for n, p in GENERATORS if n == k]
    return [*found, fraction(names, 0)] if k <= LARGEST_FULL_DESIGN else found


def smallest_fraction(names: Sequence[str], resolution: int) -> Fraction:
    """Return the fraction of the table with the fewest runs that reaches a resolution.

    Parameters
    ----------
    names : names of the k factors.
    resolution : 3: no main effect is aliased with another; 4: nor with a two-way interaction; 5:
        and no two-way interaction is aliased with another. `fracfact_by_res` of pydoe reaches the
        resolution too, but not with the least aberration.

    Raises
    ------
    DesignError
        If no fraction reaches it, nor the full design of up to 7 factors.
    """
    available = _available(names)
    if not available:
        raise DesignError(
            f"{count_of_factors(len(names))}: no fraction; {_counts_with_fractions()}"
        )
    suitable = [found for found in available if found.resolution >= resolution]
    if not suitable:
        highest = max(found.resolution for found in available)
        raise DesignError(
            f"resolution {resolution} of {len(names)} factors: no fraction in the table reaches "
            f"it; request {highest} or less, or take fewer factors"
        )
    return min(suitable, key=lambda found: found.n_runs)


def fraction_within(names: Sequence[str], most: int) -> Fraction | None:
    """Return the best fraction of the table with at most `most` runs.

    A higher resolution is better up to V, which is as good as any higher one; among fractions that
    are equally good, the smallest is taken.

    Parameters
    ----------
    names : names of the k factors.
    most : runs of one replicate.

    Returns
    -------
    None if every fraction has more runs.
    """
    small = [found for found in _available(names) if found.n_runs <= most]
    return max(small, key=lambda f: (min(f.resolution, 5), -f.n_runs), default=None)
