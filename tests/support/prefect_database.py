"""Prefect's database for a new home, copied from one that was made before.

Prefect makes it by a hundred migrations, which takes 8 s of computing in every new home.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from support.made_once import database_of

MAKE = """
import asyncio
from prefect.server.database import provide_database_interface
asyncio.run(provide_database_interface().create_db())
"""


def add_prefect_database(home: Path) -> Path | None:
    """Copy the database to a home that has none, and return it; None if it has one.

    A home whose folder is damaged is left as it is.
    """
    file = home / "prefect" / "prefect.db"
    if file.exists() or file.parent.is_file():
        return None
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(database_of("prefect", _make), file)
    return file


def remove_unused(home: Path, databases: Sequence[Path]) -> None:
    """Remove copied databases, and their home, if the command wrote nothing there."""
    found = {file for file in home.rglob("*") if file.is_file()}
    if databases and found == set(databases):
        shutil.rmtree(home)


def _make(file: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        partial = Path(place) / "prefect.db"
        address = f"sqlite+aiosqlite:///{partial}"
        settings = {"PREFECT_HOME": place, "PREFECT_API_DATABASE_CONNECTION_URL": address}
        subprocess.run(
            [sys.executable, "-P", "-c", MAKE], env={**os.environ, **settings}, check=True
        )
        shutil.copy(partial, f"{file}.new")
    Path(f"{file}.new").replace(file)
