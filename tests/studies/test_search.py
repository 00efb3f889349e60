"""A study from the command line to the registry, read back from MLflow as its user would."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.small_study import (
    SHARED,
    STUDY,
    Done,
    command,
    environment,
    factorgrid,
    last_execution,
    watched,
    write_study,
)

from models.images.arrays import open_arrays


def test_every_replicate_is_a_finished_run_below_its_study(done: Done) -> None:
    execution = done.execution
    runs = execution.tracker.children(execution.run_id, execution.experiment)
    assert {run.info.status for run in runs} == {"FINISHED"}
    asked = {
        stage: sum(f"factorgrid.in_{stage}" in run.data.tags for run in runs)
        for stage in ("screen", "refine", "confirm")
    }
    # A cell of the grid that the screen trained is one run of both.
    assert asked == {"screen": 4, "refine": len(done.outcome["grid"]), "confirm": 2}
    assert len({run.data.tags["factorgrid.key"] for run in runs}) == len(runs) < sum(asked.values())


def test_a_run_has_levels_metrics_by_epoch_pictures_and_model(done: Done) -> None:
    execution = done.execution
    client = execution.tracker.client
    run = execution.tracker.children(execution.run_id, execution.experiment)[0]
    assert {"conv_layers", "learning_rate", "seed"} <= set(run.data.params)
    assert "factorgrid.coded.conv_layers" in run.data.tags
    assert "training.learning_rate" not in run.data.params  # a factor stands once
    history = client.get_metric_history(run.info.run_id, "val_accuracy")
    assert [point.step for point in history] == [1, 2, 3, 4]
    assert {"train_seconds", "parameters", "peak_memory_mb"} <= set(run.data.metrics)
    plots = {item.path for item in client.list_artifacts(run.info.run_id, "plots")}
    assert plots == {"plots/learning_curve.png", "plots/confusion.png", "plots/worst.png"}
    model = {item.path for item in client.list_artifacts(run.info.run_id, "model")}
    assert "model/model.keras" in model


def test_the_dataset_version_is_the_input_of_every_run(done: Done) -> None:
    execution = done.execution
    runs = execution.tracker.children(execution.run_id, execution.experiment)
    digests = {run.inputs.dataset_inputs[0].dataset.digest for run in runs}
    assert digests == {execution.version}


def test_the_parent_has_the_tables_the_plots_and_the_decision(done: Done) -> None:
    execution = done.execution
    client = execution.tracker.client
    names = {item.path for item in client.list_artifacts(execution.run_id)}
    assert {"study.json", "decision.json", "decision.txt", "runs.csv", "summary.txt"} <= names
    screen = {item.path for item in client.list_artifacts(execution.run_id, "screen")}
    plots = {f"screen/{name}.png" for name in ("pareto", "half_normal", "main_effects")}
    assert plots < screen


def test_the_best_network_is_champion(done: Done) -> None:
    execution = done.execution
    version = execution.tracker.client.get_model_version_by_alias("tiny", "champion")
    registered = done.outcome["registered"]
    assert registered["alias"] == "champion"
    assert version.run_id == registered["run_id"]
    assert version.tags["factorgrid.dataset_version"] == execution.version
    assert done.outcome["chosen"].keys() == {"conv_layers", "learning_rate"}


def test_the_champion_answers_as_the_network_did_in_training(done: Done) -> None:
    import base64

    import cv2
    import mlflow

    execution = done.execution
    mlflow.set_tracking_uri(execution.tracker.settings.tracking_uri)
    model = mlflow.pyfunc.load_model("models:/tiny@champion")
    arrays = open_arrays(next(p for p in (done.home / "cache").iterdir()))
    rows = arrays.side("test")
    pictures = [cv2.imencode(".png", arrays.images[row][:, :, ::-1])[1].tobytes() for row in rows]
    texts = [base64.b64encode(picture).decode() for picture in pictures]
    answers = model.predict(pd.DataFrame({"image": [*texts, "no picture"]}))
    folder = done.home / "fetched"
    run_id = done.outcome["registered"]["run_id"]
    saved = np.load(execution.tracker.artifact(run_id, "model/predictions.npz", folder))
    probability = saved["test_probability"]
    *good, bad = pd.DataFrame(answers).to_dict("records")
    assert [row["label"] for row in good] == [arrays.classes[i] for i in probability.argmax(1)]
    expected = probability.max(axis=1)
    assert np.allclose([row["probability"] for row in good], expected, atol=2e-3)
    assert bad["error"]
    assert bad["label"] == ""


def test_nothing_tries_to_reach_the_internet(done: Done, tmp_path: Path) -> None:
    probe = environment(tmp_path, **watched(tmp_path))
    code = "import socket; socket.getaddrinfo('example.invalid', 80)"
    subprocess.run([sys.executable, "-c", code], env=probe, capture_output=True, check=False)
    assert "example.invalid" in (tmp_path / "watched.txt").read_text()  # the watch works
    assert not (done.path.parent / "watched.txt").exists()


def test_a_study_says_only_what_is_its_own(done: Done) -> None:
    for line in done.said.splitlines():
        assert line.startswith(("pictures: ", "screen", "refine", "confirm", "  ", "suspects: "))


def test_analyze_rebuilds_the_outcome_from_mlflow_alone(done: Done) -> None:
    ended = factorgrid("analyze", "--experiment", "tiny", "--json", home=done.home)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == done.outcome


def test_the_grid_and_its_reasons_are_told(done: Done) -> None:
    ended = factorgrid("analyze", "--experiment", "tiny", home=done.home)
    for words in ("Effects (screen)", "Decision", "Refined grid", "Winner", "no photographs"):
        assert words in ended.stdout


def test_a_study_that_is_done_trains_nothing_again(done: Done) -> None:
    before = len(_trained(done.home))
    ended = factorgrid("search", done.path, "--json", home=done.home)
    assert ended.returncode == 0, ended.stderr
    assert len(_trained(done.home)) == before
    assert json.loads(ended.stdout) == done.outcome
    assert f"nothing to train: run {done.execution.run_id} has the whole study" in ended.stderr
    assert last_execution(done.home, "tiny").run_id == done.execution.run_id


def _trained(home: Path) -> list[str]:
    execution = last_execution(home, "tiny")
    runs = execution.tracker.search([execution.experiment], "tags.`factorgrid.kind` = 'replicate'")
    return [r.info.run_id for r in runs if "factorgrid.reused_from" not in r.data.tags]


def _start(path: Path, home: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command("search", path, "--json"),
        env=environment(home),
        cwd=home.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _read_until(process: "subprocess.Popen[str]", words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"{words!r} was never said")


def test_a_study_killed_half_way_goes_on_and_ends_as_if_nothing_had_been(
    done: Done, tmp_path: Path
) -> None:
    path, home = write_study(tmp_path), tmp_path / "home"
    process = _start(path, home)
    _read_until(process, "screen    2/4")
    process.kill()
    process.wait()
    finished = set(_finished(home))
    assert finished
    ended = factorgrid("search", path, "--json", home=home)
    assert ended.returncode == 0, ended.stderr
    execution = last_execution(home, "tiny")
    runs = execution.tracker.children(execution.run_id, execution.experiment)
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    assert finished < {run.info.run_id for run in runs}
    same = ("screen", "grid", "best")  # the chosen one is the cheapest by seconds
    outcome = json.loads(ended.stdout)
    assert {k: outcome[k] for k in same} == {k: done.outcome[k] for k in same}


def _finished(home: Path) -> list[str]:
    execution = last_execution(home, "tiny")
    runs = execution.tracker.children(execution.run_id, execution.experiment)
    return [run.info.run_id for run in runs if run.info.status == "FINISHED"]


def test_ctrl_c_ends_the_study_and_mlflow_knows(tmp_path: Path) -> None:
    text = STUDY.replace("epochs = 4", "epochs = 5000")
    path, home = write_study(tmp_path, text), tmp_path / "home"
    process = _start(path, home)
    _read_until(process, "screen: 4 replicates")
    time.sleep(6)
    started = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.strip().splitlines() == [
        "factorgrid: interrupted; run the same command again to continue"
    ]
    assert time.monotonic() - started < 30  # seconds; it takes two, and machines are shared
    execution = last_execution(home, "tiny")
    runs = execution.tracker.children(execution.run_id, execution.experiment)
    parent = execution.tracker.client.get_run(execution.run_id)
    assert {run.info.status for run in [parent, *runs]} == {"KILLED"}
    assert not _left_running(home)


def _left_running(home: Path) -> list[str]:
    """Return the processes that still have this home in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environ = (folder / "environ").read_bytes()
            if str(home).encode() in environ and b"pytest" not in (folder / "cmdline").read_bytes():
                found.append((folder / "cmdline").read_text())
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_a_study_on_jax_ends_with_a_champion(tmp_path: Path) -> None:
    home = tmp_path / "home"
    path = write_study(tmp_path)
    ended = factorgrid("search", path, "--json", home=home, timeout=600, KERAS_BACKEND="jax")
    assert ended.returncode == 0, ended.stderr
    outcome = json.loads(ended.stdout)
    assert outcome["registered"]["alias"] == "champion"
    execution = last_execution(home, "tiny")
    runs = execution.tracker.children(execution.run_id, execution.experiment)
    assert {run.data.tags["factorgrid.backend"] for run in runs} == {"jax"}
    assert {run.info.status for run in runs} == {"FINISHED"}


PICTURES = SHARED / "data" / "petimages-sample.zip"


@pytest.mark.skipif(not PICTURES.exists(), reason="the real pictures are not at ../shared/data")
def test_a_study_on_real_pictures(tmp_path: Path) -> None:
    text = STUDY.replace("drawn = 240\n", "")
    ended = factorgrid(
        "search", write_study(tmp_path, text), "--data", PICTURES, "--json", home=tmp_path / "home"
    )
    assert ended.returncode == 0, ended.stderr
    outcome = json.loads(ended.stdout)
    assert "petimages-sample.zip" in outcome["data"]
    assert outcome["registered"]["alias"] == "champion"
