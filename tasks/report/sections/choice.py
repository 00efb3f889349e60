"""Report section: why this cell was chosen, and not a cheaper one that is as good."""

from typing import Any

from analysis.factors import cell_name
from analysis.search.best_cell import is_cell
from tasks.report.source import ReportSource
from tasks.wording.selection import choice_as_text, lead_as_text
from tasks.wording.values import fixed, whole

#: Cells that the table has at most.
MOST_CELLS = 8


def choice_section(source: ReportSource) -> dict[str, Any]:
    """Return the choice among the cells that are as good as the best.

    Returns
    -------
    ``text``: a list of sentences; ``cells``: the chosen cell, and those that cannot be
    distinguished from the best or are cheaper, best first, each with ``mark`` (``*`` if chosen),
    ``cell``, ``mean``, ``n``, ``multiply_adds``, ``parameters`` and ``why`` as text; ``more``: how
    many the table leaves out, may be empty.
    """
    selection, translate = source.outcome.selection, source.translate
    passed_over = selection.passed_over
    why = [(cell.levels, translate(f"choice_{cell.reason}")) for cell in passed_over]
    compared = [selection.chosen, *selection.tied, *(levels for levels, _ in why)]
    found = [
        row for row in selection.cells.to_dict("records") if any(is_cell(row, c) for c in compared)
    ]
    shown = [
        row
        for i, row in enumerate(found)
        if i < MOST_CELLS or is_cell(row, selection.chosen) or is_cell(row, selection.best)
    ]
    cells = []
    for row in shown:
        chosen = is_cell(row, selection.chosen)
        reasons = [text for levels, text in why if is_cell(row, levels)]
        other = translate("choice_chosen" if chosen else "choice_not_cheaper")
        cells.append(
            {
                "mark": "*" if chosen else "",
                "cell": cell_name({name: row[name] for name in selection.chosen}),
                "mean": fixed(row["mean"]),
                "n": f"{row['n']:.0f}",
                "multiply_adds": whole(row["multiply_adds"]),
                "parameters": whole(row["parameters"]),
                "why": reasons[0] if reasons else other,
            }
        )
    hidden = len(found) - len(shown)
    return {
        "text": [
            *choice_as_text(selection, translate),
            *lead_as_text(source.outcome.lead, translate),
        ],
        "cells": cells,
        "more": translate("choice_more", n=hidden) if hidden else "",
    }
