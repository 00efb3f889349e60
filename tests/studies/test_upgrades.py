"""Databases that older versions of MLflow and Prefect made, and what today's do with them."""

import json
import os
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import command as alembic
from mlflow import MlflowClient
from mlflow.store.db.utils import _get_alembic_config
from support.mlflow_server import postgres, postgresql
from support.service_process import Service, service, until
from support.small_study import STUDY, environment, factorgrid, write_study

from tasks.environment import QUIET
from tasks.errors import TrackingError
from tasks.service.databases import open_databases
from tasks.settings import Settings
from tasks.tracking.database_schema import read_schema
from tasks.tracking.tracker import Tracker

#: What the old versions need that a fresh resolve would not take.
OLD = {
    "mlflow": ["sqlalchemy<2.1", "psycopg2-binary"],
    "prefect": ["sqlalchemy<2.1", "fastapi<0.120"],
}
#: What uv says where the registry cannot be reached.
UNREACHABLE = ("failed to fetch", "error sending request", "request failed", "could not connect")
#: Fills MLflow's database, by its own client: an address, where artifacts go.
FILL_MLFLOW = """
import sys
from mlflow import MlflowClient

address, artifacts = sys.argv[1:]
client = MlflowClient(address, registry_uri=address)
experiment = client.create_experiment("kept", artifacts)
run = client.create_run(experiment, tags={"colour": "blue"}).info.run_id
client.log_param(run, "depth", 3)
for step, accuracy in enumerate((0.5, 0.75)):
    client.log_metric(run, "accuracy", accuracy, step=step)
client.log_text(run, "a note", "note.txt")
client.set_terminated(run)
client.create_registered_model("pets")
client.create_model_version("pets", f"{artifacts}/model", run, tags={"size": "64"})
client.set_registered_model_alias("pets", "champion", 1)
"""
#: Fills Prefect's database, by a flow with a server of its own.
FILL_PREFECT = """
from prefect import flow

@flow(name="kept", flow_run_name="before")
def kept():
    return 3

kept()
"""


def _older(home: Path) -> None:
    """Take MLflow's database at a home back to a schema before, as an older version left it."""
    alembic.downgrade(_get_alembic_config(f"sqlite:///{home / 'mlflow.db'}"), "-1")


