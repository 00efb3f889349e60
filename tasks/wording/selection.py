"""The choice of a cell as text: each sentence is built from the numbers that it is about."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.factors import cell_name, show
from analysis.search.best_cell import COSTS, PassedOver, Pick, Selection
from analysis.search.lead import Lead
from tasks.languages import Translate
from tasks.wording.responses import second_as_text
from tasks.wording.values import cell_as_text, listed, percent

#: Rows of a table of cells; the best, the chosen and the tied cells are shown beyond them.
MOST_CELLS = 30
#: Cells that a sentence names; the others are counted.
MOST_NAMED = 3


def selection_as_text(selection: Selection, translate: Translate) -> list[str]:
    """Return the best and the chosen cell, and how reliable their figures are, as sentences."""
    return [*cells_as_text(selection, translate), *choice_as_text(selection, translate)]


def cells_as_text(selection: Selection, translate: Translate) -> list[str]:
    """Return the best cell, and which cells can be distinguished from it, as sentences."""
    if selection.all_collapsed:
        first = [nothing_learned_as_text(selection, translate), *_all_equal(selection, translate)]
    elif selection.all_equal:
        first = _all_equal(selection, translate)
    else:
        first = [_best(selection, translate)]
    spread = not selection.all_collapsed and not selection.all_equal
    return [
        *first,
        *_left_out(selection, translate),
        *_unreliable_cells(selection, translate),
        *(_spread(selection, translate) if spread else []),
    ]


def choice_as_text(selection: Selection, translate: Translate) -> list[str]:
    """Return the chosen cell, and the cheaper ones that were not chosen, as sentences."""
    learned = not selection.all_collapsed
    return [
        _chosen(selection, translate),
        *_passed_over(selection, translate),
        *(_edges(selection, translate) if learned else []),
    ]


def lead_as_text(lead: Lead | None, translate: Translate) -> list[str]:
    """Return by how much the chosen cell leads, over seeds and over pictures, as sentences.

    Parameters
    ----------
    lead : None if it is not known; there is no sentence then.
    """
    if lead is None:
        return []
    size, other = f"{abs(lead.size):.4f}", cell_as_text(lead.other)
    key = "equal" if float(size) == 0 else "ahead" if lead.size > 0 else "behind"
    n = f"{lead.n_pictures:,}"
    if math.isnan(lead.both):
        error = translate("lead_pictures", n=n, pictures=f"{lead.pictures:.4f}")
    else:
        error = translate(
            "lead_both",
            n=n,
            seeds=f"{lead.seeds:.4f}",
            both=f"{lead.both:.4f}",
            confidence=percent(1 - lead.alpha),
            low=f"{lead.low:+.4f}",
            high=f"{lead.high:+.4f}",
        )
    return [f"{translate(f'lead_{key}', size=size, other=other)} {error}"]


def nothing_learned_as_text(selection: Selection, translate: Translate) -> str:
    """Return that the networks of all runs learnt nothing, and what to change."""
    runs, best = int(selection.cells["n"].sum()), selection.best_mean
    return translate("selection_nothing_learned", runs=runs, mean=f"{best:.4f}")


def shown_cells(selection: Selection) -> pd.DataFrame:
    """Return the rows of a table of cells: the first ones, and those that the text speaks of."""
    cells = selection.cells
    spoken_of = [selection.best, selection.chosen, *selection.tied[:MOST_CELLS]]
    labels = {selection.row(levels).name for levels in spoken_of}
    return cells[(cells.index < MOST_CELLS) | cells.index.isin(labels)]


def _all_equal(selection: Selection, translate: Translate) -> list[str]:
    """Return that all means are equal, if they are."""
    if not selection.all_equal:
        return []
    cells, mean = len(selection.cells), f"{selection.best_mean:.4f}"
    return [translate("selection_all_equal", n=cells, mean=mean)]


def _best(selection: Selection, translate: Translate) -> str:
    best, candidates = selection.row(selection.best), selection.cells["left_out"].eq("").sum()
    figures = {
        "cell": cell_name(selection.best),
        "mean": f"{best['mean']:.4f}",
        "n": f"{best['n']:.0f}",
    }
    if candidates == len(selection.cells):
        return translate("selection_best", **figures)
    return translate("selection_best_candidate", candidates=candidates, **figures)


def _left_out(selection: Selection, translate: Translate) -> list[str]:
    """Return how many cells cannot be chosen, why, and the best of them, for each reason."""
    sentences = []
    for reason in ("collapsed", "not_confirmed", "over_limit"):
        cells = selection.cells[selection.cells["left_out"].eq(reason)]
        if len(cells):
            row: Any = cells.iloc[0]
            cell, mean = _cell(selection, row), f"{row['mean']:.4f}"
            n = f"{row['n']:.0f}"
            text = translate(f"selection_left_out_{reason}", count=len(cells))
            sentences.append(f"{text} {translate('selection_left_out', cell=cell, mean=mean, n=n)}")
    return sentences


def _cell(selection: Selection, row: Any) -> str:
    return cell_as_text({name: row[name] for name in selection.best})


def _unreliable_cells(selection: Selection, translate: Translate) -> list[str]:
    """Name the cells in which some runs collapsed and others did not."""
    cells = selection.cells
    some = cells[(cells["collapsed"] > 0) & (cells["collapsed"] < cells["n"])]
    return [
        translate(
            "selection_unreliable",
            cell=_cell(selection, row),
            collapsed=f"{row['collapsed']:.0f}",
            n=f"{row['n']:.0f}",
        )
        for row in some.to_dict("records")
    ]


def _spread(selection: Selection, translate: Translate) -> list[str]:
    """Return which cells the spread of the replicates can distinguish."""
    if not selection.error_df:
        return [translate("selection_without_replicates")]
    cells = selection.cells
    candidates, tied = int(cells["left_out"].eq("").sum()), len(selection.tied)
    error = f"{selection.standard_error:.4f}"
    sentences = [translate("selection_error", error=error, df=selection.error_df)]
    if tied > 1:
        optimism = f"{selection.optimism:.4f}"
        sentences.append(
            translate("selection_tied", n=tied, candidates=candidates, optimism=optimism)
        )
    elif candidates > 1:
        every = candidates == len(cells)
        key = "selection_distinct" if every else "selection_distinct_candidates"
        sentences.append(translate(key))
    unconfirmed = [cell_as_text(cell) for cell in selection.tied_unconfirmed]
    if unconfirmed:
        named = listed(_first_ones(unconfirmed, translate), translate)
        sentences.append(translate("selection_tied_unconfirmed", n=len(unconfirmed), cells=named))
    if selection.least_lead and candidates > 1:
        sentences.append(translate("selection_least_lead", lead=f"{selection.least_lead:.4f}"))
    return sentences


def _chosen(selection: Selection, translate: Translate) -> str:
    """Return which cell is chosen, and by which comparison."""
    near, cell = len(selection.near), cell_name(selection.chosen)
    if selection.pick is not None:
        return picked_as_text(selection, selection.pick, translate)
    if near < 2:  # noqa: PLR2004 # one cell has nothing to be compared with
        return translate("selection_chosen_best", cell=cell)
    group = translate("near_by_error" if selection.error_df else "near_by_mean", n=near)
    if not selection.compared:
        return translate("selection_chosen_without_cost", cell=cell, group=group)
    key = "selection_chosen" if _costs_differ(selection) else "selection_chosen_equal_cost"
    cost = cost_as_text(selection.row(selection.chosen), selection.compared, translate)
    return translate(key, cell=cell, group=group, cost=cost)


def picked_as_text(selection: Selection, pick: Pick, translate: Translate) -> str:
    """Return which cell the study's rule chose, and its two responses."""
    row = selection.row(selection.chosen)
    key = "within" if pick.within is not None else "at_most"
    return translate(
        f"selection_picked_{key}" if selection.pick_met else "selection_picked_none",
        cell=cell_name(selection.chosen),
        limit=show(pick.within or pick.at_most or 0),
        second=translate(f"second_{pick.second}"),
        size=second_as_text(row[pick.second]),
        mean=f"{row['mean']:.4f}",
        best=f"{selection.row(selection.best)['mean']:.4f}",
    )


