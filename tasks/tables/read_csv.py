"""Reading a CSV file as a spreadsheet or another program wrote it, and saying how it was read."""

import codecs
import csv
import gzip
import io
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from analysis.runs.columns import MISSING
from tasks.encodings import likely_encoding
from tasks.errors import UserError
from tasks.tables.numbers import NumberFormat, is_number, read_numbers

#: Separators of fields, in the order in which they are preferred.
SEPARATORS = (",", ";", "\t", "|")
#: Encodings of Windows, in which spreadsheets save where a file is not UTF-8.
SINGLE_BYTE = ("cp1252", "cp1251")
WINDOWS = (*SINGLE_BYTE, "cp949", "cp932", "gbk", "big5")
#: Words by which the encoding is chosen, at most.
MOST_WORDS = 500
#: The first bytes of files that are saved as a table, but are not text.
NOT_TEXT = {b"PK\x03\x04": "an Excel workbook", b"\xd0\xcf\x11\xe0": "an old Excel workbook"}
#: Excel's own first line, as in ``sep=;``.
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
#: Names that Design-Expert and Minitab give to factors, as in ``A:Temperature``.
_LETTERED = re.compile(r"[A-Z]{1,2}:\s*(\S.*)")


@dataclass(frozen=True)
class CsvTable:
    """A table, and how it was read.

    Attributes
    ----------
    rows : one row per run; fields are int, float, str, or None where they are empty.
    separator : between fields.
    encoding : of the file, if it is not UTF-8.
    numbers : decimal separators and units.
    remarks : lines that do not belong to the table.
    renamed : name in the file -> name of the column, where the two differ.
    left_out : columns that only number the rows.
    short : numbers of the rows that have fewer fields than the header.
    """

    rows: pd.DataFrame
    separator: str = ","
    encoding: str = ""
    numbers: NumberFormat = field(default_factory=NumberFormat)
    remarks: tuple[str, ...] = ()
    renamed: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    short: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Line:
    """A line of the file: its number there, and its fields."""

    number: int
    fields: list[str]

    @property
    def filled(self) -> int:
        return sum(map(bool, self.fields))


def read_csv(path: Path, *, columns: int = 2) -> CsvTable:
    """Read a CSV file with a header and one row per run.

    The separator, the decimal separator, the encoding and lines that do not belong to the table
    are found from the content. ``None`` and ``NA`` are text, because they can be levels.

    Parameters
    ----------
    path : of the file.
    columns : how many it has at least: a response and a factor.

    Raises
    ------
    UserError
        If the file does not exist, is not text, or is no table with a header and rows.
    """
    text, encoding = _text(path)
    lines = text.split("\n")
    stated = _SEPARATOR_LINE.fullmatch(lines[0].strip())
    if stated:
        # A blank line instead, so that the numbers of lines stay those of the file.
        lines[0] = ""
    # Lines that begin with a hash may be remarks, in which separators mean nothing.
    without_hashes = "\n".join(line for line in lines if not line.startswith("#"))
    separator = stated[1] if stated else _separator(without_hashes)
    try:
        table = _lines("\n".join(lines), separator)
    except csv.Error as error:
        raise UserError(
            f"{path}: cannot be read as CSV: {error}; look for a quote that is not closed"
        ) from None
    header, rows, remarks = _split(path, table, columns)
    if lines[header.number - 1].lstrip().startswith('"'):
        rows = _without_row_names(rows, header)
    rows = _of_width(path, rows, header)
    names, renamed = _names(path, header, rows)
    rows, units = _without_units_row(rows, len(header.fields))
    short = tuple(i + 1 for i, row in enumerate(rows) if len(row.fields) < len(header.fields))
    fields = {
        name: [row.fields[i] if i < len(row.fields) else "" for row in rows]
        for i, name in enumerate(names)
    }
    unnamed = [name for name, title in zip(names, header.fields, strict=True) if not title]
    left_out = [name for name in unnamed if any(fields[name])]
    kept = {name: column for name, column in fields.items() if name not in unnamed}
    values, numbers = read_numbers(kept, separator)
    for name, unit in zip(names, units, strict=True):
        if unit and name in kept:
            numbers.units.setdefault(name, unit)
    return CsvTable(
        pd.DataFrame(values, dtype=object),
        separator,
        encoding,
        numbers,
        tuple(remarks),
        renamed,
        tuple(left_out),
        short,
    )


