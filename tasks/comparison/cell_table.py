"""Reading tables of trained cells, and lists of cells, from CSV files."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from analysis.comparison.replay import Table
from analysis.errors import AnalysisError
from analysis.factors import Factor, Level, cell_name
from analysis.runs.bookkeeping import not_factors, with_statuses
from analysis.runs.columns import (
    left_out_columns,
    number_or_nan,
    response_column,
    spellings,
    typed_column,
)
from analysis.runs.level_order import ordered_levels
from analysis.search.space import Cell, Space
from tasks.errors import UserError
from tasks.study.hyperparameters import KNOWN_SCALES
from tasks.tables.read_csv import CsvTable, read_csv
from tasks.tables.reading import Reading

#: Columns that are used as the response, in this order, if none is named.
RESPONSES = ("val_accuracy", "accuracy")
#: Further columns of the tables that `factorgrid compare --export` writes; no factors.
MEASURED = frozenset({"test_accuracy", "parameters", "multiply_adds"})
#: The ratio of highest to lowest level from which a positive factor has a log scale.
LOG_RATIO = 8


def read_cell_table(path: Path, response: str | None = None) -> tuple[Table, Reading]:
    """Read a table: one row per training, one column per factor, the response, and others.

    Every combination of the levels must be there with at least one training.

    Parameters
    ----------
    path : a CSV file.
    response : column of the response, higher is better; by default ``val_accuracy``, or if it is
        missing ``accuracy``.

    Returns
    -------
    The table, and how the file was read.

    Raises
    ------
    UserError
        If the file cannot be read, has no such column, or lacks cells.
    """
    csv = read_csv(path)
    found = [name for name in RESPONSES if name in csv.rows]
    name = response or (found[0] if found else RESPONSES[0])
    try:
        return _cell_table(csv, name, str(path))
    except AnalysisError as error:
        raise UserError(f"{path}: {error}") from error


def _cell_table(csv: CsvTable, response: str, name: str) -> tuple[Table, Reading]:
    if response in csv.rows:
        rows, statuses = with_statuses(csv.rows, response)
        values = response_column(rows[response]).map(number_or_nan)
        finished = np.isfinite(values)
    if response not in csv.rows or not finished.any():
        raise UserError(
            f"--table {name}: no column of numbers {response}; the columns are "
            f"{', '.join(map(str, csv.rows))}; name one with --response"
        )
    rows = rows.assign(**{response: values.where(finished)})
    names = _factor_names(rows, response)
    if not names:
        raise UserError(
            f"{name}: no column changes besides {response}, so there is nothing to tune; name a "
            "table with at least two levels of a factor"
        )
    typed = rows.assign(**{factor: typed_column(rows[factor]) for factor in names})
    ordered = {f: ordered_levels(typed[f].dropna().unique().tolist()) for f in names}
    levels = {factor: tuple(found) for factor, (found, _) in ordered.items()}
    texts = [factor for factor, found in levels.items() if isinstance(found[0], str)]
    reading = Reading(
        csv,
        levels,
        {factor: ordered[factor][1] for factor in texts},
        {factor: same for factor in texts if (same := spellings(rows[factor]))},
        left_out_columns(rows, response, [*names, statuses.column]),
        statuses,
        int((~finished).sum()),
    )
    return _table(typed[finished], levels, response, name), reading


def _factor_names(rows: pd.DataFrame, response: str) -> list[str]:
    """Return the columns that vary, and whose values repeat as those of a full table do."""
    passed_over = {*not_factors(rows), *MEASURED, *RESPONSES, response}
    varied = [
        c for c in map(str, rows) if c not in passed_over and len(rows[c].dropna().unique()) > 1
    ]
    repeated = [name for name in varied if 2 * rows[name].nunique() <= len(rows)]
    return repeated or varied


def _table(
    rows: pd.DataFrame, levels: Mapping[str, tuple[Level, ...]], response: str, name: str
) -> Table:
    space = Space(tuple(map(_factor, levels, levels.values())), tuple(levels.values()))
    found = {
        space.cell(dict(zip(levels, cast("tuple[Level, ...]", key), strict=True))): group.to_numpy(
            float
        )
        for key, group in rows.groupby(list(levels))[response]
    }
    missing = [space.natural(cell) for cell in space.cells() if cell not in found]
    if missing:
        raise UserError(
            f"{name}: {len(missing)} of {space.n_cells} cells have no {response}, the first is "
            f"{cell_name(missing[0])}; train them, or remove levels from the table"
        )
    responses = np.full((space.n_cells, max(map(len, found.values()))), np.nan)
    for row, cell in enumerate(space.cells()):
        responses[row, : len(found[cell])] = found[cell]
    return Table(name, space, responses)


def _factor(name: str, levels: tuple[Level, ...]) -> Factor:
    if any(isinstance(level, bool | str) for level in levels):
        values = levels if len(levels) > 2 else ()  # noqa: PLR2004 # two are low and high
        return Factor(name, levels[0], levels[-1], "categorical", values=values)
    known, _ = KNOWN_SCALES.get(name, (None, None))
    low, high = float(levels[0]), float(levels[-1])
    whole = all(float(level).is_integer() for level in levels)
    wide = low > 0 and high / low >= LOG_RATIO
    scale = known or ("log" if wide else "integer" if whole else "linear")
    return Factor(name, levels[0], levels[-1], scale)  # type: ignore[arg-type] # a Literal by construction


def read_cells(path: Path, table: Table) -> list[Cell]:
    """Read a list of cells; each one becomes the nearest cell of the table.

    Raises
    ------
    UserError
        If the file cannot be read, or a factor has no column.
    """
    try:
        rows = read_csv(path, columns=1).rows.to_dict("records")
        return [table.space.cell({str(k): v for k, v in row.items()}) for row in rows]
    except (ValueError, AnalysisError) as error:
        raise UserError(f"--manual {path}: cannot be read as a list of cells: {error}") from error
