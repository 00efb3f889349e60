"""Comparing tuners on a table of one's own: what is asked, and the answer in words and figures."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError
from analysis.race_plots import delivered
from analysis.replay import Table
from analysis.space import Cell
from tasks.errors import UserError
from tasks.plan import typed_level
from tasks.racers import SMALLEST_BUDGET, Asked, chosen
from tasks.replays import BUDGETS, Race, race, tuners
from tasks.study import Study, load_study, parse_study
from tasks.tables import read_table

#: Options that a table does not have.
STUDY_ONLY = ("fresh", "target", "export", "data", "per_class", "image_size")


@dataclass(frozen=True)
class Request:
    """What the command line asks to be compared: a study's cells, or a table's.

    Attributes
    ----------
    study, table : one of them is there.
    response, budgets, manual, plots : see ``factorgrid compare --help``.
    repetitions, fresh, tuners, target, export : likewise.
    changes : of the study's ``[data]``.
    """

    study: str | None
    table: Path | None
    response: str | None
    budgets: tuple[int, ...]
    repetitions: int
    fresh: int
    tuners: tuple[str, ...]
    target: float | None
    manual: Path | None
    plots: Path | None
    export: Path | None
    changes: Mapping[str, Any]

    @property
    def asked(self) -> Asked:
        """What is asked of a comparison with real runs."""
        return Asked(self.budgets[0], self.repetitions, self.fresh, self.tuners)


def check_request(given: Mapping[str, Any]) -> Request:
    """Return what is asked for, checked.

    Raises
    ------
    UserError
        If neither or both of a study and a table are named, or an option belongs to the other.
    """
    study, table, export = given["study"], given["table"], given["export"]
    if (study is None) == (table is None):
        raise UserError(
            "compare: name a study, whose runs are trained, or --table FILE, on which they are "
            f"replayed{', not both' if study else ''}"
        )
    for name in ("response",) if study else STUDY_ONLY:
        if given[name] is not None:
            option = f"--{name.replace('_', '-')}"
            there = "a table" if study else "a study"
            raise UserError(f"{option}: only of {there}; leave it out")
    if export and given["budgets"]:
        raise UserError(
            f"--export {export}: writes what was trained before, and trains nothing; leave "
            "--budget out, and compare first"
        )
    if study and not export and len(given["budgets"]) != 1:
        raise UserError(
            "--budget: name one, the runs of each search, as in "
            f"`factorgrid compare {study} --budget 20`"
        )
    repetitions = given["repetitions"]
    changes = {"source": given["data"] and str(given["data"])}
    changes |= {name: given[name] for name in ("per_class", "image_size")}
    return Request(
        study,
        table,
        given["response"],
        given["budgets"],
        (3 if study else 200) if repetitions is None else repetitions,
        2 if given["fresh"] is None else given["fresh"],
        given["tuners"],
        given["target"],
        given["manual"],
        given["plots"],
        export,
        changes,
    )


def study_of(request: Request) -> Study:
    """Read the study, with the manual list in it.

    Raises
    ------
    StudyError
        If it is none.
    UserError
        If the list cannot be read.
    """
    study = load_study(str(request.study), **request.changes)
    if request.manual is None:
        return study
    try:
        rows = pd.read_csv(request.manual).to_dict("records")
        cells = [
            {f.name: typed_level(f, row[f.name]) for f in study.factor_list if f.name in row}
            for row in rows
        ]
    except (OSError, ValueError, StopIteration) as error:
        raise UserError(f"--manual {request.manual}: no list of cells: {error}") from error
    content = study.model_dump(mode="json", exclude_unset=True)
    content["compare"] = {**content.get("compare", {}), "manual": cells}
    return parse_study(content, f"{request.study} with --manual {request.manual}")


def compare_on_table(request: Request) -> Race:
    """Replay every tuner, or those that are named, on a table.

    Raises
    ------
    UserError
        If a file cannot be used, a tuner is not there, or a budget is too small to compare
        anything.
    """
    table = read_table(Path(str(request.table)), request.response)
    asked = tuple(sorted(set(request.budgets))) or BUDGETS
    if asked[0] < SMALLEST_BUDGET or request.repetitions < 1:
        raise UserError(
            f"--budget {asked[0]}, --repetitions {request.repetitions}: a comparison takes a "
            f"budget of {SMALLEST_BUDGET} runs or more, and one repetition or more; raise them"
        )
    entrants, notes = tuners(read_cells(request.manual, table) if request.manual else ())
    return race(
        table,
        chosen(entrants, request.tuners, notes),
        budgets=asked,
        repetitions=request.repetitions,
        processes=os.cpu_count() or 1,
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
