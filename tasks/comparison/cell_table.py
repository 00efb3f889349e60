"""Reading tables of trained cells, and lists of cells, from CSV files."""

from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from analysis.comparison.replay import Table
from analysis.errors import AnalysisError, FactorError
from analysis.factors import Factor, Level
from analysis.search.space import Cell, Space
from tasks.errors import UserError
from tasks.study.hyperparameters import KNOWN_SCALES

#: Columns that are used as the response, in this order, if none is named.
RESPONSES = ("val_accuracy", "accuracy")
#: Columns that describe a training and are no factors.
NOT_FACTORS = frozenset(
    {"seed", "replicate", "test_accuracy", "parameters", "train_seconds", "status", "stage"}
)
#: The ratio of highest to lowest level from which a positive factor has a log scale.
LOG_RATIO = 8


def read_cell_table(path: Path, response: str | None = None) -> Table:
    """Read a table: one row per training, one column per factor, the response, and others.

    Every combination of the levels must be there with at least one training.

    Parameters
    ----------
    path : a CSV file.
    response : column of the response, higher is better; by default ``val_accuracy``, or if it is
        missing ``accuracy``.

    Raises
    ------
    UserError
        If the file cannot be read, has no such column, or lacks cells.
    """
    try:
        rows = pd.read_csv(path)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(
            f"--table {path}: cannot be read as CSV: {reason}; name another file"
        ) from error
    found = [name for name in RESPONSES if name in rows]
    name = response or (found[0] if found else RESPONSES[0])
    if name not in rows or not pd.api.types.is_numeric_dtype(rows[name]):
        raise UserError(
            f"--table {path}: no column of numbers {name}; the columns are "
            f"{', '.join(map(str, rows))}; name one with --response"
        )
    return table_from_rows(rows, name, str(path))


def table_from_rows(rows: pd.DataFrame, response: str, name: str) -> Table:
    """Return a table from rows of trainings; see `read_cell_table`.

    Parameters
    ----------
    rows : one row per training.
    response : column of the response.
    name : of the table, for messages.

    Raises
    ------
    UserError
        If a column cannot be a factor, or cells are missing.
    """
    usable = rows[rows[response].notna()]
    factor_names = [
        str(column)
        for column in rows
        if column not in NOT_FACTORS
        and column not in (*RESPONSES, response)
        and len(set(rows[column])) > 1
    ]
    if not factor_names:
        raise UserError(
            f"{name}: no column changes besides {response}, so there is nothing to tune; name a "
            "table with at least two levels of a factor"
        )
    levels = {factor: tuple(sorted(usable[factor].unique().tolist())) for factor in factor_names}
    try:
        factors = tuple(_factor(factor, values) for factor, values in levels.items())
    except FactorError as error:
        raise UserError(f"{name}: {error}") from error
    space = Space(factors, tuple(levels.values()))
    found = {
        space.cell(
            dict(zip(factor_names, cast("tuple[Level, ...]", key), strict=True))
        ): group.to_numpy(float)
        for key, group in usable.groupby(factor_names)[response]
    }
    missing = [space.natural(cell) for cell in space.cells() if cell not in found]
    if missing:
        raise UserError(
            f"{name}: {len(missing)} of {space.n_cells} cells have no {response}, the first is "
            f"{missing[0]}; train them, or remove levels from the table"
        )
    responses = np.full((space.n_cells, max(map(len, found.values()))), np.nan)
    for row, cell in enumerate(space.cells()):
        responses[row, : len(found[cell])] = found[cell]
    return Table(name, space, responses)


def _factor(name: str, levels: tuple[Level, ...]) -> Factor:
    if any(isinstance(level, bool | str) for level in levels):
        if len(levels) > 2:  # noqa: PLR2004 # a categorical factor has two levels
            raise FactorError(f"factor {name}: {len(levels)} categories; remove all but two")
        return Factor(name, levels[0], levels[-1], "categorical")
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
        rows = pd.read_csv(path).to_dict("records")
        return [table.space.cell({str(k): v for k, v in row.items()}) for row in rows]
    except (OSError, UnicodeDecodeError, ValueError, AnalysisError) as error:
        raise UserError(f"--manual {path}: cannot be read as a list of cells: {error}") from error
