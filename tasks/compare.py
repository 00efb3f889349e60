"""Comparing tuners on a table of one's own: what is asked, and the answer in words and figures."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError
from analysis.race_plots import delivered
from analysis.replay import Table
from analysis.space import Cell
from tasks.errors import UserError
from tasks.replays import BUDGETS, Race, race, tuners
from tasks.tables import read_table


def compare_on_table(
    path: Path,
    *,
    response: str | None = None,
    budgets: Sequence[int] = (),
    repetitions: int = 200,
    listed: Path | None = None,
) -> Race:
    """Replay every tuner on a table.

    Parameters
    ----------
    path : CSV, see `tasks.tables.read_table`.
    response : its column; higher is better.
    budgets : in runs; 8, 12, 20 and 40 by default.
    repetitions : of each tuner.
    listed : CSV of cells, a column a factor, in the order in which a person would try them.

    Raises
    ------
    UserError
        If a file cannot be used, or a budget is too small to compare anything.
    """
    table = read_table(path, response)
    asked = tuple(sorted(set(budgets))) or BUDGETS
    if asked[0] < 4 or repetitions < 1:  # noqa: PLR2004 # two to look with, two to confirm
        raise UserError(
            f"--budget {asked[0]}, --repetitions {repetitions}: a comparison takes a budget of 4 "
            "runs or more, and one repetition or more; raise them"
        )
    entrants, notes = tuners(read_cells(listed, table) if listed else ())
    processes = os.cpu_count() or 1
    return race(
        table,
        entrants,
        budgets=asked,
        repetitions=repetitions,
        processes=processes,
        notes=notes,
    )


def read_cells(path: Path, table: Table) -> list[Cell]:
    """Read a list of cells, each the table's cell nearest to it.

    Raises
    ------
    UserError
        If it cannot be read, or a factor has no column.
    """
    try:
        rows = pd.read_csv(path).to_dict("records")
        return [table.space.cell({str(k): v for k, v in row.items()}) for row in rows]
    except (OSError, UnicodeDecodeError, ValueError, AnalysisError) as error:
        raise UserError(f"--manual {path}: no list of cells: {error}") from error


def save_figure(found: Race, folder: Path) -> Path:
    """Write the figure of a comparison, and return its path.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    path = folder / "compare.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        delivered(found.summary(), float(found.table.truth.max())).savefig(path, dpi=120)
    except OSError as error:
        raise UserError(f"--plots {folder}: {error.strerror}; name another folder") from error
    return path


def to_json(found: Race) -> dict[str, Any]:
    """Return what every tuner delivered, plain JSON types."""
    truth = found.table.truth
    return {
        "table": found.table.name,
        "cells": found.table.space.n_cells,
        "best": float(truth.max()),
        "tuners": found.summary().to_dict("records"),
        "notes": list(found.notes),
    }


def in_words(found: Race) -> str:
    """Return a table for people: for each tuner and budget the median and the 10th percentile."""
    summary = found.summary()
    budgets = sorted(summary["budget"].unique())
    width = max(map(len, summary["tuner"]))
    n = int(summary["n"].min())
    best = found.table.truth.max()
    lines = [
        f"{found.table.name}: {found.table.space.n_cells} cells, the best has {best:.4f}.",
        f"True mean of the cell that is delivered, median and 10th percentile of n = {n}:",
        f"{'runs':{width}}" + "".join(f"{b:>18}" for b in budgets),
    ]
    for name, own in summary.groupby("tuner", sort=False):
        rows = own.set_index("budget")
        figures = [f"{rows['median'][b]:.4f} {rows['tenth'][b]:.4f}" for b in budgets]
        lines.append(f"{name:{width}}" + "".join(f"{text:>18}" for text in figures))
    return "\n".join([*lines, *found.notes])
