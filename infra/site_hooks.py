"""What MkDocs does besides its plugins: pages of notebooks, and the keys of study files.

A notebook becomes a page with the same name; the file itself can be downloaded. The line
``<!-- keys of study files -->`` becomes tables that are made from the schema of study files, with
their descriptions there.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tasks.study.new_study import study_schema

MARK = "<!-- keys of study files -->"
#: The tables of a study file, in the order of the page, and the key that leads to each.
TABLES = {
    "study": "",
    "data": "data",
    "factors.NAME": "factors",
    "model": "model",
    "training": "training",
    "compare": "compare",
    "pilot": "pilot",
    "refine": "refine",
    "confirm": "confirm",
    "pick": "pick",
}
#: What each table is for.
ABOUT = {
    "study": "Keys before the first table.",
    "data": "The images. Without `source`, they are drawn.",
    "factors.NAME": (
        "One table for each factor, 1 to 15 of them. NAME is a setting of the network or of"
        " the training. A factor has `low` and `high`, or `values`."
    ),
    "model": (
        'The network. `network` is `"plain"` (the default), `"modern"` or `"pretrained"`; '
        "its settings are keys of this table too, see [networks and training "
        "settings](../networks.md)."
    ),
    "training": (
        "The settings of the training that stay fixed; each of them may be a factor "
        "instead. More in [training settings](../networks.md#training)."
    ),
    "compare": (
        "What `factorgrid compare` compares besides the tuners; see [compare with other "
        "tuners](../guides/compare.md)."
    ),
    "pilot": "Published procedure only.",
    "refine": "Published procedure only.",
    "confirm": "Published procedure only.",
    "pick": "Needs a second response, see [responses](../responses.md).",
}
#: Written by FactorGrid into the study that MLflow keeps.
INTERNAL = {("pilot", "found"), ("pilot", "ranges")}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add a page for each notebook."""
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            text, figures = notebook_as_markdown(Path(str(file.abs_src_path)))
            place = file.src_uri.removesuffix(".ipynb")
            files.append(File.generated(config, f"{place}.md", content=text))
            for name, content in figures.items():
                uri = f"{place.rpartition('/')[0]}/{name}"
                files.append(File.generated(config, uri, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to notebooks lead to their pages, and fill in the keys of study files."""
    del config, files
    if not page.file.src_uri.startswith("notebooks/"):
        markdown = re.sub(r"\.ipynb\)", ".md)", markdown)
    return markdown.replace(MARK, keys_as_markdown()) if MARK in markdown else markdown


def notebook_as_markdown(path: Path) -> tuple[str, dict[str, bytes]]:
    """Return the text of a notebook's page, and the content of its figures by file name."""
    from nbconvert import MarkdownExporter

    resources = {"output_files_dir": "figures", "unique_key": path.stem}
    text, made = MarkdownExporter().from_filename(str(path), resources)
    # pandas adds a style to each table, which would hold for the whole page.
    text = re.sub(r"<style scoped>.*?</style>", "", text, flags=re.DOTALL)
    title, rest = text.lstrip().split("\n", 1)
    download = f"[Download this notebook]({path.name})"
    return f"{title}\n\n{download}\n{rest}", made.get("outputs", {})


def keys_as_markdown() -> str:
    """Return one table of Markdown for each table of a study file."""
    parts = []
    for name, keys in tables_of_keys().items():
        title = "The top of the file" if name == "study" else f"`[{name}]`"
        rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
        rows += [
            f"| `{key}` | {value} | {default} | {meaning} |"
            for key, (value, default, meaning) in keys.items()
        ]
        parts.append("\n".join([f"## {title}\n", ABOUT[name], "", *rows]))
    return "\n\n".join(parts)


def tables_of_keys() -> dict[str, dict[str, tuple[str, str, str]]]:
    """Return for each table its keys: kind of value with its limits, default, and meaning."""
    schema = study_schema()
    found: dict[str, dict[str, tuple[str, str, str]]] = {}
    for name, key in TABLES.items():
        table: Mapping[str, Any] = schema
        if key:
            part = schema["properties"][key]
            table = _resolved(part.get("additionalProperties") or part, schema)
        found[name] = {
            key: (_value(part, schema), _default(key, part, table), part["description"])
            for key, part in table["properties"].items()
            if (name, key) not in INTERNAL and not (name == "study" and key in TABLES.values())
        }
    return found


def _resolved(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = part.get("$ref", "")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else part


def _value(part: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return in words which values a key takes."""
    part = _resolved(part, schema)
    if "enum" in part:
        return ", ".join(f"`{json.dumps(one)}`" for one in part["enum"])
    if "const" in part:
        return f"`{json.dumps(part['const'])}`"
    if "anyOf" in part:
        texts = [_value(one, schema) for one in part["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(texts))
    kinds = {
        "integer": "whole number",
        "string": "path" if part.get("format") == "path" else "text",
        "boolean": "`true` or `false`",
        "array": "list",
        "object": "table",
    }
    words = kinds.get(part.get("type", ""), part.get("type", "any"))
    return " ".join([words, *_limits(part)])


def _limits(part: Mapping[str, Any]) -> Iterator[str]:
    words = {
        "minimum": "from {}",
        "exclusiveMinimum": "above {}",
        "maximum": "to {}",
        "exclusiveMaximum": "below {}",
        "minItems": "of at least {}",
    }
    for key, text in words.items():
        if key in part:
            yield text.format(f"{part[key]:,}")


def _default(key: str, part: Mapping[str, Any], table: Mapping[str, Any]) -> str:
    if key in table.get("required", ()):
        return "required"
    default = part.get("default")
    # That of a builder is the identifier of the plain network.
    shown = default not in (None, "", [], {}) and key != "builder"
    return f"`{json.dumps(default)}`" if shown else ""
