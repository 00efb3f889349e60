"""MLflow's SQLite database is made whole or not at all."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tasks.tracking.local_database import is_missing, is_unfinished, make_database


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("whole") / "mlflow.db"
    make_database(f"sqlite:///{file}")
    return file


def _tables(file: Path) -> dict[str, str]:
    with closing(sqlite3.connect(file)) as connection:
        return dict(
            connection.execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND sql > ''"
            )
        )


def _begun(file: Path, whole: Path, share: float, revision: str = "") -> Path:
    """Make the first tables of a database, as a kill leaves them."""
    statements = [sql for name, sql in _tables(whole).items() if name != "sqlite_sequence"]
    with closing(sqlite3.connect(file)) as connection:
        for statement in statements[: int(share * len(statements))]:
            connection.execute(statement)
        if revision:
            connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
        connection.commit()
    return file


@pytest.mark.parametrize("share", [0, 0.3, 1])
def test_a_database_whose_creation_was_cut_off_is_made_again(
    share: float, whole: Path, tmp_path: Path
) -> None:
    file = _begun(tmp_path / "mlflow.db", whole, share)
    assert is_missing(f"sqlite:///{file}")
    make_database(f"sqlite:///{file}")
    assert set(_tables(file)) == set(_tables(whole))
    client = MlflowClient(f"sqlite:///{file}")
    assert client.get_run(client.create_run("0").info.run_id).info.status == "RUNNING"


def test_a_database_without_its_first_experiment_is_unfinished(whole: Path, tmp_path: Path) -> None:
    assert is_unfinished(_begun(tmp_path / "mlflow.db", whole, 1, "some revision"))


def test_a_finished_database_is_left_as_it_is(whole: Path, tmp_path: Path) -> None:
    file = Path(shutil.copy(whole, tmp_path))
    before = file.read_bytes()
    make_database(f"sqlite:///{file}")
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database", b"SQLite format 3\0 damaged"])
def test_a_file_that_is_no_database_is_left_as_it_is(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    file.write_bytes(content)
    assert not is_missing(f"sqlite:///{file}")
    make_database(f"sqlite:///{file}")
    assert file.read_bytes() == content


def test_a_database_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE pictures (name TEXT)")
        connection.commit()
    assert not is_unfinished(file)
    make_database(f"sqlite:///{file}")
    assert set(_tables(file)) == {"pictures"}


def test_a_failure_leaves_nothing_under_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mlflow.db"
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "search_experiments", _no_space)
        with pytest.raises(OSError, match="No space left"):
            make_database(f"sqlite:///{file}")
    assert not file.exists()
    make_database(f"sqlite:///{file}")
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def _no_space(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.process
def test_a_start_that_is_killed_while_the_database_is_made_can_be_repeated(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    code = (
        "import sys; from tasks.tracking.local_database import make_database; "
        "make_database(sys.argv[1])"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, f"sqlite:///{file}"],
        cwd=Path(__file__).parents[3],
        stderr=subprocess.DEVNULL,
    )
    while child.poll() is None and not any(path.stat().st_size for path in tmp_path.iterdir()):
        pass
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not file.exists()
    make_database(f"sqlite:///{file}")
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
