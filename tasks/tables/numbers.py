"""Numbers in a table: which sign is the decimal separator, and units behind the numbers."""

import functools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from analysis.runs.columns import MISSING

_EXPONENT = r"(?:[eE][+-]?\d+)?"
#: How numbers are written, by decimal separator. The second form has thousands separators; a number
#: that starts with 0 has none, so ``0,125`` has a decimal comma.
_FORMS = {
    ".": (
        re.compile(rf"[+-]?(?:\d+\.?\d*|\.\d+){_EXPONENT}"),
        re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:,\d{{3}})+(?:\.\d*)?{_EXPONENT}"),
    ),
    ",": (
        re.compile(rf"[+-]?(?:\d+,?\d*|,\d+){_EXPONENT}"),
        re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:\.\d{{3}})+(?:,\d*)?{_EXPONENT}"),
    ),
}
_NOT_FINITE = re.compile(r"[+-]?(?:inf|infinity)", re.IGNORECASE)
#: A space, or what Swiss and French programs write for it, between groups of three digits.
_SPACED_GROUPS = re.compile(r"(?<=\d)[ \u00a0\u202f'\u2019](?=\d{3}(?!\d))")
_WITH_UNIT = re.compile(r"(?P<number>.*\d[.,]?)\s*(?P<unit>[^\d\s.,][^\d]*)")


@dataclass(frozen=True)
class NumberFormat:
    """How the numbers of a table are written.

    Attributes
    ----------
    decimal : column -> its decimal separator, for columns where it matters.
    units : column -> the unit behind each of its numbers.
    guesses : column -> one of its numbers as written, and as taken, where a comma may separate
        decimals or thousands, or a point separates thousands.
    """

    decimal: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    guesses: dict[str, tuple[str, float]] = field(default_factory=dict)


def read_numbers(
    columns: Mapping[str, Sequence[str]], separator: str
) -> tuple[dict[str, list[object]], NumberFormat]:
    """Return the columns with numbers where numbers are written.

    A column is read as numbers if most of its fields are, with one decimal separator. Where both
    the point and the comma are possible, as in ``1,000``, the other columns decide, and then the
    separator: a comma between the fields is not the decimal separator as well.

    Parameters
    ----------
    columns : fields without spaces around them, per column; empty if missing.
    separator : between the fields of the file.

    Returns
    -------
    The columns, with int, float, str, and None for an empty field; and how they were read.
    """
    found = NumberFormat()
    texts = {name: _without_unit(name, column, found) for name, column in columns.items()}
    possible = {name: _possible_decimals(column) for name, column in texts.items()}
    proven = {decimals[0] for decimals in possible.values() if len(decimals) == 1}
    usual = "," if separator == ";" else "."
    # A comma as the decimal separator makes a point the thousands separator only if it is proven.
    for name, column in texts.items():
        if len(possible[name]) == 1:
            found.decimal[name] = possible[name][0]
            continue
        text = next((text for text in column if _differs(text)), None)
        if not possible[name] or text is None:
            continue
        decimal = "." if "." in text else usual
        if len(proven) == 1:
            decimal = next(iter(proven))
        found.decimal[name] = decimal
        if decimal not in text or decimal == ",":
            found.guesses[name] = (text, _value(text, decimal))
    read: dict[str, list[object]] = {
        name: [_field(text, found.decimal.get(name, ".")) for text in column]
        if possible[name]
        else [text or None for text in column]
        for name, column in texts.items()
    }
    return read, found


def is_number(text: str) -> bool:
    """Whether a text is a number with any decimal separator, perhaps with a unit behind it."""
    if _decimals_of(text):
        return True
    unit = _WITH_UNIT.fullmatch(text)
    return bool(unit and _decimals_of(unit["number"]))


def _field(text: str, decimal: str) -> object:
    return _value(text, decimal) if decimal in _decimals_of(text) else (text or None)


def _possible_decimals(column: Sequence[str]) -> list[str]:
    """Return the decimal separators with which a column is one of numbers; none if it is text."""
    written = [text for text in column if text and text.lower() not in MISSING]
    numbers = [text for text in written if _decimals_of(text)]
    if not numbers or 2 * len(numbers) <= len(written):
        return []
    both = [d for d in _FORMS if all(d in _decimals_of(text) for text in numbers)]
    return both or ["."]


@functools.lru_cache(maxsize=2**16)
def _decimals_of(text: str) -> tuple[str, ...]:
    """Return the decimal separators with which a text is a number; asked of a field many times."""
    plain = _plain(text)
    if _NOT_FINITE.fullmatch(plain):
        return tuple(_FORMS)
    return tuple(d for d, forms in _FORMS.items() if any(form.fullmatch(plain) for form in forms))


def _value(text: str, decimal: str) -> int | float:
    plain = _plain(text)
    if not _NOT_FINITE.fullmatch(plain):
        thousands = "," if decimal == "." else "."
        plain = plain.replace(thousands, "").replace(decimal, ".")
    return int(plain) if re.fullmatch(r"[+-]?\d+", plain) else float(plain)


def _differs(text: str) -> bool:
    """Whether a number has another value with the other decimal separator."""
    return len(_decimals_of(text)) > 1 and _value(text, ".") != _value(text, ",")


def _plain(text: str) -> str:
    return _SPACED_GROUPS.sub("", text.replace("\N{MINUS SIGN}", "-"))


def _without_unit(name: str, column: Sequence[str], found: NumberFormat) -> list[str]:
    """Return a column without its unit, if one and the same is behind every number."""
    written = [text for text in column if text and text.lower() not in MISSING]
    matches = [_WITH_UNIT.fullmatch(text) for text in written]
    units = Counter(match["unit"] for match in matches if match and _decimals_of(match["number"]))
    if len(units) != 1 or units.total() < len(written):
        return list(column)
    unit = next(iter(units))
    found.units[name] = unit
    return [text.removesuffix(unit).rstrip() if text in written else text for text in column]
