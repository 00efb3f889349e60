"""MLflow's empty database, copied from one that was made before.

MLflow makes it by its migrations, which takes a second and a half of computing in every new home.
The tests of its creation (``tests/tasks/tracking/test_local_database.py``) make their own.
"""

import shutil
from pathlib import Path

from support.made_once import database_of

from tasks.tracking.local_database import COMPANIONS, make_database, sqlite_file


def copy_or_make_database(uri: str) -> None:
    """Copy the database to a file that does not exist; otherwise do what the product does."""
    file = sqlite_file(uri)
    if file is None or _is_begun(file) or not file.parent.is_dir():
        make_database(uri)
    else:
        _copy_to(file)


def add_mlflow_database(home: Path) -> Path | None:
    """Copy the database to a home that has none, and return it; None if it has one."""
    file = home / "mlflow.db"
    if _is_begun(file):
        return None
    home.mkdir(parents=True, exist_ok=True)
    _copy_to(file)
    return file


def _is_begun(file: Path) -> bool:
    return any(Path(f"{file}{end}").exists() for end in ("", *COMPANIONS))


def _copy_to(file: Path) -> None:
    partial = file.with_name(f"{file.name}.copied")
    shutil.copyfile(database_of("mlflow", _make), partial)
    partial.chmod(0o600)
    partial.replace(file)


def _make(file: Path) -> None:
    make_database(f"sqlite:///{file}")
