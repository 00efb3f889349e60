"""FactorGrid: the command line, and the functions for notebooks and scripts.

>>> import factorgrid as fg
>>> fg.load("quick").name
'quick'

`load` reads a study, `plan` says what it will do, `search` carries it out, `open` reads the
findings of one that was run before, and `analyze` fits the effects of a table of runs; see
`flows.api`. They are loaded when the first of them is used.

`main` is the command: it checks where Python imports FactorGrid from, and runs the command line.
FactorGrid's packages have general names (`flows`, `tasks`, `models`, `analysis`), and so have files
of users and other packages. The current folder is therefore never imported from, and another
installed package of one of these names is refused. This module imports only the standard library
before that; ``python -m factorgrid`` runs it too.
"""

import base64
import hashlib
import importlib.util
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flows.api import (
        Analysis,
        Plan,
        Result,
        analyze,
        effects_table,
        load,
        open,  # noqa: A004 # fg.open reads well
        plan,
        search,
    )
    from tasks.study.study_file import Study

__all__ = [
    "Analysis",
    "Plan",
    "Result",
    "Study",
    "analyze",
    "effects_table",
    "load",
    "main",
    "open",
    "plan",
    "search",
]
PACKAGES = ("flows", "tasks", "models", "analysis")
#: The folder in which FactorGrid is installed.
ROOT = Path(__file__).resolve().parent
EXIT_USER_ERROR = 2


def __getattr__(name: str) -> Any:
    """Return one of the functions and classes of `flows.api`.

    Raises
    ------
    ImportError
        If Python would import other packages than FactorGrid's.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for package in PACKAGES:
        if fault := find_fault(package):
            raise ImportError(fault)
    return getattr(import_module("flows.api"), name)


def __dir__() -> list[str]:
    """Return the names for notebooks and scripts."""
    return __all__


def main() -> None:
    """Run the command line, unless Python would import other packages than FactorGrid's."""
    try:
        ignore_current_folder()
    except FileNotFoundError:
        sys.exit(_error("the current folder no longer exists; change to another folder"))
    for name in PACKAGES:
        if fault := find_fault(name):
            sys.exit(_error(fault))
    from flows.cli import command

    command()


def ignore_current_folder() -> None:
    """Import nothing from the current folder, in this process and in all that it starts.

    ``python -m`` puts the current folder first on the path, and so does an empty entry of
    PYTHONPATH, as in ``PYTHONPATH=$PYTHONPATH:/lib``. A folder that PYTHONPATH names stays.

    Raises
    ------
    FileNotFoundError
        If the current folder was deleted.
    """
    here = Path.cwd()
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    named = [entry for entry in given if entry]
    if len(named) < len(given):
        os.environ["PYTHONPATH"] = os.pathsep.join(named)
    if here not in {ROOT, *(Path(entry).absolute() for entry in named)}:
        sys.path[:] = [entry for entry in sys.path if entry and Path(entry) != here]


def find_fault(name: str) -> str:
    """Return why one of FactorGrid's packages cannot be used, as one line; empty if it can."""
    spec = importlib.util.find_spec(name)
    own = ROOT / name / "__init__.py"
    if spec is None:
        return f"the package {name} is missing in {ROOT}; install FactorGrid again"
    origin = spec.origin or next(iter(spec.submodule_search_locations or []), "")
    place = Path(origin).resolve()
    if place == own and not _is_overwritten(own):
        return ""
    folder = place.parent.parent if place.name == "__init__.py" else place.parent
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if place != own and folder in {Path(entry).resolve() for entry in named if entry}:
        remedy = f"remove {folder} from PYTHONPATH"
    elif owners := _owners(name):
        remedy = f"it belongs to {', '.join(owners)}: uninstall that, or "
        remedy += "install FactorGrid in a virtual environment of its own"
    else:
        remedy = "remove it, or install FactorGrid in a virtual environment of its own"
    again = ", then install FactorGrid again" if place == own else ""
    return f"{place} is another package {name} than FactorGrid's; {remedy}{again}"


def _is_overwritten(file: Path) -> bool:
    """Whether an installed file differs from what the installer recorded for it.

    Two packages of one name share a folder: the one that was installed last has overwritten files
    of the other. An editable installation has no record of its files.
    """
    import importlib.metadata

    try:
        recorded = importlib.metadata.files("factorgrid") or []
    except importlib.metadata.PackageNotFoundError:
        return False
    name = file.relative_to(ROOT).as_posix()
    for entry in recorded:
        if entry.as_posix() == name and entry.hash is not None:
            digest = hashlib.new(entry.hash.mode, file.read_bytes()).digest()
            return base64.urlsafe_b64encode(digest).decode().rstrip("=") != entry.hash.value
    return False


def _owners(name: str) -> list[str]:
    """Return the names of the other installed distributions that have a package of a name."""
    import importlib.metadata

    found = importlib.metadata.packages_distributions().get(name, [])
    return sorted(set(found) - {"factorgrid"})


def _error(text: str) -> int:
    sys.stderr.write(f"factorgrid: {text}\n")
    return EXIT_USER_ERROR


if __name__ == "__main__":
    main()
