"""A rule's own text, with ``{name}`` in place of values: names only, no expressions.

Python's `str.format` would also look into the attributes and items of values, and would fill any
width. A file of rules may come from anywhere, so that only names and a few number formats are read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Characters of a template, and of the text that is made of it, at most.
MAX_TEMPLATE, MAX_TEXT = 500, 1000
#: A field: a name and, after a colon, a number format such as d, .0f, .1%, .3g or a comma; or a
#: brace that is written twice, which stands for itself.
FIELD = re.compile(
    r"\{\{|\}\}|\{(?P<name>[A-Za-z_]\w*)(?::(?P<format>,?(?:d|(?:\.[0-9])?[feg%]?)))?\}"
)


@dataclass(frozen=True)
class ReasonTemplate:
    """A text with ``{name}`` in place of values.

    Attributes
    ----------
    text : as it is in the file of rules.
    """

    text: str

    @property
    def fault(self) -> str:
        """Why the text is no template; empty if it is one."""
        if len(self.text) > MAX_TEMPLATE:
            return f"longer than {MAX_TEMPLATE} characters"
        rest = FIELD.sub("", self.text)
        if "{" in rest or "}" in rest:
            return (
                "a field is {name} or {name:format}, where format is a comma, d, .0f, .1%, .3g "
                "or similar; write {{ and }} for braces"
            )
        return ""

    @property
    def names(self) -> list[str]:
        """The names in the text, in order."""
        return [found["name"] for found in FIELD.finditer(self.text) if found["name"]]

    def formatted_names(self) -> list[str]:
        """Return the names with a number format."""
        return [found["name"] for found in FIELD.finditer(self.text) if found["format"]]

    def fill_in(self, values: Mapping[str, Any]) -> str:
        """Return the text with the values; a number format leaves other values as they are.

        Raises
        ------
        KeyError
            If a value is missing.
        """

        def value_of(found: re.Match[str]) -> str:
            name, style = found["name"], found["format"] or ""
            style = style.replace("d", ".0f")  # counts of a table may be floating-point numbers
            if name is None:
                return found[0][0]
            value = values[name]
            try:
                return format(value, style)
            except (TypeError, ValueError):
                return str(value)

        return FIELD.sub(value_of, self.text)[:MAX_TEXT]
