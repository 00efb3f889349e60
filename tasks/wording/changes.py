"""What is expected of one change of the chosen cell, as text."""

from collections.abc import Sequence

from analysis.factors import show
from analysis.runs.response import Response
from analysis.search.changes import Change
from tasks.languages import Translate
from tasks.wording.responses import direction_as_text
from tasks.wording.values import signed


def changes_about(response: Response, translate: Translate) -> list[str]:
    """Return what the differences are, and whether a lower response is better, as sentences."""
    about = translate("changes_text", response=response.name)
    return [about, *direction_as_text(response, translate)]


def changes_as_text(changes: Sequence[Change], translate: Translate) -> list[str]:
    """Return one sentence for each clear change, and one for all others.

    Parameters
    ----------
    changes : of one cell; without any there is no sentence.
    """
    lines = [_clear(change, translate) for change in changes if change.is_clear]
    unclear = [
        f"{change.factor} {show(change.level)} ({signed(change.difference)})"
        for change in changes
        if not change.is_clear
    ]
    return [
        *lines,
        *([translate("changes_unclear", changes=", ".join(unclear))] if unclear else []),
    ]


def _clear(change: Change, translate: Translate) -> str:
    if change.dead:
        levels = ", ".join(map(show, change.dead))
        return translate("changes_dead", factor=change.factor, levels=levels, runs=change.collapsed)
    return translate(
        "changes_clear",
        factor=change.factor,
        new=show(change.level),
        old=show(change.instead_of),
        difference=signed(change.difference),
        low=signed(change.low),
        high=signed(change.high),
    )


def changes_in_short(changes: Sequence[Change], translate: Translate) -> list[str]:
    """Return which factors clearly matter around the cell; nothing without changes."""
    if not changes:
        return []
    clear = _clear_names(changes)
    if not clear:
        return [translate("changes_none")]
    return [translate("changes_of", names=", ".join(clear))]


def _clear_names(changes: Sequence[Change]) -> list[str]:
    return list(dict.fromkeys(change.factor for change in changes if change.is_clear))
