"""Report section: the cells of the refined grid."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.factors import cell_name, show
from analysis.plots.grid import grid_heatmap
from analysis.search.best_cell import Selection
from tasks.languages import Translate
from tasks.report.numbers import aligned, number, plain, same_cell
from tasks.report.render import figure_as_data_url
from tasks.report.source import ReportSource

#: Rows of a table of cells.
MOST_CELLS = 30
#: Cells that are named in a sentence.
NAMED = 6


def grid_section(source: ReportSource) -> dict[str, Any]:
    """Return the values of the template's `grid` section."""
    selection, say = source.outcome.selection, source.say
    names = list(source.study.factors)
    shown = selection.cells.head(MOST_CELLS)
    hidden = len(selection.cells) - len(shown)
    return {
        "text": _grid_words(selection, say),
        "names": names,
        "cells": _cell_rows(shown, names, selection, say),
        "more": say("more_cells", n=hidden) if hidden else "",
        "heatmap": _heatmap(source, names),
    }


def _grid_words(selection: Selection, say: Translate) -> list[str]:
    cell, df = cell_name(selection.chosen), selection.error_df
    edges = ", ".join(f"{name} = {show(selection.chosen[name])}" for name in selection.edges)
    outermost = [say("edge", names=edges)] if edges else []
    if not df:
        return [say("grid_once"), say("chosen_best", cell=cell), *outermost]
    chosen = "chosen_best" if selection.chosen == selection.best else "chosen_text"
    error = number(selection.standard_error)
    return [
        say("grid_text", error=error, df=df),
        _apart(selection, say),
        say("among"),
        " ".join([say(chosen, cell=cell), *outermost]),
    ]


def _apart(selection: Selection, say: Translate) -> str:
    tied, least = len(selection.tied), selection.least_lead
    optimism = number(selection.optimism)
    words = [say("tied_text", n=tied, optimism=optimism) if tied > 1 else say("tied_one")]
    words += [say("lead", lead=number(least))] if least else []
    return " ".join(words)


def _cell_rows(
    cells: pd.DataFrame, names: Sequence[str], selection: Selection, say: Translate
) -> list[dict[str, Any]]:
    rows = cells.to_dict("records")
    levels = zip(
        *(aligned([show(plain(row[name])) for row in rows]) for name in names), strict=True
    )
    return [
        {"levels": own, **_cell_row(row, names, selection, say)}
        for own, row in zip(levels, rows, strict=True)
    ]


def _cell_row(
    row: Mapping[Any, Any], names: Sequence[str], selection: Selection, say: Translate
) -> dict[str, Any]:
    levels = {name: row[name] for name in names}
    fallen = int(row["collapsed"])
    return {
        "n": f"{row['n']:.0f}",
        "mean": number(row["mean"]),
        "sd": number(row["sd"]),
        "seconds": number(row["cost"], 1),
        "mark": "*" if same_cell(levels, selection.chosen) else "",
        "tied": any(same_cell(levels, cell) for cell in selection.tied) and len(selection.tied) > 1,
        "fell": say("fell", n=fallen, of=f"{row['n']:.0f}") if fallen else "",
    }


def _heatmap(source: ReportSource, names: list[str]) -> str:
    """Draw the grid's cells by all of their runs, as the table counts them."""
    cells = source.outcome.grid[names]
    runs = source.execution.runs().merge(cells, on=names)
    if runs[source.study.response].notna().sum() == 0:
        return ""
    return figure_as_data_url(grid_heatmap(runs, source.study.factor_list, source.study.response))