def _set_revision(home: Path, revision: str) -> None:
    with sqlite3.connect(home / "mlflow.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [revision])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose database has one experiment, and today's schema."""
    made = tmp_path / "home"
    Tracker.open(_local(made)).experiment("kept")
    return made


def _local(home: Path) -> Settings:
    return Settings(home, f"sqlite:///{home / 'mlflow.db'}")


def _one_line(home: Path, *words: str | Path, **more: str) -> str:
    """Return the one line in which a command refuses."""
    ended = factorgrid(*words, home=home, **more)
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.strip().splitlines()
    return line


@pytest.mark.parametrize("missing", [False, True])
def test_an_older_database_is_refused_and_left_as_it_is(home: Path, missing: bool) -> None:  # noqa: FBT001 # of a test
    revision = read_schema(f"sqlite:///{home / 'mlflow.db'}").revision
    if missing:  # of such a one MLflow upgrades itself
        _set_revision(home, "451aebb31d03")
        with sqlite3.connect(home / "mlflow.db") as connection:
            connection.execute("DROP TABLE jobs")
    else:
        _older(home)
    before = (home / "mlflow.db").read_bytes()
    with pytest.raises(TrackingError, match=r"of an older MLflow.*mlflow db upgrade sqlite:///"):
        Tracker.open(_local(home))
    line = _one_line(home, "up", "--mlflow-port", "0", "--prefect-port", "0")
    assert f"mlflow db upgrade sqlite:///{home}/mlflow.db" in line
    assert revision in line
    assert (home / "mlflow.db").read_bytes() == before


def test_a_newer_database_is_not_taken_for_an_older_one(home: Path) -> None:
    _set_revision(home, "ffffffffffff")
    with pytest.raises(TrackingError, match=r"ffffffffffff of a newer MLflow than \d.*install"):
        Tracker.open(_local(home))


def test_a_database_whose_creation_was_interrupted_is_completed(home: Path) -> None:
    _older(home)
    with sqlite3.connect(home / "mlflow.db") as connection:
        connection.execute("DELETE FROM experiments")
    assert not read_schema(f"sqlite:///{home / 'mlflow.db'}").fault


def test_the_database_of_another_program_is_reported_in_one_line(tmp_path: Path) -> None:
    tmp_path.joinpath("mlflow.db").write_bytes(b"no database " * 100)
    with pytest.raises(TrackingError, match="correct MLFLOW_TRACKING_URI"):
        Tracker.open(_local(tmp_path))


# -- real older versions ------------------------------------------------------------------------


Python = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def python_with(tmp_path_factory: pytest.TempPathFactory) -> Python:
    """Return what makes an environment with an older package, and returns its interpreter."""
    made: dict[str, Path] = {}

    def make(package: str, version: str) -> Path:
        name = f"{package}=={version}.*"
        if name not in made:
            made[name] = _environment(tmp_path_factory.mktemp("old"), [name, *OLD[package]])
        return made[name]

    return make


def _environment(folder: Path, packages: list[str]) -> Path:
    python = folder / "bin" / "python"
    _uv("venv", "--clear", "--python", sys.executable, folder)
    _uv("pip", "install", "--python", python, *packages)
    return python


def _uv(*words: str | Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("uv is not installed: no older versions")
    ended = subprocess.run(
        [uv, "--quiet", *words], capture_output=True, text=True, check=False, timeout=900
    )
    if ended.returncode and any(words in ended.stderr.lower() for words in UNREACHABLE):
        pytest.skip("the package registry cannot be reached: no older versions")
    assert ended.returncode == 0, ended.stderr


def _run(python: Path, code: str, *words: str, home: Path, **more: str) -> None:
    kept = environment(home, **QUIET, PREFECT_HOME=str(home / "prefect"), **more)
    del kept["PYTHONPATH"]
    kept["HOME"] = str(home.parent)
    ended = subprocess.run(
        [python, "-c", code, *words],
        cwd=home.parent,
        env=kept,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr


@contextmanager
def _server(kind: str) -> Iterator[str | None]:
    """Yield the address of a PostgreSQL server; None for SQLite."""
    if kind == "sqlite":
        yield None
        return
    if postgresql() is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres() as address:
        yield address.rpartition("/")[0]


def _upgrade(remedy: str) -> None:
    """Run the command that a remedy names, as it stands there."""
    words = shlex.split(remedy.partition("then: ")[2])
    assert words[:3] == ["mlflow", "db", "upgrade"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(words, env={**os.environ, "PATH": path}, check=True, capture_output=True)


def _database_of(home: Path, address: str) -> dict[str, str]:
    ended = factorgrid("doctor", "--json", home=home, MLFLOW_TRACKING_URI=address)
    findings = json.loads(ended.stdout)["findings"]
    found: dict[str, str] = next(f for f in findings if f["name"] == "database")
    assert ended.returncode == (2 if found["state"] == "fail" else 0), ended.stdout
    return found


def _all_is_there(address: str) -> None:
    client = MlflowClient(address, registry_uri=address)
    experiment = client.get_experiment_by_name("kept")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], "params.depth = '3'")
    assert run.info.status == "FINISHED"
    assert run.data.tags["colour"] == "blue"
    history = client.get_metric_history(run.info.run_id, "accuracy")
    assert [metric.value for metric in history] == [0.5, 0.75]
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["note.txt"]
    champion = client.get_model_version_by_alias("pets", "champion")
    assert (champion.run_id, champion.tags["size"]) == (run.info.run_id, "64")


def _kept_run(running: Service) -> dict[str, str]:
    (run,) = running.api.post("flow_runs/filter", {"flow_runs": {"name": {"any_": ["before"]}}})
    return dict(run)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("mlflow", "prefect", "database"),
    [
        ("3.16", "3.7", "sqlite"),
        ("3.16", "3.7", "postgresql"),
        ("3.15", "3.6", "sqlite"),
        ("3.5", "3.6", "sqlite"),
    ],
)
def test_what_older_versions_wrote_is_kept_and_used(
    mlflow: str, prefect: str, database: str, python_with: Python, tmp_path: Path
) -> None:
    home = Settings(tmp_path / "home", "").create().home
    (home / "prefect").mkdir(exist_ok=True)
    olds = python_with("mlflow", mlflow), python_with("prefect", prefect)
    with _server(database) as server:
        address, prefect_address = open_databases(Settings(home, ""), server)
        _run(olds[0], FILL_MLFLOW, address, (home / "artifacts/kept").as_uri(), home=home)
        more = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": prefect_address}
        _run(olds[1], FILL_PREFECT, home=home, **more)
        was = read_schema(address)

        up = {"FACTORGRID_DATABASE": server} if server else {}
        study = write_study(tmp_path, STUDY)
        for line in (
            _one_line(home, "search", study, MLFLOW_TRACKING_URI=address),
            _one_line(home, "up", "--mlflow-port", "0", "--prefect-port", "0", **up),
        ):
            assert was.revision in line
            assert was.remedy in line
        assert read_schema(address) == was

        found = _database_of(home, address)
        assert was.revision in found["found"]
        _upgrade(found["remedy"])
        assert _database_of(home, address)["state"] == "ok"
        _all_is_there(address)

        with service(home, **up) as running:
            until(lambda: _kept_run(running)["state_type"] == "COMPLETED", 60, "the run before")
            ended = factorgrid("search", study, home=home)
            assert ended.returncode == 0, ended.stderr
        _all_is_there(address)
        client = MlflowClient(address, registry_uri=address)
        assert client.get_model_version_by_alias("tiny", "champion").name == "tiny"
