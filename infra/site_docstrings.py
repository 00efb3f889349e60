"""Lets Griffe, which reads the docstrings for the site, read ``name : description``.

The docstrings of this project describe a parameter on the line of its name; its type is in the
signature. By NumPy's format that text would be the type.
"""

import re
from typing import Any

from griffe import Extension, Object

#: The sections whose entries have a name, with their text up to the next section.
SECTION = re.compile(r"((?:Parameters|Attributes)\n-+\n)(.*?)(?=\n\n[^\n]+\n---|\Z)", re.DOTALL)
#: An entry: one name or several, and the text, whose further lines are indented.
ENTRY = re.compile(r"^(\w[\w, ]*) : (.+(?:\n +.+)*)", re.MULTILINE)


def described(text: str) -> str:
    """Return a docstring with the description of each entry below each of its names."""
    return SECTION.sub(lambda found: found[1] + ENTRY.sub(_entries, found[2]), text)


def _entries(found: re.Match[str]) -> str:
    return "\n".join(f"{name}\n    {found[2]}" for name in found[1].split(", "))


class Descriptions(Extension):
    """Changes the docstrings of everything that the site shows."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite one docstring before it is parsed."""
        if obj.docstring:
            obj.docstring.value = described(obj.docstring.value)
