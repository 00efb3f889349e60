"""Regular fractions of two-level designs: generators, defining relation, resolution, aliases."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from analysis.errors import DesignError

Word = frozenset[str]

#: Letters as the tables use them: I is the identity.
LETTERS = "ABCDEFGHJKLMNOP"

#: (k, p) -> generators of the 2^(k-p) fraction of highest resolution and, among those, least
#: aberration: what each further factor is the product of. Montgomery (2013), table 8.14, after
#: Box, Hunter and Hunter (2005), table 6.22 (page 272); of 12 to 15 factors, 16 runs.
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
    (12, 8): "ABC ABD ACD BCD ABCD AB AC AD",
    (13, 9): "ABC ABD ACD BCD ABCD AB AC AD BC",
    (14, 10): "ABC ABD ACD BCD ABCD AB AC AD BC BD",
    (15, 11): "ABC ABD ACD BCD ABCD AB AC AD BC BD CD",
}


@dataclass(frozen=True)
class Fraction:
    """A regular fraction of a two-level design, principal: every word is +1.

    Attributes
    ----------
    names : k factors.
    p : how often the full design was halved.
    words : the defining relation without the identity, 2^p - 1 words, shortest first.
    """

    names: tuple[str, ...]
    p: int
    words: tuple[Word, ...]

    @property
    def n_runs(self) -> int:
        """Runs of one replicate."""
        return int(2 ** (len(self.names) - self.p))

    @property
    def resolution(self) -> int:
        """Length of the shortest word; k + 1 for the full design, where nothing is aliased."""
        return min((len(word) for word in self.words), default=len(self.names) + 1)

    @property
    def word_lengths(self) -> tuple[int, ...]:
        """Number of words of length 3, 4, ..., k: the least in dictionary order aberrates least.

        Fries, A. and Hunter, W. G. (1980), Technometrics 22, 601-608.
        """
        lengths = [len(word) for word in self.words]
        return tuple(lengths.count(n) for n in range(3, len(self.names) + 1))

    @property
    def relation(self) -> str:
        """The defining relation in words, as in ``I = A:B:C:E = B:C:D:F = A:D:E:F``."""
        return " = ".join(["I", *(self._term(word) for word in self.words)])

    def aliases(self, term: str, order: int) -> tuple[str, ...]:
        """Return the terms of up to `order` factors that a term cannot be told from.

        Raises
        ------
        DesignError
            If the term names another factor.
        """
        own = frozenset(term.split(":"))
        unknown = own.difference(self.names)
        if unknown:
            raise DesignError(
                f"term {term}: no factor {min(unknown)}; there are {', '.join(self.names)}"
            )
        others = (own ^ word for word in self.words)
        short = sorted((len(w), self._places(w)) for w in others if 0 < len(w) <= order)
        return tuple(":".join(self.names[i] for i in places) for _, places in short)

    def chains(self, order: int) -> list[tuple[str, ...]]:
        """Return every alias chain of terms of up to `order` factors, lower orders first."""
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
        """Return the fraction that these runs and their mirror image make together.

        Words with an odd number of the factors whose signs are changed drop out.
        """
        flipped = frozenset(on)
        kept = tuple(word for word in self.words if len(word & flipped) % 2 == 0)
        return Fraction(self.names, self.p - (len(kept) < len(self.words)), kept)

    def _places(self, word: Word) -> tuple[int, ...]:
        return tuple(i for i, name in enumerate(self.names) if name in word)

    def _term(self, word: Word) -> str:
        return ":".join(self.names[i] for i in self._places(word))


def from_generators(names: Sequence[str], generators: Sequence[Word]) -> Fraction:
    """Return the fraction whose last factors are products of the first.

    Parameters
    ----------
    names : k factors.
    generators : for each of the last p factors, the factors it is the product of.
    """
    added = names[len(names) - len(generators) :]
    own = [frozenset((name, *word)) for name, word in zip(added, generators, strict=True)]
    words = {_product(part) for size in range(1, len(own) + 1) for part in combinations(own, size)}
    places = {name: i for i, name in enumerate(names)}
    ordered = sorted(words, key=lambda word: (len(word), sorted(places[n] for n in word)))
    return Fraction(tuple(names), len(generators), tuple(ordered))


def _product(words: Iterable[Word]) -> Word:
    result: Word = frozenset()
    for word in words:
        result ^= word
    return result


def fraction(names: Sequence[str], p: int) -> Fraction:
    """Return the tabled 2^(k-p) fraction of least aberration.

    Raises
    ------
    DesignError
        If there is none; those of as many factors are given.

    References
    ----------
    `GENERATORS`.
    """
    k = len(names)
    if p == 0:
        return Fraction(tuple(names), 0, ())
    if (k, p) not in GENERATORS:
        runs = ", ".join(str(2 ** (k - q)) for n, q in GENERATORS if n == k)
        raise DesignError(f"no fraction of {k} factors in {2 ** (k - p)} runs; runs: {runs or '-'}")
    letters = dict(zip(LETTERS, names, strict=False))
    words = [frozenset(letters[c] for c in word) for word in GENERATORS[k, p].split()]
    return from_generators(names, words)


def smallest_fraction(names: Sequence[str], resolution: int) -> Fraction:
    """Return the tabled fraction with the fewest runs that reaches a resolution.

    Parameters
    ----------
    names : k factors.
    resolution : 3: main effects apart from one another; 4: also from two-way interactions; 5:
        these also from one another. `fracfact_by_res` of pydoe reaches it too, but not with the
        least aberration.

    Raises
    ------
    DesignError
        If no fraction, nor the full design of up to 7 factors, reaches it.
    """
    k = len(names)
    fractions = [fraction(names, p) for n, p in GENERATORS if n == k]
    if k <= 7:  # noqa: PLR2004 # the largest full design
        fractions.append(fraction(names, 0))
    able = [found for found in fractions if found.resolution >= resolution]
    if not able:
        raise DesignError(
            f"resolution {resolution} of {k} factors: no tabled fraction; ask for a lower one, or "
            "take fewer factors"
        )
    return min(able, key=lambda found: found.n_runs)


def fraction_within(names: Sequence[str], most: int) -> Fraction | None:
    """Return the best tabled fraction of so many runs at most: resolution V, else IV, else III.

    Of those that reach the same resolution, beyond V none is told apart, the smallest is taken.

    Parameters
    ----------
    names : k factors.
    most : runs of one replicate.

    Returns
    -------
    None where no fraction is so small.
    """
    k = len(names)
    able = [fraction(names, p) for n, p in GENERATORS if n == k]
    if k <= 7:  # noqa: PLR2004 # the largest full design
        able.append(fraction(names, 0))
    small = [found for found in able if found.n_runs <= most]
    return max(small, key=lambda f: (min(f.resolution, 5), -f.n_runs), default=None)
