"""How a table was read, as one line."""

from collections.abc import Iterator, Mapping

from analysis.factors import show
from tasks.languages import Translate
from tasks.tables.read_csv import CsvTable
from tasks.tables.reading import Reading


def reading_as_text(reading: Reading, translate: Translate) -> str:
    """Return what was assumed of a table; empty where nothing was.

    A comma between fields and a decimal point are not mentioned.
    """
    parts = []
    if reading.csv is not None:
        # These belong together, as in "separator ;, decimal comma".
        parts = [", ".join(_format_parts(reading.csv, translate))]
        parts += _content_parts(reading.csv, translate)
    for factor, order in reading.orders.items():
        low, *others = map(show, reading.levels[factor])
        key, sign = ("read_alphabet", ", ") if order == "alphabet" else ("read_levels", " < ")
        parts.append(translate(key, factor=factor, low=low, high=sign.join(others)))
    parts += [
        translate("read_spelling", factor=factor, other=other, same=same)
        for factor, spellings in reading.spellings.items()
        for other, same in spellings.items()
    ]
    if reading.statuses.failed:
        parts.append(translate("read_failed", runs=_counts(reading.statuses.failed, translate)))
    if reading.statuses.left_out:
        runs = _counts(reading.statuses.left_out, translate)
        parts.append(translate("read_not_ended", runs=runs))
    if reading.without_response:
        parts.append(translate("read_without", n=reading.without_response))
    if reading.columns_left_out:
        parts.append(translate("read_left_out", columns=", ".join(reading.columns_left_out)))
    text = "; ".join(part for part in parts if part)
    return translate("read_as", parts=text) if text else ""


def _format_parts(table: CsvTable, translate: Translate) -> Iterator[str]:
    if table.encoding:
        yield translate("read_encoding", encoding=table.encoding)
    if table.separator != ",":
        names = {"\t": "read_tab", " ": "read_space"}
        name = names.get(table.separator)
        yield translate("read_separator", sign=translate(name) if name else table.separator)
    numbers = table.numbers
    commas = [name for name, decimal in numbers.decimal.items() if decimal == ","]
    if commas and "." in numbers.decimal.values():
        yield translate("read_comma_in", columns=", ".join(commas))
    elif commas:
        yield translate("read_comma")


def _content_parts(table: CsvTable, translate: Translate) -> Iterator[str]:
    numbers = table.numbers
    for column, (text, value) in numbers.guesses.items():
        yield translate("read_guess", column=column, text=text, value=show(value))
    for column, unit in numbers.units.items():
        yield translate("read_unit", column=column, unit=unit)
    for old, new in table.renamed.items():
        yield translate("read_renamed", old=old, new=new)
    if table.remarks:
        yield translate("read_remarks", n=len(table.remarks))
    if table.short:
        yield translate("read_short", rows=", ".join(map(str, table.short)))


def _counts(statuses: Mapping[str, int], translate: Translate) -> str:
    return ", ".join(translate("read_status", n=n, status=name) for name, n in statuses.items())
