"""The documentation site: its pages, the keys of study files, and a build that needs no network."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import nbformat
import pytest
import yaml

import factorgrid as fg
from flows.cli import main
from infra.site_docstrings import described
from infra.site_hooks import ABOUT, keys_as_markdown, notebook_as_markdown, tables_of_keys

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "infra" / "docs"
SETTINGS = ROOT / "infra" / "mkdocs.yml"
#: An address that a browser loads when it shows the page.
LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//[^"'>\s]+"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preconnect|preload|icon))"""
    r"""[^>]*\bhref=["']?(?:https?:)?//[^"'>\s]+"""
)


def _pages(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    else:
        for one in part.values() if isinstance(part, dict) else part:
            yield from _pages(one)


def test_every_document_is_a_page_of_the_site() -> None:
    pages = set(_pages(yaml.safe_load(SETTINGS.read_text(encoding="utf-8"))["nav"]))
    notebooks = {f"notebooks/{path.stem}.md" for path in DOCS.glob("notebooks/*.ipynb")}
    assert pages == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} | notebooks


def test_every_key_of_a_study_file_has_a_meaning() -> None:
    tables = tables_of_keys()
    assert set(tables) == set(ABOUT)
    for name, keys in tables.items():
        assert all(meaning.endswith(".") for *_, meaning in keys.values()), name


def test_the_table_of_keys_has_limits_and_defaults() -> None:
    text = keys_as_markdown()
    assert "| `image_size` | whole number from 16 to 1,024 | `64` | Pixels per side. |" in text
    assert "| `name` | text | required |" in text
    assert "builder_source" not in text


def test_the_text_after_a_parameter_is_its_description() -> None:
    text = (
        "Do it.\n\nParameters\n----------\na, b : two numbers\n    of one kind.\n\nRaises\n------\n"
    )
    expected = ["    two numbers", "    of one kind."]
    assert described(text).splitlines()[4:10] == ["a", *expected, "b", *expected]
    assert described("Say x : y.") == "Say x : y."


def test_a_notebook_becomes_a_page_with_its_figures(tmp_path: Path) -> None:
    display = nbformat.v4.new_output("display_data", {"image/png": "aGVsbG8="})
    table = nbformat.v4.new_output("execute_result", {"text/html": "<style scoped>p</style>Table"})
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("# Title\n\nText."),
            nbformat.v4.new_code_cell("1 + 1", outputs=[display, table]),
        ]
    )
    nbformat.write(notebook, tmp_path / "mine.ipynb")
    text, figures = notebook_as_markdown(tmp_path / "mine.ipynb")
    assert text.startswith("# Title\n\n[Download this notebook](mine.ipynb)\n")
    assert "1 + 1" in text
    assert "Table" in text
    assert "<style" not in text
    ((name, content),) = figures.items()
    assert f"({name})" in text
    assert content == b"hello"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site where no host but this one can be reached by a name or a proxy."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(SETTINGS)]
    ended = subprocess.run(
        [*command, "--site-dir", str(folder)],
        env={**os.environ, **proxies},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.mark.slow
@pytest.mark.process
def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not LOADED.findall(text), page
        # The theme would fetch the program for these.
        assert 'class="mermaid"' not in text, page
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.findall(r"url\([\"']?(?:https?:)?//", text), sheet


@pytest.mark.slow
@pytest.mark.process
def test_the_reference_has_every_command_key_and_function(site: Path) -> None:
    assert isinstance(main, click.Group)
    commands = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    for name in main.commands:
        assert f'id="factorgrid-{name}"' in commands
    python = (site / "reference" / "python.html").read_text(encoding="utf-8")
    for name in set(fg.__all__) - {"main", "Study"}:
        assert f'id="flows.api.{name}"' in python
    keys = (site / "reference" / "study-file.html").read_text(encoding="utf-8")
    for table in tables_of_keys().values():
        for key in table:
            assert f"<code>{key}</code>" in keys
