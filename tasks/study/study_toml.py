"""A study written as a TOML file."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tasks.study.study_file import Study


def study_toml(study: Study) -> str:
    """Return a study as its file, without the settings that have their default values."""
    return tables_toml(study_content(study)) + "\n"


def study_content(study: Study) -> dict[str, Any]:
    """Return a study as the tables of its file, without the settings that have their defaults.

    A response that was given or used stays: without one, that of the next run would depend on the
    images.
    """
    content = study.model_dump(mode="json", exclude_defaults=True)
    named = {"response": study.response} if "response" in study.model_fields_set else {}
    return {**content, **named}


def tables_toml(content: Mapping[str, Any]) -> str:
    """Return tables of a study as the lines of a TOML file."""
    return "\n".join(_toml(content)).strip()


def _toml(table: Mapping[str, Any], path: str = "") -> Iterable[str]:
    """Yield the lines of a table and of the tables in it."""
    for name, item in table.items():
        if not isinstance(item, dict) and item is not None:
            yield f"{_toml_key(name)} = {toml_value(item)}"
    for name, item in table.items():
        if isinstance(item, dict):
            inner = f"{path}.{_toml_key(name)}" if path else _toml_key(name)
            if any(not isinstance(own, dict) for own in item.values()):
                yield f"\n[{inner}]"
            yield from _toml(item, inner)


def toml_value(value: Any) -> str:
    """Return a value as TOML, whose strings, numbers and booleans are those of JSON."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, dict):
        items = (f"{_toml_key(k)} = {toml_value(v)}" for k, v in value.items())
        return f"{{{', '.join(items)}}}"
    return json.dumps(value, ensure_ascii=False)


def _toml_key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else json.dumps(name, ensure_ascii=False)
