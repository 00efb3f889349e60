"""The documents name files, sections and commands that exist; their studies are valid.

The analyses that they print are those that the command prints.
"""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from support.small_study import factorgrid

from flows.cli import main
from tasks.study.study_file import built_in_studies, parse_study

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "infra" / "docs"
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
#: Every document that is written for people.
LINKING = sorted({*ROOT.glob("*.md"), *DOCUMENTS, *ROOT.glob("tests/**/*.md")})
ARCHITECTURE = (DOCS / "architecture.md").read_text(encoding="utf-8")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "importlinter"
]["contracts"]
#: A path below one of the top-level folders. NAME stands for a file that the reader adds.
PATH = re.compile(r"(?:flows|tasks|models|analysis|infra|tests)/[\w./-]+")


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


def blocks(document: Path, kinds: str) -> list[str]:
    """Return the blocks of code of some kinds in a document."""
    text = document.read_text(encoding="utf-8")
    return re.findall(rf"^```(?:{kinds})\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def pairs(kinds: str, mark: str) -> list[Any]:
    """Return each block of some kinds with a text in it, for one test each, named by document."""
    return [
        pytest.param(block, id=f"{name_of(document)}-{number}")
        for document in DOCUMENTS
        for number, block in enumerate(blocks(document, kinds), start=1)
        if mark in block
    ]


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
    shown = "".join(blocks(document, "console|shell")).replace("\\\n", " ")
    for line in shown.splitlines():
        if "factorgrid " not in line:
            continue
        words = shlex.split(re.sub(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*", "", line))
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


def test_each_of_the_28_concepts_has_a_file() -> None:
    found = concepts()
    assert len(found) == 29
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


@pytest.mark.parametrize("text", pairs("toml", ""))
def test_every_study_in_a_document_is_valid(text: str) -> None:
    # A part of a study is shown without its name and its factors.
    factors = {"learning_rate": {"low": 0.001, "high": 0.1}}
    content = {"name": "part", "factors": factors, **tomllib.loads(text)}
    assert parse_study(content, "the document").name == content["name"]


@pytest.mark.parametrize("block", pairs("python", ""))
def test_every_block_of_python_in_a_document_is_python(block: str) -> None:
    compile(block, "the document", "exec")


@pytest.mark.parametrize("block", pairs("console", "$ factorgrid analyze"))
def test_a_printed_analysis_is_what_the_command_prints(tmp_path: Path, block: str) -> None:
    line, *printed = block.splitlines()
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


def test_analyses_of_the_published_studies_are_printed() -> None:
    shown = "".join(str(block.values[0]) for block in pairs("console", "$ factorgrid analyze"))
    assert "/paper.csv " in shown
    assert "/paper-gpu-screen.csv " in shown


def test_the_table_of_commands_has_every_command() -> None:
    assert isinstance(main, click.Group)
    table = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    for name in main.commands:
        assert f"| `factorgrid {name}" in table


def test_the_table_of_studies_has_every_built_in_study() -> None:
    table = (DOCS / "guides" / "own-images.md").read_text(encoding="utf-8")
    for name in built_in_studies():
        assert f"| `{name}` |" in table
