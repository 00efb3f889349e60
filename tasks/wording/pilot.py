"""What a pilot found, as text."""

from analysis.factors import show
from tasks.languages import Translate
from tasks.study.study_file import PilotFinding

#: Significant digits of a response.
DIGITS = 4


def pilot_finding_as_text(found: PilotFinding | str, translate: Translate) -> str:
    """Return where the screen's levels of one factor lie, and why.

    Parameters
    ----------
    found : of `PilotPart.found`. Version 0.1 wrote English sentences, which are returned as they
        are.
    translate : see `tasks.languages.translator`.
    """
    if isinstance(found, str):
        return found
    values = {"factor": found.factor, "low": show(found.low), "high": show(found.high)}
    if not found.figures:
        return translate("pilot_not_varied", **values)
    failed = translate("pilot_failed")
    first, middle, last = (
        failed if figure is None else f"{figure:.{DIGITS}g}" for figure in found.figures
    )
    return translate("pilot_varied", **values, at_low=first, at_middle=middle, at_high=last)
