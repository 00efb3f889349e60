"""A response surface as text."""

from collections.abc import Mapping, Sequence

from analysis.effects.text import number
from analysis.factors import Factor
from analysis.surface.result import Stationary, Surface, Vector


def surface_table(surface: Surface) -> str:
    """Return the table of a surface's terms, in coded units."""
    table = surface.terms[["coefficient", "std_error", "t", "p"]].copy()
    table.index.name = None
    return str(table.to_string(float_format=number, na_rep="-"))


def surface_warnings(surface: Surface, point: Stationary | None, alpha: float) -> list[str]:
    """Return what a reader of a surface must know: lack of fit, a ridge, a far point."""
    lines = []
    lack = float(surface.anova["p"].to_dict().get("lack of fit", float("nan")))
    if lack < alpha:
        lines.append(
            f"the {surface.model}-order model does not fit (lack of fit p = {lack:.2g}): do not "
            "follow it; take a smaller region, or another scale of the response"
        )
    if surface.model == "second" and point is None:
        lines.append("no stationary point: the surface is a ridge that rises; follow it uphill")
    if point is not None:
        lines += _about(point, surface)
    return lines


def _about(point: Stationary, surface: Surface) -> list[str]:
    lines = []
    if not point.inside:
        lines.append(
            f"the {point.kind} lies outside the region that was run (coded radius "
            f"{surface.radius:.2f}): move the region along the steepest ascent"
        )
    if point.ridge:
        names = [_direction(point.eigenvectors[:, i], surface.factors) for i in point.ridge]
        lines.append(
            f"a ridge: along {'; '.join(names)} the response hardly changes, so the best is a line "
            "of levels and the cheapest on it will do"
        )
    return lines


def _direction(vector: Vector, factors: Sequence[Factor]) -> str:
    parts = [f"{x:+.2f} {f.name}" for x, f in zip(vector, factors, strict=True) if abs(x) > 0.1]  # noqa: PLR2004 # a part that shows
    return " ".join(parts)


def surface_as_text(surface: Surface) -> list[str]:
    """Return what the surface says in words, a line each."""
    lines = [f"R^2 = {surface.r_squared:.4f}, {surface.residual_df} residual degrees of freedom"]
    point = surface.stationary
    if point is not None:
        levels: Mapping[str, float] = point.natural
        where = ", ".join(f"{name} = {level:.6g}" for name, level in levels.items())
        lines.append(f"{point.kind} at {where}: {point.predicted:.4f}")
    return [*lines, *surface.warnings]
