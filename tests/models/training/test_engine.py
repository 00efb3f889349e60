"""The engines of both Keras backends, each in its own process, and training without MLflow."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import small_study
from support.backend_process import run_checks

from tasks.settings import Settings
from tasks.tracking.tracker import Tracker

pytestmark = pytest.mark.process

TESTS = Path(__file__).parents[2]
ROOT = TESTS.parent
#: Runs `models.standalone` as on a machine that has only Keras, a backend and their dependencies.
STANDALONE = """
import runpy, sys
missing = "mlflow prefect pandas cv2 simplejpeg PIL zlib_ng scipy sklearn statsmodels matplotlib"
sys.modules.update(dict.fromkeys(missing.split()))
runpy.run_module("models.standalone", run_name="__main__")
"""


@pytest.fixture(scope="module", params=["tensorflow", pytest.param("jax", marks=pytest.mark.slow)])
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp(request.param)
    answer = run_checks("engine_checks.py", request.param, folder)
    return {**answer, "backend": request.param, "folder": folder}


def test_a_network_learns_to_distinguish_the_drawn_pictures(trained: dict[str, Any]) -> None:
    whole = trained["whole"]
    assert whole["status"] == "finished"
    assert whole["backend"] == trained["backend"]
    assert whole["device"] == "cpu"
    assert [row["epoch"] for row in whole["history"]] == [1, 2, 3, 4, 5, 6]
    losses = [row["train_loss"] for row in whole["history"]]
    assert losses[-1] < losses[0]
    assert whole["history"][-1]["train_accuracy"] > 0.6
    assert (trained["folder"] / "model.keras").exists()


def test_augmented_pictures_train_too(trained: dict[str, Any]) -> None:
    assert trained["augmented"]["status"] == "finished"
    assert trained["augmented"]["history"] != trained["whole"]["history"]


def test_the_mean_gradient_of_the_parts_is_that_of_the_whole_batch(trained: dict[str, Any]) -> None:
    whole, thirds = map(np.array, trained["parts"])
    assert thirds == pytest.approx(whole, rel=1e-4, abs=1e-5)


def test_an_accelerator_without_enough_memory_trains_on_parts_of_the_same_batch(
    trained: dict[str, Any],
) -> None:
    small = trained["without_memory"]
    assert small["micro_batch"] == 12
    assert trained["whole"]["micro_batch"] == 24
    figures = [
        [row[name] for row in run["history"] for name in ("train_loss", "val_loss")]
        for run in (small, trained["whole"])
    ]
    assert figures[0] == pytest.approx(figures[1], rel=0.02)


def test_a_loss_that_is_not_finite_ends_the_epoch_at_its_step(trained: dict[str, Any]) -> None:
    assert trained["diverged"]["status"] == "diverged"
    assert "the loss became NaN or infinite in epoch 1, step" in trained["diverged"]["reason"]


ON_JAX = pytest.mark.parametrize(
    "trained", [pytest.param("jax", marks=pytest.mark.slow)], indirect=True
)


@ON_JAX
def test_the_cheaper_network_has_the_same_answers_and_gradients(trained: dict[str, Any]) -> None:
    for name, difference in trained["twins"].items():
        assert difference < 1e-5, name


@ON_JAX
def test_a_process_compiles_once_for_all_seeds_and_learning_rates(trained: dict[str, Any]) -> None:
    programs = trained["programs"]
    assert programs["hits"] == 1
    assert programs["others"] == 0
    assert programs["equal"]


@ON_JAX
def test_the_compiled_loop_of_a_gpu_trains_the_same_steps(trained: dict[str, Any]) -> None:
    one_by_one, looped = trained["programs"]["ended"]
    assert looped == pytest.approx(one_by_one, rel=1e-4, abs=1e-5)


def test_the_fork_server_uses_no_device() -> None:
    """A CUDA context does not survive a fork."""
    script = (
        "import models.training.forkserver_preload, jax._src.xla_bridge as b\n"
        "print(len(b._backends))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == "0"


@pytest.mark.slow
def test_a_child_loads_programs_that_an_earlier_child_compiled_for_a_gpu(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path

from support import engine_checks as engines
from support.array_cache import write_drawn_cache
from tasks.training.devices import Device
from tasks.training.slots import SlotPool

folder = Path(sys.argv[1])
write_drawn_cache(folder / "cache", 640)
for gpu, names in (("", "a"), ("0", "bc")):
    with SlotPool((Device(gpu, 1),), compiled=folder / "compiled") as pool:
        for name in names:
            with pool.slot() as slot:
                slot.run(engines.SPEC, folder / "cache", folder / name)
            print(len(list(folder.glob("compiled/*-cache"))))
"""
    keep_all = {f"JAX_PERSISTENT_CACHE_MIN_{of}": "0" for of in ("COMPILE_TIME_SECS", "ENTRY_SIZE")}
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={
            **os.environ,
            **keep_all,
            "KERAS_BACKEND": "jax",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{TESTS}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    of_cpu, first, second = map(int, ended.stdout.split())
    assert of_cpu == 0
    assert first == second > 0


@pytest.mark.slow
def test_a_study_is_trained_on_another_machine_and_logged_here(tmp_path: Path) -> None:
    """The handover folder is trained with only `models/`, and its results are logged here."""
    study = small_study.easy_study(tmp_path)
    home, trip = tmp_path / "home", tmp_path / "trip"
    arguments: list[str | Path] = ["search", study, "--elsewhere", trip]
    written = small_study.factorgrid(*arguments, home=home)
    assert written.returncode == 3, written.stderr
    assert "the screen stage has 4 replicates to train" in written.stderr.splitlines()[-1]
    train = [
        sys.executable,
        "-c",
        STANDALONE,
        "jobs.json",
        "--arrays",
        "arrays",
        "--out",
        "results",
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.run(train, cwd=trip, env=env, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("accuracy") == 4
    result = next((trip / "results").iterdir()) / "predictions.npz"
    whole = result.read_bytes()
    result.write_bytes(whole[:100])  # copied in part
    partial = small_study.factorgrid(*arguments, home=home)
    assert partial.returncode == 2, partial.stderr
    assert "is not a whole result" in partial.stderr.splitlines()[-1]
    result.write_bytes(whole)
    again = small_study.factorgrid(*arguments, home=home)
    assert again.returncode == 3, again.stderr
    assert "the refine stage has" in again.stderr.splitlines()[-1]
    tracker = Tracker.open(Settings(home, f"sqlite:///{home / 'mlflow.db'}"))
    execution = tracker.last_execution(tracker.existing_experiment("tiny"))
    runs = tracker.children(execution.info.run_id, execution.info.experiment_id)
    assert [run.info.status for run in runs] == ["FINISHED"] * 4
    assert all("val_accuracy" in run.data.metrics for run in runs)


def test_invalid_jobs_are_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "jobs.json").write_text('[{"model": 1}]', encoding="utf-8")
    arguments = [
        "-m",
        "models.standalone",
        tmp_path / "jobs.json",
        "--arrays",
        tmp_path,
        "--out",
        tmp_path,
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, *map(str, arguments)], env=env, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "not the spec of a replicate" in ended.stderr
