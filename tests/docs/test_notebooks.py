"""The notebooks of the documentation: they run, and what is committed is free of this machine."""

import ast
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from support.small_study import environment

import factorgrid as fg
from infra.notebooks import NOTEBOOKS, run_notebook

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
#: The names that a notebook may use of what a function returns.
RESULTS = (fg.Study, fg.Plan, fg.Result, fg.Analysis)
#: A path of the machine on which a notebook was run.
PATH_OF_A_MACHINE = re.compile(r"/(?:tmp|home|root|Users|work|opt)/")


def _code(path: Path) -> list[Any]:
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _tree(path: Path) -> ast.Module:
    lines = "\n".join(cell.source for cell in _code(path)).splitlines()
    return ast.parse("\n".join(line for line in lines if not line.startswith("%")))


def _attributes(tree: ast.Module, variable: str) -> set[str]:
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return {x.attr for x in nodes if isinstance(x.value, ast.Name) and x.value.id == variable}


def test_there_are_two_notebooks() -> None:
    assert [path.stem for path in PATHS] == ["own_experiment", "pictures"]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_code_of_a_notebook_uses_only_public_names(path: Path) -> None:
    tree = _tree(path)
    assert _attributes(tree, "fg")
    assert _attributes(tree, "fg") <= set(fg.__all__)
    known = {name for kind in RESULTS for name in dir(kind) if not name.startswith("_")}
    # Fields without a default are not attributes of the class.
    known |= {name for kind in RESULTS for name in kind.__annotations__}
    for variable in ("study", "planned", "result"):
        assert _attributes(tree, variable) <= known
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            module = getattr(node, "module", None) or node.names[0].name
            assert module.split(".")[0] not in fg.PACKAGES


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_was_run_in_order_and_has_no_path_of_a_machine(path: Path) -> None:
    cells = _code(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr"
            texts = [output.get("text", ""), *dict(output.get("data", {})).values()]
            for text in texts:
                # A picture as text may have any characters.
                assert str(text).startswith("iVBOR") or not PATH_OF_A_MACHINE.search(str(text))


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    run = run_notebook(path, tmp_path, environment(tmp_path / "home"))
    assert all(cell.execution_count for cell in run.cells if cell.cell_type == "code")