def _text(path: Path) -> tuple[str, str]:
    """Return the text of a file, and its encoding if it is not UTF-8."""
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; correct the path") from None
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{path}: cannot be read: {reason}; name another file") from None
    for start, kind in NOT_TEXT.items():
        if content.startswith(start):
            raise UserError(f"{path}: {kind}, not CSV; save the sheet as CSV and name that file")
    text, encoding = _decoded(content)
    if text is None or "\0" in text:
        raise UserError(f"{path}: cannot be read as CSV: not text; save it as CSV in UTF-8")
    if not text.strip():
        raise UserError(
            f"{path}: cannot be read as CSV: the file is empty; write a header, and one row per run"
        )
    return text.replace("\r\n", "\n").replace("\r", "\n"), encoding


def _decoded(content: bytes) -> tuple[str | None, str]:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace"), "utf-16"
    try:
        return content.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        pass
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", content)]
    # Chinese, Japanese and Korean characters have two bytes each, and Cyrillic words many single
    # ones. In single signs, such as that of degrees, a language cannot be seen.
    possible = ("cp1252",) if max(runs) == 1 else SINGLE_BYTE if 1 in runs else WINDOWS
    words = [
        word for word in dict.fromkeys(re.split(rb"[\s,;|\"]+", content)) if not word.isascii()
    ]
    encoding = likely_encoding(words[:MOST_WORDS], possible)
    return (content.decode(encoding, errors="replace"), encoding) if encoding else (None, "")


def _lines(text: str, separator: str) -> list[_Line]:
    """Return the lines that are not empty, with their fields."""
    # A line of a table that is aligned with spaces may end with some.
    source = text if separator != " " else "\n".join(line.strip() for line in text.splitlines())
    # Strict, because otherwise a quote that is never closed takes all further rows with it.
    reader = csv.reader(
        io.StringIO(source), delimiter=separator, skipinitialspace=True, strict=True
    )
    found = []
    for fields in reader:
        clean = [unicodedata.normalize("NFC", " ".join(x.split())) for x in fields]
        if any(clean):
            found.append(_Line(reader.line_num, clean))
    return found


def _separator(text: str) -> str:
    """Return the separator with which most rows have as many fields as the header.

    Among several, the one with which more fields are numbers: in ``150,5;1,5`` a comma separates,
    too, but leaves ``5;1``.
    """

    def score(separator: str) -> tuple[float, float]:
        try:
            lines = _lines(text, separator)
        except csv.Error:
            return (0.0, 0.0)
        start = _header_index(lines)
        width = len(lines[start].fields) if lines else 0
        if width < 2:  # noqa: PLR2004 # a response and a factor
            return (0.0, 0.0)
        rows = lines[start + 1 :]
        fields = [field for row in rows for field in row.fields if field]
        # A title above the header counts as well: it may be the header of another separator.
        regular = sum(len(row.fields) == width for row in rows) / max(len(lines) - 1, 1)
        return (regular + 1, sum(map(is_number, fields)) / max(len(fields), 1))

    scores = {separator: score(separator) for separator in SEPARATORS}
    best = max(scores, key=scores.__getitem__)
    if scores[best] == (0.0, 0.0) and score(" ") > (1.5, 0.0):
        return " "
    return best


def _header_index(lines: Sequence[_Line]) -> int:
    """Return where the header is: the first line with two fields, or more if rows have more."""
    width = max((line.filled for line in lines), default=0)
    least = 3 if width > 3 else 2  # noqa: PLR2004 # a title, or a name and its value, is no header
    return next((i for i, line in enumerate(lines) if line.filled >= least), 0)


