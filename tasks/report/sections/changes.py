"""Report section: what is expected of one change of the chosen cell."""

from typing import Any

from analysis.factors import show
from tasks.report.source import ReportSource
from tasks.wording.changes import changes_about, changes_as_text, changes_in_short
from tasks.wording.lengths import ranking_as_text
from tasks.wording.values import signed


def changes_section(source: ReportSource) -> dict[str, Any] | None:
    """Return the changes; None if none is known.

    Returns
    -------
    ``text``: a list of paragraphs; ``rows``: one per change, with ``factor``, ``old``, ``new``,
    ``difference``, ``low``, ``high`` and ``is_clear``.
    """
    outcome, translate = source.outcome, source.translate
    found = outcome.changes
    if not found:
        return None
    about = changes_about(source.study.measured, translate)
    # With effects, the section on these says how both lengths of training rank the cells.
    ranking = ranking_as_text(outcome.lengths, translate) if outcome.effects is None else []
    rows = [
        {
            "factor": change.factor,
            "old": show(change.instead_of),
            "new": show(change.level),
            "difference": signed(change.difference),
            "low": signed(change.low),
            "high": signed(change.high),
            "is_clear": change.is_clear,
        }
        for change in found
    ]
    dead = changes_as_text([change for change in found if change.dead], translate)
    text = [*about, *ranking, *changes_in_short(found, translate), *dead]
    return {"text": text, "rows": rows}
