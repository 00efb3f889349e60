"""Keys of a study file that the command line replaces, as in ``--set training.epochs=3``."""

import copy
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from tasks.errors import StudyError


def with_replaced_keys(content: Mapping[str, Any], replaced: Iterable[str]) -> dict[str, Any]:
    """Return the content of a study file with other values of some keys.

    Parameters
    ----------
    replaced : items as ``table.key=value``. The value is written as in the file; text needs no
        quotation marks.

    Raises
    ------
    StudyError
        If an item has no key or no value, or a part of its key is not a table.
    """
    changed = copy.deepcopy(dict(content))
    for item in replaced:
        key, equals, text = item.partition("=")
        *tables, last = (part.strip() for part in key.split("."))
        if not equals or not last or not all(tables):
            raise StudyError(f"--set {item}: write it as KEY=VALUE, for example training.epochs=3")
        table = changed
        for name in tables:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise StudyError(
                    f"--set {item}: {name} is not a table of the study's file; correct the key"
                )
        table[last] = _value(text.strip())
    return changed


def _value(text: str) -> Any:
    """Return a value as TOML reads it, otherwise as text."""
    try:
        content = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    # A line feed in the value would begin further keys.
    return content["value"] if content.keys() == {"value"} else text
