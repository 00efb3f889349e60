"""A study written as a TOML file."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tasks.study.study_file import Study


def study_toml(study: Study) -> str:
    """Return a study as the file that describes it; what is left out is as by default."""
    content = study.model_dump(mode="json", exclude_defaults=True)
    return "\n".join(_toml(content)).strip() + "\n"


def _toml(table: Mapping[str, Any], path: str = "") -> Iterable[str]:
    """Yield lines of TOML; JSON's strings, numbers, booleans and arrays are TOML's as well."""
    for name, item in table.items():
        if not isinstance(item, dict) and item is not None:
            yield f"{_toml_key(name)} = {json.dumps(item, ensure_ascii=False)}"
    for name, item in table.items():
        if isinstance(item, dict):
            inner = f"{path}.{_toml_key(name)}" if path else _toml_key(name)
            if any(not isinstance(own, dict) for own in item.values()):
                yield f"\n[{inner}]"
            yield from _toml(item, inner)


def _toml_key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else json.dumps(name, ensure_ascii=False)
