"""Lets Griffe, which reads the docstrings for the site, read ``name : description``.

The docstrings of this project describe a parameter on the line of its name; its type is in the
signature. By NumPy's format that text would be the type.
"""

import re
from typing import Any

from griffe import Extension, Object

#: The sections whose entries have a name, with their text up to the next section.
SECTION = re.compile(r"((?:Parameters|Attributes)\n-+\n)(.*?)(?=\n\n[^\n]+\n---|\Z)", re.DOTALL)
#: The first line of an entry, which is not indented.
ENTRY = re.compile(r"^(\w[\w, ]*) : (.+)$", re.MULTILINE)


def described(text: str) -> str:
    """Return a docstring with the description of each entry below its name."""
    return SECTION.sub(lambda found: found[1] + ENTRY.sub(r"\1\n    \2", found[2]), text)


class Descriptions(Extension):
    """Changes the docstrings of everything that the site shows."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite one docstring before it is parsed."""
        if obj.docstring:
            obj.docstring.value = described(obj.docstring.value)
