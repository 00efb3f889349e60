"""The documents name files, packages, sections and commands that exist."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest

from flows.cli import main

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "CONTRIBUTING.md", *(ROOT / "infra/docs").rglob("*.md")])
LINKING = [ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCUMENTS]
ARCHITECTURE = (ROOT / "infra/docs/architecture.md").read_text(encoding="utf-8")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "importlinter"
]["contracts"]
#: A path below one of the top-level folders. NAME stands for a file that the reader adds.
PATH = re.compile(r"(?:flows|tasks|models|analysis|infra|tests)/[\w./-]+")


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


def concepts() -> list[tuple[str, list[str]]]:
    section = ARCHITECTURE.split("concepts and their files\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| (`[^|]+) \|$", section, flags=re.MULTILINE)
    return [(concept, re.findall(r"`([^`]+)`", files)) for concept, files in rows]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_path_in_a_document_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    code = re.findall(r"`([^`\n]+)`", text)
    paths = {path for span in code for path in PATH.findall(span) if "NAME" not in path}
    for path in paths:
        assert (ROOT / path).exists(), path


def sections(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("document", LINKING, ids=name_of)
def test_every_link_in_a_document_leads_to_a_file_and_a_section(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for path, section in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", text):
        target = document.parent / path if path else document
        assert target.exists(), path
        assert not section or section in sections(target), section


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_command_in_a_document_is_one(document: Path) -> None:
    assert isinstance(main, click.Group)
    text = document.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:console|shell)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    for line in [line for block in blocks for line in block.splitlines()]:
        words = shlex.split(re.sub(r"^(?:[A-Z_]+=\S+ )*", "", line))
        if words[:1] == ["factorgrid"]:
            context = main.make_context("factorgrid", words[1:2])
            name, command, _ = main.resolve_command(context, words[1:2])
            assert command is not None
            with command.make_context(name, words[2:]) as parsed:
                assert parsed.command is command
    for name in re.findall(r"`(?:[A-Z_]+=\S+ )*factorgrid\s+([a-z]+)[^`]*`", text):
        assert name in main.commands


def test_every_package_and_top_level_module_is_in_the_tree() -> None:
    tree = ARCHITECTURE.split("```")[1]
    for root in ("flows", "tasks", "models", "analysis"):
        part = re.split(r"\n(?! )", tree.split(f"\n{root}/")[1])[0]
        for path in sorted((ROOT / root).iterdir()):
            if path.name.startswith("_"):
                continue
            if path.suffix == ".py":
                assert f"    {path.name} " in part, path
            elif (path / "__init__.py").exists():
                assert f"    {path.name}/ " in part, path


def test_each_of_the_25_concepts_has_a_file() -> None:
    found = concepts()
    assert len(found) == 25
    for concept, files in found:
        assert files, concept
        for path in files:
            assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("part", ["flows", "tasks", "analysis", "models"])
def test_the_levels_are_those_of_the_contract(part: str) -> None:
    (contract,) = (found for found in CONTRACTS if found["name"] == f"levels in {part}")
    levels = re.sub(r"[()]", "", " > ".join(contract["layers"])).replace(" | ", ", ")
    assert f"| {part} | {levels} |" in ARCHITECTURE


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract["name"])
def test_every_importer_of_an_outside_system_is_in_the_table(
    contract: dict[str, Any],
) -> None:
    section = ARCHITECTURE.split("**Doors.**")[1].split("\n## ")[0]
    if contract["name"].startswith("door: "):
        for line in contract["ignore_imports"]:
            importer = line.split(" -> ")[0].rstrip(".*").replace(".", "/")
            assert f"`{importer}" in section, line
