"""The README is held to what it says: its commands parse, its studies are studies."""

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


def _blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


def _commands(program: str) -> list[str]:
    lines = [line.removeprefix("$ ") for block in _blocks("console") for line in block.splitlines()]
    inline = re.findall(r"`(factorgrid [^`]+|make [^`]+)`", README)
    return sorted({line for line in [*lines, *inline] if line.startswith(f"{program} ")})


@pytest.mark.parametrize("line", _commands("factorgrid"))
def test_every_command_that_is_named_is_one(line: str) -> None:
    words = shlex.split(line)[1:]
    context = main.make_context("factorgrid", words[:1])
    name, command, _ = main.resolve_command(context, words[:1])
    assert command is not None
    with command.make_context(name, words[1:]) as parsed:
        assert parsed.command is command


@pytest.mark.parametrize("line", _commands("make"))
def test_every_make_target_that_is_named_is_one(line: str) -> None:
    ended = subprocess.run(
        ["make", "--dry-run", *shlex.split(line)[1:]], cwd=ROOT, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("text", _blocks("toml"))
def test_every_study_that_is_shown_is_one(text: str) -> None:
    content = tomllib.loads(text)
    if text.startswith("# part of a study"):
        factors = {"learning_rate": {"low": 0.001, "high": 0.1}}
        content = {"name": "part", "factors": factors, **content}
    assert parse_study(content, "README.md").name == content["name"]


def test_every_command_of_the_program_is_told_of() -> None:
    assert isinstance(main, click.Group)
    for name in main.commands:
        assert f"`factorgrid {name}" in README


def test_every_built_in_study_is_told_of() -> None:
    for name in built_in_studies():
        assert f"| `{name}` |" in README


def test_every_file_that_is_linked_is_there() -> None:
    for path in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("table", ["paper.csv", "paper-gpu-screen.csv"])
def test_what_it_shows_of_a_table_is_what_the_command_prints(tmp_path: Path, table: str) -> None:
    (shown,) = (block for block in _blocks("console") if table in block)
    line, *printed = shown.splitlines()
    words = shlex.split(line.removeprefix("$ "))[1:]
    ended = factorgrid(
        *[ROOT / word if word.endswith(".csv") else word for word in words], home=tmp_path / "home"
    )
    assert ended.returncode == 0, ended.stderr
    kept = [text for text in printed if text != "..."]
    assert kept
    for text in kept:
        assert text.strip() in ended.stdout
