"""A rule for images in words, the same on the validation page and in Data Docs."""

from collections.abc import Mapping
from typing import Any

from tasks.data.reason import value_as_text
from tasks.languages import Translate, words

#: Values of a rule that are listed; the others are counted.
MOST_VALUES = 8
#: The end of the names of columns that are shares.
SHARE = "_share"


def rule_as_text(expectation: str, settings: Mapping[str, Any], say: Translate) -> str:
    """Return what a rule requires, as one line.

    Parameters
    ----------
    expectation : one of `tasks.data.expectations.EXPECTATIONS`.
    settings : of the expectation.
    say : what `tasks.languages.translator` returns.
    """
    key = f"rule_{expectation}"
    if expectation.startswith("ExpectColumnPair"):
        pair = {name: column_as_text(settings[name], say) for name in ("column_A", "column_B")}
        return say(f"{key}_or_equal" if settings.get("or_equal") else key, **pair)
    column = settings["column"]
    value = ""
    if "value_set" in settings:
        value = _values_as_text(settings["value_set"], say)
    elif "regex" in settings:
        value = str(value_as_text(settings["regex"], say))
    elif {"min_value", "max_value"} & set(settings):
        value = _bounds_as_text(column, settings, say)
    return say(key, column=column_as_text(column, say), value=value)


def column_as_text(column: str, say: Translate) -> str:
    """Return the name of a column of the metadata in words."""
    key = f"column_{column}"
    return say(key) if key in words() else str(value_as_text(column, say))


def figure_as_text(column: str, value: float | None, say: Translate) -> str:
    """Return a figure of the whole set: a share in percent, another with 4 significant digits."""
    if value is None:
        return say("rule_no_figure")
    return f"{100 * value:.3g}%" if column.endswith(SHARE) else _number(value)


def _number(value: float) -> str:
    """Return a number with thousands separators if it is whole, else with 4 significant digits."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def _bounds_as_text(column: str, settings: Mapping[str, Any], say: Translate) -> str:
    low, high = settings.get("min_value"), settings.get("max_value")
    above, below = settings.get("strict_min", False), settings.get("strict_max", False)
    bounds = []
    if low is not None:
        key = "rule_above" if above else "rule_at_least"
        bounds.append(say(key, value=figure_as_text(column, low, say)))
    if high is not None:
        key = "rule_below" if below else "rule_at_most"
        bounds.append(say(key, value=figure_as_text(column, high, say)))
    return ", ".join(bounds)


def _values_as_text(values: list[Any], say: Translate) -> str:
    named = [_value_as_text(value, say) for value in values[:MOST_VALUES]]
    if len(values) > MOST_VALUES:
        named.append(say("and_more", n=len(values) - MOST_VALUES))
    return ", ".join(named)


def _value_as_text(value: object, say: Translate) -> str:
    if isinstance(value, bool):
        return say("rule_yes" if value else "rule_no")
    if value == "":
        return say("rule_nothing")
    return str(value_as_text(value, say))
