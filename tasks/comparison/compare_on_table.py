"""A comparison on a table of trained cells: carried out, and shown as text, JSON and a figure."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.comparison.tuners import DEFAULT_TUNER
from analysis.plots.comparison import delivered
from analysis.runs.direction import lower_is_better
from tasks.comparison.cell_table import read_cell_table, read_cells
from tasks.comparison.entrants import available_tuners, select_tuners
from tasks.comparison.optuna_tuners import unavailable_as_text
from tasks.comparison.replay import ReplayResult, replay_tuners
from tasks.comparison.request import TableRequest
from tasks.errors import UserError
from tasks.figures import save_figure
from tasks.languages import translator
from tasks.tables.reading import reading_as_json
from tasks.wording.reading import reading_as_text
from tasks.wording.terminal import wrapped


def compare_on_table(request: TableRequest) -> ReplayResult:
    """Replay the requested tuners on a table, on all processors.

    Raises
    ------
    UserError
        If a file cannot be used, or a tuner is not available.
    """
    table, reading = read_cell_table(request.table, request.response)
    about: tuple[str, ...] = ()
    if request.response and lower_is_better(request.response):
        table = replace(table, responses=-table.responses)
        about = (f"a lower {request.response} is taken to be better: every figure is its negative",)
    manual = read_cells(request.manual, table) if request.manual else ()
    tuners, unavailable = available_tuners(manual)
    notes = [unavailable_as_text(each, translator("en")) for each in unavailable]
    replayed = replay_tuners(
        table,
        select_tuners(tuners, request.tuners, unavailable),
        budgets=request.budgets,
        repetitions=request.repetitions,
        processes=os.cpu_count() or 1,
        notes=(*about, *notes),
    )
    return replace(replayed, reading=reading)


def replay_as_json(result: ReplayResult) -> dict[str, Any]:
    """Return the result as plain JSON types, one entry of ``tuners`` per tuner and budget.

    ``default`` of an entry is true for the tuner with the rules of the default search.
    """
    truth = result.table.truth
    return {
        **({"read_as": reading_as_json(result.reading)} if result.reading else {}),
        "table": result.table.name,
        "cells": result.table.space.n_cells,
        "best": float(truth.max()),
        "tuners": [
            {**row, "default": row["tuner"] == DEFAULT_TUNER}
            for row in result.summary().to_dict("records")
        ],
        "notes": list(result.notes),
    }


def replay_as_text(result: ReplayResult) -> str:
    """Return the result as a table for a terminal: median and 10th percentile per budget."""
    summary = result.summary()
    budgets = sorted(summary["budget"].unique())
    width = max(map(len, summary["tuner"]))
    table, best, n = result.table, result.table.truth.max(), int(summary["n"].min())
    reading = reading_as_text(result.reading, translator("en")) if result.reading else ""
    lines = [
        f"{table.name}: {table.space.n_cells} cells, true mean of the best {best:.4f}.",
        *([wrapped(reading)] if reading else []),
        f"True mean of the delivered cell, median and 10th percentile of n = {n} repetitions:",
        f"{'runs':{width}}" + "".join(f"{budget:>18}" for budget in budgets),
    ]
    for name, rows in summary.groupby("tuner", sort=False):
        at = rows.set_index("budget")
        cells = [f"{at['median'][budget]:.4f} {at['tenth'][budget]:.4f}" for budget in budgets]
        lines.append(f"{name:{width}}" + "".join(f"{text:>18}" for text in cells))
    return "\n".join([*lines, *result.notes])


def save_replay_figure(result: ReplayResult, folder: Path) -> Path:
    """Write the figure of the result into a folder, and return its path.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    path = folder / "compare.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        best = float(result.table.truth.max())
        save_figure(delivered(result.summary(), best), path, dpi=120)
    except OSError as error:
        raise UserError(f"--plots {folder}: {error.strerror}; name another folder") from error
    return path
