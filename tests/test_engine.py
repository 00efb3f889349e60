"""The engines, each Keras backend in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module", params=["tensorflow", "jax"])
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp(request.param)
    ended = subprocess.run(
        [sys.executable, str(HERE / "engines.py"), str(folder)],
        env={**os.environ, "KERAS_BACKEND": request.param, "PYTHONPATH": str(HERE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return {**answer, "backend": request.param, "folder": folder}


def test_a_network_learns_to_tell_the_drawn_pictures_apart(trained: dict[str, Any]) -> None:
    whole = trained["whole"]
    assert whole["status"] == "finished"
    assert whole["backend"] == trained["backend"]
    assert whole["device"] == "cpu"
    assert [row["epoch"] for row in whole["history"]] == [1, 2, 3, 4, 5, 6]
    losses = [row["train_loss"] for row in whole["history"]]
    assert losses[-1] < losses[0]
    assert whole["history"][-1]["train_accuracy"] > 0.6
    assert (trained["folder"] / "model.keras").exists()


def test_changed_pictures_train_too(trained: dict[str, Any]) -> None:
    assert trained["augmented"]["status"] == "finished"
    assert trained["augmented"]["history"] != trained["whole"]["history"]


def test_gradients_of_parts_are_those_of_the_whole_batch(trained: dict[str, Any]) -> None:
    whole, thirds, singles = map(np.array, trained["parts"])
    assert thirds == pytest.approx(whole, rel=1e-4, abs=1e-5)
    assert singles == pytest.approx(whole, rel=1e-4, abs=1e-5)


def test_an_accelerator_without_memory_takes_smaller_parts_of_the_same_batch(
    trained: dict[str, Any],
) -> None:
    small = trained["without_memory"]
    assert small["micro_batch"] == 6
    assert trained["whole"]["micro_batch"] == 24
    figures = [
        [row[name] for row in run["history"] for name in ("train_loss", "val_loss")]
        for run in (small, trained["whole"])
    ]
    assert figures[0] == pytest.approx(figures[1], rel=0.02)


def test_a_loss_that_is_no_number_ends_the_epoch_at_its_step(trained: dict[str, Any]) -> None:
    assert trained["diverged"]["status"] == "diverged"
    assert "the loss became no number in epoch 1, step" in trained["diverged"]["reason"]
