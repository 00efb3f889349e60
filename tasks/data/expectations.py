"""The expectations that a rule may use, and the settings of each: a closed list.

Great Expectations itself has more, and general settings such as ``row_condition``, which evaluates
Python. A file of rules may come from anywhere: here it is data, and every value is checked.
"""

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

#: Up to here, whole numbers and floating-point numbers are the same.
LARGEST_NUMBER = 2**53
#: Characters of a text in a setting, and values of a set, at most.
MAX_CHARACTERS, MAX_VALUES = 500, 100_000
#: The parts of a pattern that are translated or refused, and what must be recognized to find them.
PATTERN_PARTS = re.compile(
    r"\\(?P<escaped>.)|(?P<group>\(\?)(?!:)|(?P<plain_group>\((?!\?))"
    r"|\[:\^?\w+:\]|(?P<open>\[\^?\]?)|(?P<close>\])",
    re.DOTALL,
)
#: Classes for which pandas may use Python's `re`, which needs unbounded time for some patterns,
#: instead of RE2, which does not; and what they match in ASCII.
CLASSES = {"d": "0-9", "w": "0-9A-Za-z_", "s": r" \t\n\r\f\v"}
#: At the beginning of a pattern: upper and lower case are the same.
ANY_CASE = "(?i)"


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and -LARGEST_NUMBER <= value <= LARGEST_NUMBER  # false for NaN


def _number(value: Any) -> int | float:
    if not _is_number(value):
        raise PydanticCustomError("number", "a finite number of at most 2^53 is required")
    return value  # type: ignore[no-any-return] # checked above


def _set_value(value: Any) -> bool | int | float | str:
    if isinstance(value, bool) or _is_number(value):
        return value  # type: ignore[no-any-return] # checked above
    if isinstance(value, str) and len(value) <= MAX_CHARACTERS:
        return value
    raise PydanticCustomError(
        "value", "each value is a text of at most 500 characters, a finite number, true or false"
    )


Number = Annotated[Any, AfterValidator(_number)]
Length = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]
Value = Annotated[Any, AfterValidator(_set_value)]
Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]


def _as_re2(pattern: str) -> str:
    r"""Return a pattern with the classes \d, \w and \s written out, if RE2 can read it.

    Back-references, look-arounds and \b are refused: pandas would use Python's `re` for them.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    flag = ANY_CASE if pattern.startswith(ANY_CASE) else ""
    in_class = False

    def translate(found: re.Match[str]) -> str:
        nonlocal in_class
        if found["open"] and not in_class:
            in_class = True
        elif found["close"]:
            in_class = False
        elif found["group"] and not in_class:
            raise _refused(
                "'(?'",
                "write groups as (?:...), (?i) only at the beginning of the pattern, and in place "
                "of a look-around a second rule",
            )
        elif found["plain_group"] and not in_class:
            return "(?:"  # pandas warns of groups whose content is not read
        letter = found["escaped"] or ""
        if not re.fullmatch("[0-9A-Za-z]", letter):
            return found[0]
        if letter in CLASSES:
            return CLASSES[letter] if in_class else f"[{CLASSES[letter]}]"
        if letter.lower() in CLASSES and not in_class:
            return f"[^{CLASSES[letter.lower()]}]"
        raise _refused(repr(found[0]), "write character classes such as [0-9] instead")

    translated = flag + PATTERN_PARTS.sub(translate, pattern.removeprefix(flag))
    try:
        pc.match_substring_regex(pa.array([""]), translated)
    except pa.ArrowInvalid as error:
        raise PydanticCustomError("pattern", "{why}", {"why": str(error)}) from error
    return translated


def _refused(found: str, remedy: str) -> PydanticCustomError:
    return PydanticCustomError(
        "pattern",
        "{found} is not allowed in a pattern; {remedy}",
        {"found": found, "remedy": remedy},
    )


class ColumnSettings(BaseModel):
    """The settings of an expectation about one column."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    column: Text


