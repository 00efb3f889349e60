"""The cautions of a response surface: lack of fit, a ridge, an optimum outside the region."""

from collections.abc import Sequence
from typing import Any

from analysis.effects.caution import Caution
from analysis.effects.least_squares import FITTED, table_value
from analysis.surface.result import WITH_SQUARES, Stationary, Surface

#: A smaller component of a direction is not named.
SMALLEST_COMPONENT = 0.1
#: A ridge is level if the response changes along it by less than this share of its range.
LEVEL = 0.1


def surface_warnings(
    surface: Surface, point: Stationary | None, alpha: float, biased: Sequence[str] = ()
) -> tuple[Caution, ...]:
    """Return one caution for each reason to trust a surface less.

    Parameters
    ----------
    surface : the fitted surface.
    point : its stationary point, or None.
    alpha : a lack of fit below this p-value is a caution.
    biased : factors whose main effects contain interactions that the model leaves out.

    Returns
    -------
    Cautions of these kinds, with their details:

    - ``interactions_left_out``: the runs cannot distinguish them from other terms; their parts are
      in quadratic terms, and in the main effects of ``names`` if there are any
      (``interactions_in_main_effects``).
    - ``no_error``: no degrees of freedom are left to test against.
    - ``surface_lack_of_fit``: of the ``model``, with its ``p``.
    - ``rising_ridge``: a second-order surface without a stationary point.
    - ``optimum_outside``: the stationary point of this ``kind`` is farther from the centre than
      the farthest run, whose coded distance is ``radius``.
    - ``saddle``: the stationary point is a saddle within the region of the runs.
    - ``ridge``: ``directions`` in which the response changes very little, each a dict from factor
      to coded component.
    - ``ridge_with_slope``: ``directions`` in which it hardly bends, but rises or falls, and the
      ``changes`` of the response from one end of the region to the other.
    """
    found = [_left_out(surface, biased), _no_error(surface), _lack_of_fit(surface, alpha)]
    if surface.model in WITH_SQUARES and point is None:
        found.append(Caution("rising_ridge"))
    if point is not None:
        found += [_optimum_outside(point, surface), _saddle(point), *_ridges(point, surface)]
    return tuple(caution for caution in found if caution is not None)


def _left_out(surface: Surface, biased: Sequence[str]) -> Caution | None:
    if surface.model != "quadratic":
        return None
    if biased:
        return Caution("interactions_in_main_effects", {"names": ", ".join(biased)})
    return Caution("interactions_left_out")


def _no_error(surface: Surface) -> Caution | None:
    return None if surface.residual_df else Caution("no_error")


def _lack_of_fit(surface: Surface, alpha: float) -> Caution | None:
    p = table_value(surface.anova, "lack of fit", "p")
    if not p < alpha:
        return None
    return Caution("surface_lack_of_fit", {"model": surface.model, "p": p})


def _optimum_outside(point: Stationary, surface: Surface) -> Caution | None:
    if point.inside:
        return None
    return Caution("optimum_outside", {"kind": point.kind, "radius": surface.radius})


def _saddle(point: Stationary) -> Caution | None:
    return Caution("saddle") if point.kind == "saddle" and point.inside else None


def _ridges(point: Stationary, surface: Surface) -> list[Caution]:
    """Return a caution of the directions that are level, and one of those with a slope."""
    fitted = surface.runs[FITTED]
    # Through the centre, because the stationary point of a ridge may be far away.
    slopes = surface.gradient @ point.eigenvectors
    changes = {axis: 2 * surface.radius * abs(float(slopes[axis])) for axis in point.ridge}
    least = LEVEL * float(fitted.max() - fitted.min())
    level = [axis for axis in point.ridge if changes[axis] <= least]
    sloping = [axis for axis in point.ridge if changes[axis] > least]
    found = []
    if level:
        found.append(Caution("ridge", {"directions": _directions(point, level, surface)}))
    if sloping:
        details: dict[str, Any] = {"directions": _directions(point, sloping, surface)}
        details["changes"] = tuple(changes[axis] for axis in sloping)
        found.append(Caution("ridge_with_slope", details))
    return found


def _directions(
    point: Stationary, axes: Sequence[int], surface: Surface
) -> tuple[dict[str, float], ...]:
    return tuple(_direction(point, axis, surface) for axis in axes)


def _direction(point: Stationary, axis: int, surface: Surface) -> dict[str, float]:
    components = zip(surface.factors, point.eigenvectors[:, axis], strict=True)
    return {f.name: float(x) for f, x in components if abs(x) > SMALLEST_COMPONENT}
