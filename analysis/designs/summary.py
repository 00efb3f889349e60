"""What a design can estimate: its resolution, generators and aliases, as text and as JSON."""

import textwrap
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from analysis.designs.factorial import Coded, Design
from analysis.designs.fractions import count_of_factors
from analysis.designs.mixed_levels import columns_of
from analysis.factors import show

#: Kinds that have quadratic terms.
THREE_LEVELS = {"central-composite", "box-behnken", "definitive-screening"}
#: Terms of up to this many factors are listed in alias chains.
ALIAS_ORDER = 2
#: A share of an interaction below this is zero except for rounding.
SHARE_TOLERANCE = 1e-9
TEXT_WIDTH = 100
#: A longer defining relation is cut short in the text; the JSON has all of it.
SHOWN_WORDS = 15
ROMAN = {3: "III", 4: "IV", 5: "V", 6: "VI", 7: "VII", 8: "VIII"}
TITLES = {
    "full": "full two-level design",
    "fraction": "fraction of a two-level design",
    "plackett-burman": "Plackett-Burman design",
    "fold-over": "two-level design with its fold-over",
    "central-composite": "central composite design",
    "box-behnken": "Box-Behnken design",
    "definitive-screening": "definitive screening design",
}


@dataclass(frozen=True)
class DesignSummary:
    """What a design can estimate.

    Attributes
    ----------
    resolution : 3, 4, ...; None for a full design, in which nothing is aliased, and for a
        second-order design.
    relation, generators : of a regular fraction, see `analysis.designs.fractions.Fraction`.
    aliases : the alias chains of main effects and two-way interactions that have two terms or more.
    largest_share : of an irregular two-level design (Plackett-Burman): the largest share of a
        two-way interaction that a main effect of another factor contains, between 0 and 1.
    """

    resolution: int | None = None
    relation: str | None = None
    generators: tuple[str, ...] = ()
    aliases: tuple[tuple[str, ...], ...] = ()
    largest_share: float | None = None


def summarise(design: Design) -> DesignSummary:
    """Return what a design can estimate."""
    if design.kind in THREE_LEVELS:
        return DesignSummary()
    fraction = design.fraction
    if fraction is None:
        if len(design.factors) < 3:  # noqa: PLR2004 # a main effect and an interaction of two others
            return DesignSummary()
        share = largest_share(design.corner_levels)
        return DesignSummary(resolution=3 if share > 0 else 4, largest_share=share)
    if not fraction.words:
        return DesignSummary()
    chains = [chain for chain in fraction.chains(ALIAS_ORDER) if len(chain) > 1]
    return DesignSummary(fraction.resolution, fraction.relation, fraction.generators, tuple(chains))


def largest_share(coded: Coded) -> float:
    """Return the largest share of a two-way interaction in the main effect of another factor.

    Parameters
    ----------
    coded : (N, k) levels of orthogonal two-level columns, -1 and +1.

    Returns
    -------
    The largest absolute value of X1'X2 / N, the alias matrix of Montgomery (2013), section 10.7
    (supplement S8.1); 1 if one is wholly aliased, 0 if none is.
    """
    largest = 0.0
    for i, j in combinations(range(coded.shape[1]), 2):
        shares = np.abs(coded.T @ (coded[:, i] * coded[:, j])) / len(coded)
        shares[[i, j]] = 0
        largest = max(largest, float(shares.max()))
    return largest if largest > SHARE_TOLERANCE else 0.0


def design_as_json(design: Design) -> dict[str, Any]:
    """Return a design with what it can estimate, as plain JSON types."""
    found = summarise(design)
    return {
        "kind": design.kind,
        "factors": [
            {
                "name": f.name,
                "low": f.low,
                "high": f.high,
                "scale": f.scale,
                **({"values": list(f.values)} if f.values else {}),
            }
            for f in design.factors
        ],
        "resolution": found.resolution,
        "generators": list(found.generators),
        "relation": found.relation,
        "aliases": [list(chain) for chain in found.aliases],
        "largest_share": found.largest_share,
        "runs": design.cells.astype(object).where(design.cells.notna(), None).to_dict("records"),
    }


def design_as_text(design: Design) -> str:
    """Return what a design can estimate, for a terminal."""
    found, runs = summarise(design), len(design.cells)
    k = len(design.factors)
    title = TITLES[design.kind]
    if any(f.many_categories for f in design.factors):
        title = title.replace("two-level", "mixed-level")
    if found.resolution:
        title += f" of resolution {ROMAN.get(found.resolution, found.resolution)}"
    lines = [f"{title}: {count_of_factors(k)}, {runs} runs{_points(design)}"]
    for factor in design.factors:
        held = columns_of(factor)
        if found.generators and len(held) > 1:
            values = ", ".join(map(show, factor.values))
            lines.append(f"{factor.name} ({values}) is held by the columns {', '.join(held)}.")
    if found.generators:
        lines.append(f"Generators: {', '.join(found.generators)}")
        lines.append(f"Defining relation: {_shortened(str(found.relation))}")
    lines += _alias_lines(design, found)
    return "\n".join(
        textwrap.fill(line, TEXT_WIDTH, subsequent_indent="    ", break_on_hyphens=False)
        for line in lines
    )


def first_words(relation: str, most: int) -> tuple[str, int]:
    """Return a defining relation with its first words, the shortest, and how many it leaves out."""
    identity, *words = relation.split(" = ")
    return " = ".join([identity, *words[:most]]), max(len(words) - most, 0)


def _shortened(relation: str) -> str:
    shown, more = first_words(relation, SHOWN_WORDS)
    return shown + (f" = ... ({more} longer words)" if more else "")


def _points(design: Design) -> str:
    centre = int(design.cells["centre"].sum())
    points = [f"{centre} of them centre points"] if centre else []
    if design.kind == "central-composite":
        levels = np.array([[f.code(x) for x in design.cells[f.name]] for f in design.factors])
        alone = (levels != 0).sum(axis=0) == 1
        points.insert(0, f"{int(alone.sum())} of them axial points")
    return f" ({', '.join(points)})" if points else ""


def _alias_lines(design: Design, found: DesignSummary) -> list[str]:
    if design.kind == "definitive-screening":
        text = (
            "Main effects are orthogonal to each other, to all two-way interactions and to all "
            "quadratic terms. Interactions are partly aliased with each other and with quadratic "
            "terms: run a second-order design of the active factors to separate them."
        )
        return [text]
    if design.kind in THREE_LEVELS:
        return ["It estimates main effects, two-way interactions and quadratic terms."]
    if found.aliases:
        return [
            "Aliases, up to two-way interactions:",
            *(f"  {' = '.join(chain)}" for chain in found.aliases),
        ]
    if found.largest_share:
        share = show(round(found.largest_share, 2))
        text = (
            "Main effects are aliased with two-way interactions of other factors, each with a "
            f"share of at most {share}. An active effect may be an interaction: run the active "
            "factors again in a full design, or add the fold-over."
        )
        return [text]
    if found.resolution is None or found.relation:
        return ["No main effect and no two-way interaction is aliased with another."]
    return ["No main effect is aliased with a two-way interaction."]
