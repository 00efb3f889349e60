"""What a pilot found, as text."""

from collections.abc import Sequence

from analysis.factors import show
from tasks.languages import Translate
from tasks.study.study_file import PilotFinding

#: Significant digits of a response.
DIGITS = 4


def pilot_as_text(found: Sequence[PilotFinding | str], translate: Translate) -> list[str]:
    """Return where the screen's levels lie, and why, as sentences.

    Parameters
    ----------
    found : of `PilotPart.found`, one per factor. Version 0.1 wrote English sentences, which are
        returned as they are.
    translate : see `tasks.languages.translator`.

    Returns
    -------
    One sentence per factor that the pilot varied, and one for all others.
    """
    varied = [_varied(one, translate) for one in found if isinstance(one, str) or one.figures]
    others = [
        translate("pilot_levels", factor=one.factor, low=show(one.low), high=show(one.high))
        for one in found
        if not isinstance(one, str) and not one.figures
    ]
    return [*varied, *([translate("pilot_others", levels="; ".join(others))] if others else [])]


def _varied(found: PilotFinding | str, translate: Translate) -> str:
    if isinstance(found, str):
        return found
    failed = translate("pilot_failed")
    first, middle, last = (
        failed if figure is None else f"{figure:.{DIGITS}g}" for figure in found.figures
    )
    return translate(
        "pilot_varied",
        factor=found.factor,
        low=show(found.low),
        high=show(found.high),
        at_low=first,
        at_middle=middle,
        at_high=last,
    )
