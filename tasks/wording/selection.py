"""The choice of a cell as text."""

from typing import Any

import numpy as np

from analysis.factors import cell_name, show
from analysis.search.best_cell import Selection
from tasks.languages import Translate
from tasks.wording.values import cell_as_text


def selection_as_text(selection: Selection, translate: Translate) -> list[str]:
    """Return the best and the chosen cell, and how reliable their figures are, as sentences."""
    if selection.all_collapsed:
        return [nothing_learned_as_text(selection, translate), *_all_equal(selection, translate)]
    if selection.all_equal:
        return _all_equal(selection, translate)
    return [
        _best(selection, translate),
        *_unreliable_cells(selection, translate),
        *_spread(selection, translate),
        _chosen(selection, translate),
        *_edges(selection, translate),
    ]


def nothing_learned_as_text(selection: Selection, translate: Translate) -> str:
    """Return that the networks of all runs learnt nothing, and what to change."""
    runs, best = int(selection.cells["n"].sum()), selection.cells["mean"].max()
    return translate("selection_nothing_learned", runs=runs, mean=f"{best:.4f}")


def _all_equal(selection: Selection, translate: Translate) -> list[str]:
    """Return which cell is chosen if all means are equal, or equal to those of guessing."""
    cells, mean = len(selection.cells), f"{selection.cells['mean'].max():.4f}"
    if not selection.all_equal:
        return [_chosen(selection, translate)]
    text = translate("selection_all_equal", n=cells, mean=mean, cell=cell_name(selection.chosen))
    return [text]


def _best(selection: Selection, translate: Translate) -> str:
    cells = selection.cells
    same = np.logical_and.reduce([cells[name] == x for name, x in selection.best.items()])
    best: Any = cells[same].iloc[0]
    mean, n = f"{best['mean']:.4f}", f"{best['n']:.0f}"
    return translate("selection_best", cell=cell_name(selection.best), mean=mean, n=n)


def _unreliable_cells(selection: Selection, translate: Translate) -> list[str]:
    """Name the cells in which some runs collapsed and others did not."""
    cells = selection.cells
    some = cells[(cells["collapsed"] > 0) & (cells["collapsed"] < cells["n"])]
    names = list(selection.best)
    return [
        translate(
            "selection_unreliable",
            cell=cell_as_text({name: row[name] for name in names}),
            collapsed=f"{row['collapsed']:.0f}",
            n=f"{row['n']:.0f}",
        )
        for row in some.to_dict("records")
    ]


def _spread(selection: Selection, translate: Translate) -> list[str]:
    """Return which cells the spread of the replicates can distinguish."""
    if not selection.error_df:
        return [translate("selection_without_replicates")]
    error, tied = f"{selection.standard_error:.4f}", len(selection.tied)
    sentences = [translate("selection_error", error=error, df=selection.error_df)]
    if tied > 1:
        optimism = f"{selection.optimism:.4f}"
        sentences.append(translate("selection_tied", n=tied, optimism=optimism))
    else:
        sentences.append(translate("selection_distinct"))
    if selection.least_lead:
        sentences.append(translate("selection_least_lead", lead=f"{selection.least_lead:.4f}"))
    return sentences


def _chosen(selection: Selection, translate: Translate) -> str:
    key = "selection_chosen" if selection.chosen != selection.best else "selection_chosen_best"
    return translate(key, cell=cell_name(selection.chosen))


def _edges(selection: Selection, translate: Translate) -> list[str]:
    """Name the factors of which the chosen cell has the lowest or highest level that was tried."""
    ends = [_edge(selection, name, translate) for name in selection.edges]
    return [translate("selection_edge", levels=", ".join(ends))] if ends else []


def _edge(selection: Selection, name: str, translate: Translate) -> str:
    level = selection.chosen[name]
    end = "edge_lowest" if level == selection.cells[name].min() else "edge_highest"
    return translate(end, name=name, level=show(level))
