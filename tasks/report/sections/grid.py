"""Report section: all trained cells."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.plots.grid import grid_heatmap, is_grid
from analysis.search.best_cell import Selection, is_cell
from tasks.languages import Translate
from tasks.report.source import ReportSource
from tasks.report.svg import figure_for_page
from tasks.wording.responses import front_as_text, front_columns, second_effects_as_text
from tasks.wording.selection import cells_as_text, shown_cells
from tasks.wording.values import aligned, fixed, level_as_text, whole


def grid_section(source: ReportSource) -> dict[str, Any]:
    """Return the cells.

    Returns
    -------
    ``text``: a list of paragraphs; ``names``: of the factors; ``cells``: one row per cell, best
    first, see `_cell`; ``more``: how many cells the table leaves out, may be empty; ``heatmap``:
    of the refined grid as SVG elements, empty if its cells are no grid; ``second``: see `_second`.
    """
    selection, translate = source.outcome.selection, source.translate
    names = list(source.study.factors)
    shown = shown_cells(selection)
    hidden = len(selection.cells) - len(shown)
    return {
        "text": [
            " ".join(cells_as_text(selection, translate)),
            translate("grid_text"),
        ],
        "names": names,
        "cells": _cells(shown, names, selection, translate),
        "more": translate("more_cells", n=hidden) if hidden else "",
        "heatmap": _heatmap(source),
        "second": _second(source),
    }


def _cells(
    cells: pd.DataFrame, names: Sequence[str], selection: Selection, translate: Translate
) -> list[dict[str, Any]]:
    rows = cells.to_dict("records")
    columns = [aligned([level_as_text(row[name]) for row in rows]) for name in names]
    return [
        {"levels": levels, **_cell(row, names, selection, translate)}
        for levels, row in zip(zip(*columns, strict=True), rows, strict=True)
    ]


def _cell(
    row: Mapping[Any, Any], names: Sequence[str], selection: Selection, translate: Translate
) -> dict[str, Any]:
    """Return one row of the table.

    ``n``, ``mean``, ``sd``, ``multiply_adds``, ``parameters`` and ``seconds`` as text; ``mark``:
    ``*`` if chosen; ``tied``: whether the cell cannot be distinguished from the best;
    ``collapsed``: how many of its runs collapsed, empty if none.
    """
    levels = {name: row[name] for name in names}
    collapsed, n = int(row["collapsed"]), f"{row['n']:.0f}"
    tied = selection.tied if len(selection.tied) > 1 else ()
    return {
        "n": n,
        "mean": fixed(row["mean"]),
        "sd": fixed(row["sd"]),
        "multiply_adds": whole(row["multiply_adds"]),
        "parameters": whole(row["parameters"]),
        "seconds": fixed(row["train_seconds"], 1),
        "mark": "*" if is_cell(levels, selection.chosen) else "",
        "tied": any(is_cell(levels, cell) for cell in tied),
        "collapsed": translate("cell_collapsed", n=collapsed, of=n) if collapsed else "",
    }


def _second(source: ReportSource) -> dict[str, Any] | None:
    """Return ``title``, ``text``, ``names`` and ``rows`` of the front; None if there is none."""
    found, translate = source.outcome.second, source.translate
    if found is None:
        return None
    columns = front_columns(found, translate)
    return {
        "title": translate("second_title", second=translate(f"second_{found.second}")),
        "text": [second_effects_as_text(found, translate), front_as_text(found, translate)],
        "names": list(columns) if len(found.front) else [],
        "rows": [list(row) for row in zip(*columns.values(), strict=True)],
    }


def _heatmap(source: ReportSource) -> str:
    """Draw the cells of the refined grid by all of their runs, as the table counts them."""
    study = source.study
    runs = source.outcome.grid_runs(source.runs)
    factors, response, say = study.factor_list, study.response, source.translate
    if not is_grid(runs, factors, response):
        return ""
    return figure_for_page(
        lambda width: grid_heatmap(runs, factors, response, say, width), "heatmap", say("heatmap")
    )
