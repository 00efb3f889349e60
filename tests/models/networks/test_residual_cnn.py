"""The network of modern parts: its shapes, its layers, and its file."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from models.networks.average_flip import with_average_flip
from models.networks.build_network import build_from
from models.networks.multiply_adds import count_multiply_adds
from models.networks.residual_cnn import (
    DOWNSAMPLINGS,
    HEADS,
    IDENTIFIER,
    NORMALIZATIONS,
    build,
    stage_width,
)
from models.spec import ModelSpec, Scalar

SMALL: dict[str, Any] = {"image_size": 16, "classes": 3, "stages": 2, "width": 8}
IMAGES = np.random.default_rng(1).uniform(0, 255, (4, 16, 16, 3)).astype(np.float32)
#: Loads a network without this project, and prints its answers.
LOAD = """
import sys
sys.modules.update(dict.fromkeys(["models", "tasks", "flows", "analysis"]))
import keras, numpy
network = keras.saving.load_model(sys.argv[1])
images = numpy.load(sys.argv[2])
numpy.save(sys.argv[3], network.predict(images, verbose=0))
"""


def _kinds(network: Any) -> set[str]:
    return {type(layer).__name__ for layer in network.layers}


@pytest.mark.parametrize(
    "settings",
    [
        *({"normalization": name} for name in NORMALIZATIONS),
        *({"downsample": name} for name in DOWNSAMPLINGS),
        *({"head": name} for name in HEADS),
        {"residual": False, "squeeze_excitation": True},
        {"stochastic_depth": 0.5, "dropout": 0.5, "depth": 2},
        {"depth": 0, "stages": 8},
        {"activation": "gelu", "width_growth": 1.3},
    ],
)
def test_every_setting_builds_a_network_that_returns_logits(settings: dict[str, Scalar]) -> None:
    given = {name: value for name, value in SMALL.items() if name not in {"image_size", "classes"}}
    network = build_from(ModelSpec(IDENTIFIER, {**given, **settings}), 16, 3)
    assert network(IMAGES).shape == (4, 3)
    assert count_multiply_adds(network).not_counted == ()
    assert all(type(layer).__module__.startswith("keras.") for layer in network.layers)


def test_the_settings_choose_the_layers() -> None:
    assert "BatchNormalization" in _kinds(build(**SMALL))
    assert "GroupNormalization" in _kinds(build(**SMALL, normalization="group"))
    without = build(**SMALL, normalization="none", residual=False, downsample="stride")
    assert not _kinds(without) & {"BatchNormalization", "Add", "MaxPooling2D", "Dropout"}
    assert "Multiply" in _kinds(build(**SMALL, squeeze_excitation=True))
    dropped = build(**SMALL, stochastic_depth=0.4, depth=2)
    rates = [layer.rate for layer in dropped.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_stochastic_depth_leaves_whole_blocks_out_for_an_image() -> None:
    layer = keras.layers.Dropout(0.5, noise_shape=(None, 1, 1, 1), seed=1)
    kept = np.asarray(layer(np.ones((64, 4, 4, 2), np.float32), training=True))
    assert set(np.unique(kept.reshape(64, -1).std(axis=1))) == {0}
    assert set(np.unique(kept)) == {0, 2}


def test_a_block_with_a_shortcut_begins_as_the_identity() -> None:
    deep = build(**SMALL, depth=3)
    convolutions = [layer for layer in deep.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(convolutions) == 2 + 2 * 3 * 2
    adds = [layer for layer in deep.layers if isinstance(layer, keras.layers.Add)]
    inner = keras.Model(deep.input, [adds[0].input[0], adds[0].output])
    before, after = (np.asarray(x) for x in inner(IMAGES))
    assert np.array_equal(before, after)


def test_maps_are_halved_down_to_4_pixels() -> None:
    for downsample in DOWNSAMPLINGS:
        network = build(image_size=30, classes=2, stages=8, depth=0, downsample=downsample)
        sides = [
            layer.output.shape[1]
            for layer in network.layers
            if isinstance(layer, keras.layers.Activation)
        ]
        expected = {"pooling": [15, 7, 3, 3, 3, 3, 3, 3], "stride": [15, 8, 4, 4, 4, 4, 4, 4]}
        assert sides == expected[downsample]


def test_widths_are_multiples_of_8() -> None:
    assert [stage_width(16, 2.0, stage) for stage in range(4)] == [16, 32, 64, 128]
    assert [stage_width(20, 1.3, stage) for stage in range(3)] == [16, 24, 32]
    assert stage_width(1, 1.0, 0) == 8


def test_the_average_over_the_mirrored_image_is_the_same_for_both() -> None:
    network = build(**SMALL)
    averaged = with_average_flip(network)
    answers = np.asarray(averaged(IMAGES))
    expected = (np.asarray(network(IMAGES)) + np.asarray(network(IMAGES[:, :, ::-1]))) / 2
    assert answers == pytest.approx(expected, abs=1e-5)
    cost, own = count_multiply_adds(averaged), count_multiply_adds(network)
    assert (cost.total, cost.not_counted) == (2 * own.total, ())


@pytest.mark.process
def test_a_saved_network_is_loaded_without_this_project(tmp_path: Path) -> None:
    network = with_average_flip(build(**SMALL, squeeze_excitation=True, stochastic_depth=0.2))
    network.save(tmp_path / "network.keras")
    np.save(tmp_path / "images.npy", IMAGES)
    files = [tmp_path / name for name in ("network.keras", "images.npy", "answers.npy")]
    ended = subprocess.run(
        [sys.executable, "-c", LOAD, *map(str, files)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert np.load(files[2]) == pytest.approx(np.asarray(network(IMAGES)), abs=1e-4)