class BetweenSettings(ColumnSettings):
    """The least and the largest value, of which at least one is given."""

    min_value: Number | None = None
    max_value: Number | None = None
    strict_min: bool = False
    strict_max: bool = False

    @model_validator(mode="after")
    def _is_an_interval(self) -> Self:
        if self.min_value is None and self.max_value is None:
            raise PydanticCustomError("interval", "give `min_value`, `max_value` or both")
        if self.min_value is None or self.max_value is None:
            return self
        if self.min_value > self.max_value:
            raise PydanticCustomError(
                "interval",
                "`min_value` {low} is above `max_value` {high}",
                {"low": str(self.min_value), "high": str(self.max_value)},
            )
        return self


class SetSettings(ColumnSettings):
    """The values that are allowed, or that are not."""

    value_set: Annotated[list[Value], Field(min_length=1, max_length=MAX_VALUES)]


class PatternSettings(ColumnSettings):
    """A pattern that is found anywhere in the text."""

    regex: Annotated[str, Field(max_length=MAX_CHARACTERS), AfterValidator(_as_re2)]


class LengthSettings(ColumnSettings):
    """The least and the largest number of characters."""

    min_value: Length | None = None
    max_value: Length | None = None

    @model_validator(mode="after")
    def _has_a_bound(self) -> Self:
        if self.min_value is None and self.max_value is None:
            raise PydanticCustomError("interval", "give `min_value`, `max_value` or both")
        return self


class PairSettings(BaseModel):
    """Two columns, the values of which are compared row by row."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    column_A: Text  # noqa: N815 # the name in Great Expectations
    column_B: Text  # noqa: N815 # the name in Great Expectations


class OrderedPairSettings(PairSettings):
    """Two columns, of which the first must be greater."""

    or_equal: bool = False


#: Name in Great Expectations -> its settings. `rules.toml` lists them for the people who write
#: rules; a test compares both.
EXPECTATIONS: dict[str, type[BaseModel]] = {
    "ExpectColumnValuesToBeBetween": BetweenSettings,
    "ExpectColumnValuesToBeInSet": SetSettings,
    "ExpectColumnValuesToNotBeInSet": SetSettings,
    "ExpectColumnValuesToBeNull": ColumnSettings,
    "ExpectColumnValuesToNotBeNull": ColumnSettings,
    "ExpectColumnValuesToBeUnique": ColumnSettings,
    "ExpectColumnValuesToMatchRegex": PatternSettings,
    "ExpectColumnValuesToNotMatchRegex": PatternSettings,
    "ExpectColumnValueLengthsToBeBetween": LengthSettings,
    "ExpectColumnPairValuesToBeEqual": PairSettings,
    "ExpectColumnPairValuesAToBeGreaterThanB": OrderedPairSettings,
}


def setting_names(expectation: str) -> list[str]:
    """Return the names of the settings of an expectation."""
    return list(EXPECTATIONS[expectation].model_fields)


def settings_for_library(expectation: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings without a fault as Great Expectations gets them: with patterns of RE2."""
    return EXPECTATIONS[expectation].model_validate(settings).model_dump(exclude_unset=True)


def fault_of_settings(expectation: str, settings: dict[str, Any]) -> str:
    """Return why an expectation or one of its settings is not allowed; empty if all are."""
    if expectation not in EXPECTATIONS:
        known = ", ".join(EXPECTATIONS)
        return f"`expectation` {expectation!r:.100} is not one of: {known}"
    try:
        EXPECTATIONS[expectation].model_validate(settings)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in fault["loc"][:1])
        if fault["type"] == "extra_forbidden" and name == "mostly":
            return f"mostly: not a setting of {expectation}; remove it: every row is judged"
        if fault["type"] == "extra_forbidden":
            known = ", ".join(setting_names(expectation))
            return f"{name:.100}: not a setting of {expectation}; it has: {known}"
        if fault["type"] == "missing":
            return f"{name}: missing; {expectation} needs it"
        given = f", given {fault['input']!r:.100}" if name else ""
        return f"{name}: {fault['msg']}{given}" if name else fault["msg"]
    return ""
