"""Three-level designs: central composite, Box-Behnken, and definitive screening."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
import pydoe

from analysis.designs.factorial import Coded, Design, DesignKind, check_names, corners
from analysis.designs.fractions import count_of_factors
from analysis.errors import DesignError
from analysis.factors import Factor

Axial = Literal["rotatable", "spherical", "faced"]

#: Box and Behnken (1960), Technometrics 2, 455-475: the factors that vary together, for 6 and 7
#: factors. pydoe takes all pairs there, and more runs than needed.
BLOCKS_OF_THREE = {
    6: ("124", "235", "346", "145", "256", "136"),
    7: ("456", "167", "257", "124", "347", "135", "236"),
}


def central_composite(
    factors: Sequence[Factor],
    *,
    axial: Axial | float = "rotatable",
    centre_points: int = 5,
    seed: int = 0,
) -> Design:
    """Return a central composite design: corners, axial points and centre points, in random order.

    Parameters
    ----------
    factors : 2 to 6 factors, none categorical.
    axial : coded distance of the axial points: ``rotatable``: the fourth root of the number of
        corners; ``spherical``: the square root of k; ``faced``: 1, which stays between the levels;
        or a number.
    centre_points : runs at coded zero; 3 to 5 also estimate the pure error.
    seed : seed of the random order.

    Raises
    ------
    DesignError
        If there are too few factors or too many, one is categorical, or an axial point is outside
        a factor's domain.

    Notes
    -----
    An integer factor's axial points are rounded; the fit uses the coded levels of what was run.

    References
    ----------
    Box, G. E. P. and Wilson, K. B. (1951), Journal of the Royal Statistical Society B 13, 1-45.
    Montgomery (2013), section 11.4.2.
    """
    k = len(factors)
    if not 2 <= k <= 6:  # noqa: PLR2004 # what the docstring says
        raise DesignError(f"{count_of_factors(k)}: a central composite design takes 2 to 6")
    if centre_points < 0:
        raise DesignError(f"{centre_points} centre points: give 0 or more")
    named = {"rotatable": 2 ** (k / 4), "spherical": math.sqrt(k), "faced": 1.0}
    distance = named[axial] if isinstance(axial, str) else float(axial)
    if not (math.isfinite(distance) and distance > 0):
        raise DesignError(f"axial distance {distance:g}: give a number above 0")
    axial_points = [sign * distance * np.eye(k)[i] for i in range(k) for sign in (-1, 1)]
    coded = np.vstack([corners(k), *axial_points])
    return _second_order("central-composite", factors, coded, centre_points, seed)


def box_behnken(factors: Sequence[Factor], *, centre_points: int = 3, seed: int = 0) -> Design:
    """Return a Box-Behnken design: three levels, no corners, in random order.

    Parameters
    ----------
    factors : 3 to 7 factors, none categorical; 12, 24, 40, 48 and 56 runs besides the centre
        points.
    centre_points : runs at coded zero; at least one, or the quadratic terms cannot be
        distinguished.
    seed : seed of the random order.

    Raises
    ------
    DesignError
        If there are too few factors or too many, no centre point, or a categorical factor.

    References
    ----------
    Box, G. E. P. and Behnken, D. W. (1960), Technometrics 2, 455-475.
    """
    k = len(factors)
    if not 3 <= k <= 7:  # noqa: PLR2004 # what the docstring says
        raise DesignError(f"{count_of_factors(k)}: a Box-Behnken design takes 3 to 7")
    if centre_points < 1:
        raise DesignError(f"{centre_points} centre points: a Box-Behnken design needs 1 or more")
    if k in BLOCKS_OF_THREE:
        coded = np.vstack([_block_of_three(members, k) for members in BLOCKS_OF_THREE[k]])
    else:
        coded = np.asarray(pydoe.bbdesign(k, center=1), dtype=float)
        coded = coded[np.abs(coded).sum(axis=1) > 0]
    return _second_order("box-behnken", factors, coded, centre_points, seed)


def definitive_screening(
    factors: Sequence[Factor], *, centre_points: int = 1, seed: int = 0
) -> Design:
    """Return a definitive screening design: three levels of k factors in few runs, random order.

    Parameters
    ----------
    factors : 3 to 12 factors, none categorical; 2 k runs besides the centre points if k is even,
        2 k + 2 if it is odd.
    centre_points : runs at coded zero; at least one, or the quadratic terms cannot all be estimated
        beside the mean.
    seed : seed of the random order.

    Raises
    ------
    DesignError
        If there are too few factors or too many, no centre point, or a categorical factor.

    Notes
    -----
    The runs are the rows of a conference matrix and their fold-over. Main effects are orthogonal to
    each other, to all two-way interactions and to all quadratic terms.

    References
    ----------
    Jones, B. and Nachtsheim, C. J. (2011), Journal of Quality Technology 43, 1-15. Xiao, L.,
    Lin, D. K. J. and Bai, F. (2012), Journal of Quality Technology 44, 2-8 (conference matrices).
    """
    k = len(factors)
    if not 3 <= k <= 12:  # noqa: PLR2004 # what the docstring says
        raise DesignError(f"{count_of_factors(k)}: a definitive screening design takes 3 to 12")
    if centre_points < 1:
        raise DesignError(
            f"{centre_points} centre points: a definitive screening design needs 1 or more"
        )
    coded = np.asarray(pydoe.definitive_screening_design(k), dtype=float)
    coded = coded[np.abs(coded).sum(axis=1) > 0]
    return _second_order("definitive-screening", factors, coded, centre_points, seed)


def _block_of_three(members: str, k: int) -> Coded:
    coded = np.zeros((8, k))
    coded[:, [int(number) - 1 for number in members]] = corners(3)
    return coded


def _second_order(
    kind: DesignKind, factors: Sequence[Factor], coded: Coded, centre_points: int, seed: int
) -> Design:
    check_names(factors)
    if many := [f.name for f in factors if f.many_categories]:
        raise DesignError(
            f"factor {many[0]}: categorical, so it has no middle and no axial points; leave it out"
        )
    points = np.vstack([coded, np.zeros((centre_points, len(factors)))])
    points = points[np.random.default_rng(seed).permutation(len(points))]
    levels = {f.name: [f.decode(float(x)) for x in points[:, i]] for i, f in enumerate(factors)}
    for factor in factors:
        outside = [level for level in levels[factor.name] if not factor.inside(level)]
        if outside:
            raise DesignError(
                f"factor {factor.name}: the design needs the level {outside[0]:.6g}, which is "
                "outside its domain; take faced axial points, or levels further inside"
            )
    cells = pd.DataFrame(levels)
    cells.insert(0, "run", range(1, len(points) + 1))
    cells["replicate"] = 1
    cells["centre"] = [not point.any() for point in points]
    cells["block"] = 1
    return Design(kind, tuple(factors), cells)
