"""Training on a cluster: what travels, and two workers of Dask or Ray, one of them killed."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from support.mlflow_server import mlflow_server
from support.s3_server import s3_server
from support.service_process import until
from support.small_study import (
    STUDY,
    Done,
    command,
    environment,
    factorgrid,
    last_execution,
    write_study,
)

from models.images.arrays import open_arrays
from tasks.data.dataset import Prepared
from tasks.errors import UserError
from tasks.processes.ports import free_port
from tasks.progress import Progress
from tasks.settings import Settings
from tasks.training.cluster import ExecutionDescription, create_runner
from tasks.training.context import TrainingContext
from tasks.training.slots import SlotPool


def test_an_unknown_runner_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"threads \(the default\), dask or ray"):
        create_runner(Settings(tmp_path, "", runner="spark"))


def test_workers_receive_a_description_and_no_pictures(done: Done) -> None:
    folder = next(path for path in (done.home / "cache").iterdir() if path.is_dir())
    execution = done.execution
    images = Prepared(folder, execution.version, "drawn", "drawn", 240, 9999, 0)
    with SlotPool() as pool:
        settings = execution.tracker.settings
        arrays = open_arrays(folder)
        context = TrainingContext(settings, Progress(), pool, images, arrays, execution)
        sent = pickle.dumps(ExecutionDescription.of(context))
    assert len(sent) < 10_000
    opened = pickle.loads(sent).open()  # noqa: S301 # it was made above
    assert opened.execution.run_id == execution.run_id
    assert opened.arrays.images.shape == arrays.images.shape


@dataclass(frozen=True)
class Place:
    """Where a cluster's processes run.

    Attributes
    ----------
    home : theirs.
    log : gets what they say.
    hidden : a folder that they see as an empty one, as on another machine.
    more : variables of their environment.
    """

    home: Path
    log: Path
    hidden: Path | None = None
    more: dict[str, str] = field(default_factory=dict)

    def command(self, words: list[str]) -> list[str]:
        return words if self.hidden is None else [*APART, str(self.hidden), *words]


#: Runs a program that sees an empty folder in place of another one.
APART = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"']


@contextmanager
def _process(words: list[str], place: Place) -> Iterator["subprocess.Popen[bytes]"]:
    guard = place.command([sys.executable, "-m", "tasks.processes.supervisor", *words])
    env = environment(place.home, **place.more)
    with place.log.open("ab") as file:
        process = subprocess.Popen(guard, env=env, stdin=subprocess.PIPE, stdout=file, stderr=file)
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)


@contextmanager
def _dask(place: Place) -> Iterator[str]:
    """A scheduler and two worker processes."""
    address = f"tcp://127.0.0.1:{free_port()}"
    base = [sys.executable, "-m"]
    port = address.rpartition(":")[2]
    scheduler = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port]
    worker = ["distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"]
    with (
        _process([*base, *scheduler, "--no-dashboard"], place),
        _process([*base, *worker, "--no-dashboard"], place),
        _process([*base, *worker, "--no-dashboard"], place),
    ):
        until(lambda: place.log.read_text().count("Registered to") == 2, 200, "two workers")
        yield address


@contextmanager
def _ray(place: Place) -> Iterator[str]:
    """A cluster of two places, one process each."""
    port = str(free_port())
    words = ["start", "--head", "--port", port, "--num-cpus", "2", "--block"]
    quiet = ["--include-dashboard", "false", "--node-ip-address", "127.0.0.1"]
    folder = ["--temp-dir", "/tmp/fgray" + port]  # noqa: S108 # Ray wants a short one
    program = str(Path(sys.executable).with_name("ray"))
    with _process([program, *words, *quiet, *folder], place):
        until(lambda: "Ray runtime started" in place.log.read_text(), 200, "Ray")
        yield f"127.0.0.1:{port}"


CLUSTERS = {"dask": _dask, "ray": _ray}


def _trainer(home: Path) -> psutil.Process | None:
    """Return a process of this cluster that has a child which trains: it is to be killed."""
    for process in psutil.process_iter():
        try:
            told = " ".join(process.cmdline())
            ours = process.environ().get("FACTORGRID_HOME") == str(home)
            works = "dask_worker" in told or told.startswith("ray::")
            if ours and works and "guard" not in told and process.children():
                return process
        except psutil.Error:
            continue
    return None


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_a_cluster_finishes_a_study_after_one_of_two_workers_is_killed(
    runner: str, tmp_path: Path
) -> None:
    home, log = tmp_path / "home", tmp_path / "cluster.txt"
    log.touch()
    path = write_study(tmp_path, STUDY)
    with CLUSTERS[runner](Place(home, log)) as address:
        more = {"FACTORGRID_RUNNER": runner, "FACTORGRID_RUNNER_ADDRESS": address}
        with (tmp_path / "said.txt").open("w") as said:
            process = subprocess.Popen(
                command("search", path),
                env=environment(home, **more),
                cwd=tmp_path,
                stdout=said,
                stderr=said,
            )
        until(lambda: _finished(home), 600, "the first replicate")
        killed = until(lambda: _trainer(home), 200, "a worker that trains")
        os.kill(killed.pid, signal.SIGKILL)
        assert process.wait(1200) == 0, (tmp_path / "said.txt").read_text()
    execution = last_execution(home, "tiny")
    runs = execution.tracker.children(execution.run_id, execution.experiment)
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    finished = [run.data.tags["factorgrid.key"] for run in runs if run.info.status == "FINISHED"]
    assert len(finished) == len(set(finished))
    champion = execution.tracker.client.get_model_version_by_alias("tiny", "champion")
    assert champion.run_id in {run.info.run_id for run in runs}
    ended = factorgrid("analyze", "--experiment", "tiny", home=home)
    assert "Winner" in ended.stdout


def _finished(home: Path) -> bool:
    if not (home / "mlflow.db").exists():
        return False
    try:
        execution = last_execution(home, "tiny")
    except Exception:  # noqa: BLE001 # it is on its way
        return False
    runs = execution.tracker.children(execution.run_id, execution.experiment)
    return any(run.info.status == "FINISHED" for run in runs)


#: A network that comes with the study.
BUILDER = """
import keras

