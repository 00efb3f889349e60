"""The champion as a LiteRT file: equal answers, and one line for what cannot be written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.small_study import Done, factorgrid

from models.images.drawn import draw
from models.training.litert import in_float32, litert_answers
from models.training.result import probability
from tasks.errors import UserError
from tasks.registry.convert import convert_model
from tasks.registry.model_registry import CHAMPION, Registry


def test_the_file_answers_as_the_champion_does(done: Done, tmp_path: Path) -> None:
    out = tmp_path / "cats.tflite"
    ended = factorgrid("convert", "tiny", "--out", out, "--json", home=done.home)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    about = json.loads((tmp_path / "cats.json").read_text())
    assert about == {key: found[key] for key in ("model", "version", "classes", "image_size")}
    assert about["classes"] == ["cat", "dog"]
    assert found["bytes"] == out.stat().st_size
    registry = Registry.open(done.tracker, "tiny")
    network = registry.load(registry.version_of(CHAMPION)).python_model.network
    images = draw(20, about["image_size"], seed=5)[0].astype(np.float32)
    answers = probability(litert_answers(out.read_bytes(), images))
    expected = probability(np.asarray(in_float32(network).predict(images, verbose=0)))
    assert np.abs(answers - expected).max() < 1e-5
    # On hardware with bfloat16 the study's network computes in it.
    assert (found["rounding"] > 0) == (in_float32(network) is not network)
    assert found["rounding"] < 0.05
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cats.json", "cats.tflite"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nope", "--out", "a.tflite"), "model 'nope': not registered"),
        (("tiny", "--out", "a.onnx"), "--out a.onnx: a LiteRT file ends in .tflite; name it so"),
        (("tiny", "--out", "no/a.tflite"), "the folder no does not exist; create it"),
        (("tiny", "--version", "99", "--out", "a.tflite"), "model tiny: no version 99; there are:"),
    ],
)
def test_what_cannot_be_written_is_one_line(
    done: Done, words: tuple[str, ...], message: str
) -> None:
    ended = factorgrid("convert", *words, home=done.home)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_network_that_answers_differently_is_not_written(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(content: bytes, images: Any) -> Any:
        return np.tile([5.0, -5.0], (len(images), 1))

    monkeypatch.setattr("tasks.registry.convert.litert_answers", other)
    with pytest.raises(UserError, match=r"answers differently, by .*; nothing was written"):
        convert_model(done.tracker.settings, "tiny", None, tmp_path / "a.tflite")
    assert not list(tmp_path.iterdir())
