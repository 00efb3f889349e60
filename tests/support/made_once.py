"""Files that are made once for all test runs of a user, because they take long to make."""

import os
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock


def database_of(package: str, make: Callable[[Path], None]) -> Path:
    """Return the empty database of an installed package; the first process makes it for all.

    Parameters
    ----------
    make : makes the file that it is given, whole or not at all; called if there is none.
    """
    folder = Path(tempfile.gettempdir()) / f"factorgrid-tests-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    made = folder / f"{package}-{version(package)}.db"
    with FileLock(f"{made}.lock"):
        if not made.exists():
            make(made)
    return made
