"""Tables of trained cells, from a file: what a replay answers from."""

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


#: Responses that are looked for, in this order, where none is named.
RESPONSES = ("val_accuracy", "accuracy")
#: What a table's other columns may say of a run.
NOTES = frozenset(
    {"seed", "replicate", "test_accuracy", "parameters", "train_seconds", "status", "stage"}
)
#: High over low from which evenly spaced ratios are a log scale.
RATIO = 8


def read_cell_table(path: Path, response: str | None = None) -> Table:
    """Read a table: a row a training, a column a factor, the response, and ``seed`` or others.

    Every combination of the levels must be there, each with one training at least.

    Parameters
    ----------
    path : a CSV file.
    response : its column, higher is better; ``val_accuracy`` or ``accuracy`` where not named.

    Raises
    ------
    UserError
        If it cannot be read, has no such column, or lacks cells.
    """
    try:
        rows = pd.read_csv(path)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        words = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"--table {path}: cannot be read as CSV: {words}; name another") from error
    known = [name for name in RESPONSES if name in rows]
    name = response or (known[0] if known else RESPONSES[0])
    if name not in rows or not pd.api.types.is_numeric_dtype(rows[name]):
        raise UserError(
            f"--table {path}: no column of numbers {name}; there are "
            f"{', '.join(map(str, rows))}; name one with --response"
        )
    return table_of(rows, name, str(path))


def table_of(rows: pd.DataFrame, response: str, where: str) -> Table:
    """Return a table from a row a training; see `read_table`.

    Raises
    ------
    UserError
        If a column is no factor, or cells are missing.
    """
    usable = rows[rows[response].notna()]
    names = [
        str(c)
        for c in rows
        if c not in NOTES and c not in (*RESPONSES, response) and len(set(rows[c])) > 1
    ]
    if not names:
        raise UserError(f"{where}: no column changes besides {response}: there is nothing to tune")
    levels = {name: tuple(sorted(usable[name].unique().tolist())) for name in names}
    try:
        factors = tuple(_factor(name, own) for name, own in levels.items())
    except FactorError as error:
        raise UserError(f"{where}: {error}") from error
    space = Space(factors, tuple(levels.values()))
    found = {
        space.cell(dict(zip(names, cast("tuple[Level, ...]", key), strict=True))): group.to_numpy(
            float
        )
        for key, group in usable.groupby(names)[response]
    }
    missing = [space.natural(cell) for cell in space.cells() if cell not in found]
    if missing:
        raise UserError(
            f"{where}: {len(missing)} of {space.n_cells} cells have no {response}, the first "
            f"{missing[0]}; train them, or leave levels out of the table"
        )
    figures = np.full((space.n_cells, max(map(len, found.values()))), np.nan)
    for row, cell in enumerate(space.cells()):
        figures[row, : len(found[cell])] = found[cell]
    return Table(where, space, figures)


def _factor(name: str, levels: tuple[Level, ...]) -> Factor:
    if any(isinstance(level, bool | str) for level in levels):
        if len(levels) > 2:  # noqa: PLR2004 # what a factor takes
            raise FactorError(f"factor {name}: {len(levels)} categories; leave all but two out")
        return Factor(name, levels[0], levels[-1], "categorical")
    known, _ = KNOWN_SCALES.get(name, (None, None))
    low, high = float(levels[0]), float(levels[-1])
    whole = all(float(level).is_integer() for level in levels)
    wide = low > 0 and high / low >= RATIO
    scale = known or ("log" if wide else "integer" if whole else "linear")
    return Factor(name, levels[0], levels[-1], scale)  # type: ignore[arg-type] # a Literal by construction
