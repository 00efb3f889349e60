"""A response surface as text."""

from analysis.surface.result import Surface
from tasks.languages import Translate
from tasks.wording.cautions import caution_as_text
from tasks.wording.values import table_number


def surface_table(surface: Surface) -> str:
    """Return the table of a surface's terms, in coded units."""
    table = surface.terms[["coefficient", "std_error", "t", "p"]].copy()
    table.index.name = None
    return str(table.to_string(float_format=table_number, na_rep="-"))


def surface_as_text(surface: Surface, translate: Translate) -> list[str]:
    """Return how well a surface fits, its stationary point and its cautions, as sentences."""
    r2, df, runs = f"{surface.r_squared:.4f}", surface.residual_df, len(surface.runs)
    sentences = [f"{translate('fit', r2=r2, df=df, runs=runs)}."]
    point = surface.stationary
    if point is not None:
        levels = ", ".join(f"{name} = {level:.6g}" for name, level in point.natural.items())
        kind, predicted = translate(f"point_{point.kind}"), f"{point.predicted:.4f}"
        sentences.append(
            translate("stationary_point", kind=kind, levels=levels, predicted=predicted)
        )
    return [*sentences, *(caution_as_text(c, translate) for c in surface.warnings)]
