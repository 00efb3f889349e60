"""The command that runs a study."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from tasks.data.source import url_of
from tasks.errors import StudyError
from tasks.study.replaced_keys import with_replaced_keys
from tasks.study.study_file import Study, built_in_studies, load_study
from tasks.study.study_toml import study_content, toml_value

#: Keys of the file of which `load_study` replaces both.
BUDGET_KEYS = ("budget", "minutes")


def file_search_command(study: Study) -> str:
    """Return the command that runs a study from a file with the study's name."""
    return shlex.join(("factorgrid", "search", f"{study.name}.toml"))


def built_in_search_command(study: Study) -> str | None:
    """Return the command that runs a study as a built-in one with other values of some keys.

    None if no built-in study has its name, or if no options of the command make it this study.
    """
    if study.name not in built_in_studies():
        return None
    content, built_in = _content(study), _content(load_study(study.name))
    given = dict(_other_values(content, built_in))
    budget = {key: given.pop(key) for key in BUDGET_KEYS if key in given}
    given.pop("data.source", None)
    replaced = [_item(key, value) for key, value in given.items()]
    source = study.data.source
    try:
        same = load_study(study.name, **budget, source=source, replaced=replaced)
    except StudyError:
        return None
    if _content(same) != content:
        return None
    options = [] if source is None else ["--data", url_of(source) or str(source)]
    for key, value in budget.items():
        options += [f"--{key}", f"{value:.15g}"]
    for item in replaced:
        options += ["--set", item]
    return shlex.join(("factorgrid", "search", study.name, *options))


def _content(study: Study) -> dict[str, Any]:
    """Return the tables of a study, without the digest of a backbone, which no file names."""
    content = study_content(study)
    content.get("model", {}).pop("builder_source", None)
    return content


def _item(key: str, value: Any) -> str:
    """Return KEY=VALUE; text that is read as text has no quotation marks."""
    bare = f"{key}={value}"
    is_text = isinstance(value, str) and with_replaced_keys({}, [f"text={value}"])["text"] == value
    return bare if is_text else f"{key}={toml_value(value)}"


def _other_values(
    content: Mapping[str, Any], built_in: Mapping[str, Any], tables: str = ""
) -> Iterator[tuple[str, Any]]:
    """Yield the keys, with their tables, whose values differ from those of a built-in study."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _other_values(value, built_in.get(name) or {}, f"{tables}{name}.")
        elif name not in built_in or built_in[name] != value:
            yield f"{tables}{name}", value