def _costs_differ(selection: Selection) -> bool:
    """Whether the chosen cell is cheaper than another one that it was compared with."""
    rows = [selection.row(levels) for levels in selection.near]
    return len({tuple(row[name] for name in selection.compared) for row in rows}) > 1


def cost_as_text(row: Any, costs: Sequence[str], translate: Translate) -> str:
    """Return what a cell's network costs, as in ``1,234 multiply-adds, 56 parameters``."""
    return ", ".join(
        translate(f"cost_{name}", n=f"{row[name]:,.0f}") for name in COSTS if name in costs
    )


def _passed_over(selection: Selection, translate: Translate) -> list[str]:
    """Name the cheaper cells that are as good as the best and were not chosen, and say why."""
    by_reason: dict[str, list[PassedOver]] = {}
    for cell in selection.passed_over:
        by_reason.setdefault(cell.reason, []).append(cell)
    return [
        translate(f"passed_over_{reason}", cells=_named(cells, selection, translate))
        for reason, cells in by_reason.items()
    ]


def _named(cells: Sequence[PassedOver], selection: Selection, translate: Translate) -> str:
    texts = []
    for cell in cells:
        row = selection.row(cell.levels)
        cost = cost_as_text(row, selection.compared, translate)
        mean = translate("cell_mean", mean=f"{row['mean']:.4f}")
        texts.append(f"{cell_name(cell.levels)} ({mean}, {cost})")
    return listed(_first_ones(texts, translate), translate)


def _first_ones(texts: Sequence[str], translate: Translate) -> list[str]:
    """Return the first texts, and how many more there are."""
    more = len(texts) - MOST_NAMED
    return [*texts[:MOST_NAMED], *([translate("and_more", n=more)] if more > 0 else [])]


def _edges(selection: Selection, translate: Translate) -> list[str]:
    """Name the factors of which the chosen cell has the lowest or highest level that was tried."""
    ends = [
        translate(f"edge_{end}", name=name, level=show(selection.chosen[name]))
        for name, end in zip(selection.edges, selection.ends, strict=True)
    ]
    return [translate("selection_edge", levels=", ".join(ends))] if ends else []
