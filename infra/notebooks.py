"""Runs the notebooks of the documentation, and writes them with their outputs.

    nice -n 19 python infra/notebooks.py [NAME ...]

Everything happens in a temporary folder, which is also FactorGrid's home. Standard error (progress,
warnings) is left out of the outputs, and so is every path of this machine: a notebook with one is
refused.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent / "docs" / "notebooks"


def run_notebook(path: Path, folder: Path, environment: dict[str, str]) -> Any:
    """Return a notebook with the outputs of a new run in a folder.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=900, record_timing=False, resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env={**environment, "FACTORGRID_HOME": str(folder / "home")})
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    return notebook


def main() -> None:
    named = [NOTEBOOKS / f"{name}.ipynb" for name in sys.argv[1:]]
    for path in named or sorted(NOTEBOOKS.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            text = nbformat.writes(run_notebook(path, Path(folder), dict(os.environ)))
            for place in (folder, str(Path.home()), str(Path(__file__).parents[1])):
                if place in text:
                    sys.exit(f"{path}: an output has the path {place}; change the cell")
        path.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
