import json

import pytest

from analysis.designs.factorial import (
    Design,
    fold_over,
    fractional_factorial,
    full_factorial,
    plackett_burman,
)
from analysis.designs.fractions import LETTERS
from analysis.designs.response_surface import box_behnken, central_composite
from analysis.designs.summary import design_as_json, design_as_text, summarise
from analysis.factors import Factor


def _factors(k: int) -> list[Factor]:
    return [Factor(name, 0, 10) for name in LETTERS[:k]]


def test_a_fraction_has_its_resolution_generators_and_alias_chains() -> None:
    # Montgomery (2013), table 8.8: the 2^(6-2) with E = ABC, F = BCD.
    text = design_as_text(fractional_factorial(_factors(6), runs=16))
    assert text.splitlines() == [
        "fraction of a two-level design of resolution IV: 6 factors, 16 runs",
        "Generators: E = A:B:C, F = B:C:D",
        "Defining relation: I = A:B:C:E = A:D:E:F = B:C:D:F",
        "Aliases, up to two-way interactions:",
        "  A:B = C:E",
        "  A:C = B:E",
        "  A:D = E:F",
        "  A:E = B:C = D:F",
        "  A:F = D:E",
        "  B:D = C:F",
        "  B:F = C:D",
    ]


def test_a_long_defining_relation_is_cut_short_in_the_text_but_not_in_the_json() -> None:
    design = fractional_factorial(_factors(11), runs=16)
    assert "(112 longer words)" in design_as_text(design)
    assert design_as_json(design)["relation"].count("=") == 127


def test_an_irregular_design_has_the_largest_share_of_an_interaction() -> None:
    design = plackett_burman(_factors(11), runs=12)
    found = summarise(design)
    assert found.resolution == 3
    assert found.largest_share == pytest.approx(1 / 3)
    assert "a share of at most 0.33." in " ".join(design_as_text(design).split())
    folded = fold_over(design)
    assert (summarise(folded).resolution, summarise(folded).largest_share) == (4, 0)
    assert "No main effect is aliased with a two-way interaction." in design_as_text(folded)


@pytest.mark.parametrize(
    ("design", "text"),
    [
        (full_factorial(_factors(3), centre_points=2), "10 runs (2 of them centre points)"),
        (full_factorial(_factors(3)), "No main effect and no two-way interaction is aliased"),
        (fractional_factorial(_factors(5), resolution=5), "two-way interaction is aliased with"),
        (plackett_burman(_factors(2)), "no two-way interaction is aliased"),
        (central_composite(_factors(2)), "(4 of them axial points, 5 of them centre points)"),
        (box_behnken(_factors(3)), "15 runs (3 of them centre points)"),
    ],
)
def test_every_design_has_a_text_and_a_json_object(design: Design, text: str) -> None:
    assert text in design_as_text(design)
    content = json.loads(json.dumps(design_as_json(design), allow_nan=False))
    assert len(content["runs"]) == len(design.cells)
    assert [factor["name"] for factor in content["factors"]] == [f.name for f in design.factors]
