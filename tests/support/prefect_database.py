"""Prefect's database for a new home, copied from one that was made before.

Prefect makes it by a hundred migrations, which takes 8 s of computing in every new home.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

MAKE = """
import asyncio
from prefect.server.database import provide_database_interface
asyncio.run(provide_database_interface().create_db())
"""


def add_prefect_database(home: Path) -> Path | None:
    """Copy the database to a home that has none, and return it; None if it has one."""
    file = home / "prefect" / "prefect.db"
    if file.exists():
        return None
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(_made_once(), file)
    return file


def remove_unused(home: Path, databases: Sequence[Path]) -> None:
    """Remove copied databases, and their home, if the command wrote nothing there."""
    found = {file for file in home.rglob("*") if file.is_file()}
    if databases and found == set(databases):
        shutil.rmtree(home)


def _made_once() -> Path:
    """Return an empty database of the installed Prefect; the first process makes it for all."""
    folder = Path(tempfile.gettempdir()) / f"factorgrid-tests-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    made = folder / f"prefect-{version('prefect')}.db"
    with FileLock(f"{made}.lock"):
        if not made.exists():
            with tempfile.TemporaryDirectory() as place:
                partial = Path(place) / "prefect.db"
                address = f"sqlite+aiosqlite:///{partial}"
                settings = {"PREFECT_HOME": place, "PREFECT_API_DATABASE_CONNECTION_URL": address}
                subprocess.run(
                    [sys.executable, "-P", "-c", MAKE], env={**os.environ, **settings}, check=True
                )
                shutil.copy(partial, f"{made}.new")
            Path(f"{made}.new").replace(made)
    return made
