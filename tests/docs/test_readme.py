"""The README is checked: its commands exist, its studies are valid, its links lead to files."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import click
import pytest
from support.small_study import factorgrid

from flows.cli import main
from tasks.study.study_file import built_in_studies, parse_study

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
#: Every document that is written for people.
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for path in (*ROOT.glob("*.md"), *ROOT.glob("infra/**/*.md"), *ROOT.glob("tests/**/*.md"))
)


def _blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


def _commands(program: str) -> list[str]:
    lines = [line.removeprefix("$ ") for block in _blocks("console") for line in block.splitlines()]
    inline = re.findall(r"`(factorgrid [^`]+|make [^`]+)`", README)
    return sorted({line for line in [*lines, *inline] if line.startswith(f"{program} ")})


@pytest.mark.parametrize("line", _commands("factorgrid"))
def test_every_command_in_the_readme_is_valid(line: str) -> None:
    words = shlex.split(line)[1:]
    context = main.make_context("factorgrid", words[:1])
    name, command, _ = main.resolve_command(context, words[:1])
    assert command is not None
    with command.make_context(name, words[1:]) as parsed:
        assert parsed.command is command


@pytest.mark.parametrize("line", _commands("make"))
def test_every_make_target_in_the_readme_exists(line: str) -> None:
    ended = subprocess.run(
        ["make", "--dry-run", *shlex.split(line)[1:]], cwd=ROOT, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("text", _blocks("toml"))
def test_every_study_in_the_readme_is_valid(text: str) -> None:
    # A part of a study is shown without its name and its factors.
    factors = {"learning_rate": {"low": 0.001, "high": 0.1}}
    content = {"name": "part", "factors": factors, **tomllib.loads(text)}
    assert parse_study(content, "README.md").name == content["name"]


def test_the_readme_names_every_command() -> None:
    assert isinstance(main, click.Group)
    for name in main.commands:
        assert f"`factorgrid {name}" in README


def test_the_readme_names_every_built_in_study() -> None:
    for name in built_in_studies():
        assert f"| `{name}` |" in README


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_linked_file_exists(document: Path) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    for path in re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", text):
        assert (ROOT / document.parent / path).exists(), path


@pytest.mark.parametrize("table", ["paper.csv", "paper-gpu-screen.csv"])
def test_the_printed_analysis_of_a_table_is_what_the_command_prints(
    tmp_path: Path, table: str
) -> None:
    blocks = [block for block in _blocks("console") if f"/{table} " in block]
    assert blocks
    for shown in blocks:
        line, *printed = shown.splitlines()
        words = shlex.split(line.removeprefix("$ "))[1:]
        ended = factorgrid(
            *[ROOT / word if word.endswith(".csv") else word for word in words],
            home=tmp_path / "home",
        )
        assert ended.returncode == 0, ended.stderr
        kept = [text for text in printed if text != "..."]
        assert kept
        for text in kept:
            assert text.strip() in ended.stdout