def _split(path: Path, lines: list[_Line], columns: int) -> tuple[_Line, list[_Line], list[str]]:
    """Return the header, the rows, and the lines that do not belong to the table."""
    start = _header_index(lines)
    # numpy writes its header as a remark.
    widths = {len(line.fields) for line in lines[start + 1 :]}
    while start < len(lines) - 1 and lines[start].fields[0].startswith("#"):
        if {len(lines[start].fields)} == widths:
            lines[start].fields[0] = lines[start].fields[0].lstrip("# ") or "#"
            break
        start += 1
    header, rest = lines[start], lines[start + 1 :]
    width = len(header.fields)
    if width < columns:
        raise UserError(
            f"{path}: one column, {header.fields[0][:40]!r}; separate the fields with a comma, a "
            "semicolon or a tab"
        )
    if all(is_number(name) for name in header.fields if name):
        raise UserError(
            f"{path}, line {header.number}: numbers instead of the names of columns; write a header"
        )
    rows: list[_Line] = []
    others = lines[:start]
    for line in rest:
        is_text = line.filled == 1 and width > 2  # noqa: PLR2004 # a line of text below the table
        (others if is_text or line.fields[0].startswith("#") else rows).append(line)
    if not rows:
        raise UserError(f"{path}: no rows; write a header, and one row per run")
    return header, rows, [" ".join(line.fields).strip() for line in others]


def _without_row_names(rows: list[_Line], header: _Line) -> list[_Line]:
    """Return the rows of a table of R, which names the rows, but not the column of their names."""
    longer = all(len(row.fields) == len(header.fields) + 1 for row in rows)
    if longer and _number_rows([row.fields[0] for row in rows]):
        return [_Line(row.number, row.fields[1:]) for row in rows]
    return rows


def _of_width(path: Path, rows: list[_Line], header: _Line) -> list[_Line]:
    """Return the rows with as many fields as the header, or fewer."""
    width = len(header.fields)
    for row in rows:
        if any(row.fields[width:]):
            raise UserError(
                f"{path}, line {row.number}: {len(row.fields)} fields, but the header has {width}: "
                "name every column, and put fields that contain the separator in quotes"
            )
    return [_Line(row.number, row.fields[:width]) for row in rows]


def _number_rows(fields: Sequence[str]) -> bool:
    """Whether fields are 0, 1, 2 and so on, or begin with 1."""
    return any(list(fields) == [str(i + start) for i in range(len(fields))] for start in (0, 1))


def _names(path: Path, header: _Line, rows: Sequence[_Line]) -> tuple[list[str], dict[str, str]]:
    """Return the name of every column, and which names of the file were changed."""
    names = list(header.fields)
    lettered = [_LETTERED.fullmatch(name) for name in names]
    if sum(map(bool, lettered)) > 1:
        names = [match[1] if match else name for name, match in zip(names, lettered, strict=True)]
    renamed = {old: new for old, new in zip(header.fields, names, strict=True) if old != new}
    for i, name in enumerate(names):
        column = [row.fields[i] for row in rows if i < len(row.fields)]
        if not name and any(column) and not _number_rows(column):
            raise UserError(
                f"{path}, line {header.number}: column {i + 1} has values but no name; name it, or "
                "remove it"
            )
        if name and name in names[:i]:
            first = names.index(name) + 1
            raise UserError(
                f"{path}, line {header.number}: column {name!r} occurs twice, as columns {first} "
                f"and {i + 1}; rename one of them"
            )
        names[i] = name or f"column {i + 1}"
    return names, renamed


def _without_units_row(rows: list[_Line], width: int) -> tuple[list[_Line], list[str]]:
    """Return the rows without a first one that has units, and the unit of each column.

    A row has units if no field of it is a number where all others of the column are, and its other
    fields do not occur again.
    """
    columns = [[*row.fields, *[""] * (width - len(row.fields))] for row in rows]
    first, below = columns[0], [list(column) for column in zip(*columns[1:], strict=True)]
    none: tuple[list[_Line], list[str]] = (rows, [""] * width)
    numeric = [bool(any(column)) and all(is_number(x) for x in column if x) for column in below]
    if not any(numeric):
        return none
    over_numbers = [x for x, numbers in zip(first, numeric, strict=True) if numbers and x]
    over_text = [(x, col) for x, col, num in zip(first, below, numeric, strict=True) if not num]
    if not over_numbers or any(is_number(x) or x.lower() in MISSING - {"-"} for x in over_numbers):
        return none
    if any(x and x in column for x, column in over_text):
        return none
    units = [re.sub(r"^[(\[](.*)[)\]]$", r"\1", x) for x in first]
    return rows[1:], units
