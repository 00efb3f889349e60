"""Whole studies that train their networks: they assert only what holds whichever network wins."""

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from support.small_study import (
    REAL_TRAINING,
    SHARED,
    STUDY,
    Done,
    easy_study,
    factorgrid,
    last_execution,
    write_study,
)

from models.images.arrays import open_arrays

PICTURES = SHARED / "data" / "petimages-sample.zip"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("trained")
    path = easy_study(folder)
    ended = factorgrid("search", path, "--json", home=folder / "home", **REAL_TRAINING)
    assert ended.returncode == 0, ended.stderr
    return Done(folder / "home", path, json.loads(ended.stdout), ended.stderr)


def test_every_network_was_trained(trained: Done) -> None:
    execution = trained.execution
    runs = execution.tracker.children(execution.run_id, execution.experiment)
    assert {run.info.status for run in runs} == {"FINISHED"}
    screened = [run for run in runs if "factorgrid.in_screen" in run.data.tags]
    assert len(screened) == 4
    client = execution.tracker.client
    histories = [client.get_metric_history(run.info.run_id, "train_loss") for run in screened]
    losses = np.array([[point.value for point in history] for history in histories])
    assert losses.shape == (4, 4)
    assert np.isfinite(losses).all()
    # No two networks had the same losses, and one at least did not stay where it began.
    assert len({tuple(row) for row in losses}) == 4
    assert (losses.std(axis=1) > 0).any()


def alias_that_was_earned(outcome: dict[str, Any], folder: Path) -> str | None:
    """Return the alias of a first network: only one that beats the constant answer has one."""
    arrays = open_arrays(next(path for path in (folder / "cache").iterdir()))
    counts = np.bincount(arrays.labels[arrays.side("test")])
    found = outcome["registered"]["constant"]
    assert found["right"] == counts.max()
    assert found["beaten"] == (found["p"] < 0.05)
    return "champion" if found["beaten"] else None


def test_the_first_network_of_a_name_is_champion_if_it_learnt(trained: Done) -> None:
    registered = trained.outcome["registered"]
    alias = alias_that_was_earned(trained.outcome, trained.home)
    version = trained.tracker.client.get_model_version("tiny", registered["version"])
    assert registered["alias"] == alias
    assert version.aliases == ([alias] if alias else [])
    assert version.run_id == registered["run_id"]
    assert trained.outcome["chosen"] in trained.outcome["tied"]


def test_the_registered_network_answers_as_it_did_in_training(trained: Done) -> None:
    import mlflow

    execution = trained.execution
    # Another test of this process may have asked another home's registry.
    mlflow.set_tracking_uri(execution.tracker.settings.tracking_uri)
    mlflow.set_registry_uri(execution.tracker.settings.tracking_uri)
    model = mlflow.pyfunc.load_model("models:/tiny/1")
    arrays = open_arrays(next(p for p in (trained.home / "cache").iterdir()))
    rows = arrays.side("test")
    pictures = [cv2.imencode(".png", arrays.images[row][:, :, ::-1])[1].tobytes() for row in rows]
    texts = [base64.b64encode(picture).decode() for picture in pictures]
    answers = model.predict(pd.DataFrame({"image": [*texts, "no picture"]}))
    folder = trained.home / "fetched"
    run_id = trained.outcome["registered"]["run_id"]
    saved = np.load(execution.tracker.artifact(run_id, "model/predictions.npz", folder))
    probability = saved["test_probability"]
    *good, bad = pd.DataFrame(answers).to_dict("records")
    # Of two classes that are equally likely to the third digit, either may be the answer.
    labels = [arrays.classes.index(row["label"]) for row in good]
    answered = probability[np.arange(len(labels)), labels]
    assert np.allclose([row["probability"] for row in good], answered, atol=2e-3)
    assert (answered >= probability.max(axis=1) - 4e-3).all()
    assert bad["error"]
    assert bad["label"] == ""


@pytest.mark.slow
def test_a_study_on_jax_registers_its_network(tmp_path: Path) -> None:
    home = tmp_path / "home"
    path = easy_study(tmp_path)
    ended = factorgrid("search", path, "--json", home=home, KERAS_BACKEND="jax", **REAL_TRAINING)
    assert ended.returncode == 0, ended.stderr
    outcome = json.loads(ended.stdout)
    assert outcome["registered"]["alias"] == alias_that_was_earned(outcome, home)
    execution = last_execution(home, "tiny")
    runs = execution.tracker.children(execution.run_id, execution.experiment)
    assert {run.data.tags["factorgrid.backend"] for run in runs} == {"jax"}
    assert {run.info.status for run in runs} == {"FINISHED"}


@pytest.mark.slow
@pytest.mark.skipif(not PICTURES.exists(), reason="the real pictures are not at ../shared/data")
def test_a_study_on_real_pictures(tmp_path: Path) -> None:
    text = STUDY.replace("drawn = 240\n", "")
    path, home = write_study(tmp_path, text), tmp_path / "home"
    ended = factorgrid("search", path, "--data", PICTURES, "--json", home=home, **REAL_TRAINING)
    if ended.returncode == 2:  # on another processor, nothing may be learned in four epochs
        assert "Nothing was learned" in ended.stderr
        assert "petimages-sample.zip" in ended.stderr
        return
    assert ended.returncode == 0, ended.stderr
    outcome = json.loads(ended.stdout)
    assert "petimages-sample.zip" in outcome["data"]
    assert outcome["registered"]["alias"] == alias_that_was_earned(outcome, home)