def build(image_size, classes, conv_layers):
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    layers += [keras.layers.Dense(8, activation="relu") for _ in range(conv_layers)]
    layers += [keras.layers.Dense(1, activation="sigmoid", dtype="float32")]
    return keras.Sequential([keras.Input((image_size, image_size, 3)), *layers])
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_workers_without_access_to_the_home_train_a_study(runner: str, tmp_path: Path) -> None:
    home, own, log = tmp_path / "home", tmp_path / "own", tmp_path / "cluster.txt"
    home.mkdir()
    log.touch()
    if subprocess.run([*APART, home, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no folder can be hidden from a process here")
    path = write_study(tmp_path, STUDY)
    with (
        s3_server(tmp_path) as s3,
        mlflow_server(tmp_path / "mlflow") as mlflow,
        CLUSTERS[runner](Place(own, log, home, s3.environment)) as address,
    ):
        more = {
            **s3.environment,
            "FACTORGRID_RUNNER": runner,
            "FACTORGRID_RUNNER_ADDRESS": address,
            "MLFLOW_TRACKING_URI": mlflow.uri,
        }
        alone = factorgrid("search", path, home=home, **more)
        assert alone.returncode == 2
        assert "or name a bucket that all can use in FACTORGRID_SHARE" in alone.stderr
        more["FACTORGRID_SHARE"] = "s3://bucket/share"
        ended = factorgrid("search", path, home=home, **more)
        assert ended.returncode == 0, ended.stderr + log.read_text()

        names = [item["Key"] for item in s3.client.list_objects_v2(Bucket="bucket")["Contents"]]
        assert sorted(name.rpartition("/")[2] for name in names) == [
            "about.json",
            "images.npy",
            "rows.npz",
        ]
        (sent,), (brought,) = (list((folder / "cache").iterdir()) for folder in (home, own))
        assert sent.name == brought.name
        assert (sent / "images.npy").read_bytes() == (brought / "images.npy").read_bytes()
        client = MlflowClient(mlflow.uri, registry_uri=mlflow.uri)
        experiment = client.get_experiment_by_name("tiny")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id], "tags.`factorgrid.key` != ''")
        assert {run.info.status for run in runs} == {"FINISHED"}
        champion = client.get_model_version_by_alias("tiny", "champion")
        assert champion.run_id in {run.info.run_id for run in runs}
        assert "model" in {file.path for file in client.list_artifacts(champion.run_id)}

        (home / "mine.py").write_text(BUILDER)
        model = '[model]\nbuilder = "mine:build"\nbuilder_folder = "home"\n'
        text = STUDY.replace("[model]\nfilters = 4\ndense_units = 8\n", model)
        named = write_study(tmp_path, text.replace('"tiny"', '"mine"'))
        refused = factorgrid("search", named, home=home, **more)
        assert refused.returncode == 2, refused.stderr
        assert "model.builder mine:build: no mine.py in" in refused.stderr.splitlines()[-1]
