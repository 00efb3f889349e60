"""How a table was read: what was assumed of the file, of its columns and of the levels."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from analysis.factors import Level
from analysis.runs.bookkeeping import Statuses
from analysis.runs.level_order import Order
from tasks.tables.read_csv import CsvTable


@dataclass(frozen=True)
class Reading:
    """How a table was read.

    Attributes
    ----------
    csv : the file and how it was read; None for runs of MLflow.
    levels : factor -> its levels from low to high.
    orders : factor whose levels are text -> what their order rests on.
    spellings : factor -> its levels in another spelling, and the level that each is taken as.
    left_out : columns that vary, but are not factors.
    statuses : of the runs.
    without_response : number of rows without a finite response, where no caution says so.
    """

    csv: CsvTable | None = None
    levels: Mapping[str, tuple[Level, ...]] = field(default_factory=dict)
    orders: Mapping[str, Order] = field(default_factory=dict)
    spellings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    statuses: Statuses = field(default_factory=Statuses)
    without_response: int = 0

    @property
    def columns_left_out(self) -> list[str]:
        """Columns that are neither factors nor the response, as the file names them."""
        numbering = self.csv.left_out if self.csv else ()
        return [*numbering, *self.left_out]


def reading_as_json(reading: Reading) -> dict[str, Any]:
    """Return how a table was read as plain JSON types."""
    content: dict[str, Any] = {
        "levels": {name: list(levels) for name, levels in reading.levels.items()},
        "order": dict(reading.orders),
        "spellings": {name: dict(same) for name, same in reading.spellings.items()},
        "left_out": reading.columns_left_out,
        "status": asdict(reading.statuses),
        "without_response": reading.without_response,
    }
    if reading.csv is not None:
        content |= {
            "separator": reading.csv.separator,
            "encoding": reading.csv.encoding or "utf-8",
            "decimal": dict(reading.csv.numbers.decimal),
            "guesses": {
                name: {"text": text, "value": value}
                for name, (text, value) in reading.csv.numbers.guesses.items()
            },
            "units": dict(reading.csv.numbers.units),
            "renamed": dict(reading.csv.renamed),
            "not_rows": list(reading.csv.remarks),
            "short_rows": list(reading.csv.short),
        }
    return content
