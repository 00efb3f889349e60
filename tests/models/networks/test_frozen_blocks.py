"""A network of which the last blocks are trained, as two networks with the same answers."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.array_cache import write_drawn_cache
from support.backbone_files import write_backbone

from models.images.arrays import open_arrays
from models.networks.frozen_blocks import split_at_first_trained
from models.networks.pretrained import build
from models.spec import PRETRAINED_BUILDER, ModelSpec, ReplicateSpec, TrainingSpec, trained_blocks
from models.training import features
from models.training.backend import load_keras
from models.training.features import learner_and_inputs


@pytest.fixture(autouse=True)
def _float32() -> None:
    load_keras().config.set_dtype_policy("float32")


def _network(**settings: Any) -> tuple[Any, ModelSpec]:
    own = {"weights": "none", "unfreeze": 1, **settings}
    if str(own["backbone"]).endswith(".keras"):
        del own["weights"]
    return build(image_size=32, classes=3, **own), ModelSpec(PRETRAINED_BUILDER, own)


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize(
    "backbone",
    ["ResNet50", "MobileNetV3Small", "DenseNet121", "VGG16", "EfficientNetB0", "EfficientNetV2B0"],
)
def test_both_parts_together_answer_as_the_network_does(backbone: str, blocks: int) -> None:
    network, model = _network(backbone=backbone, unfreeze=blocks)
    split = split_at_first_trained(network, model)
    assert split is not None
    frozen, rest = split
    images = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype("float32")
    answers = np.asarray(network(images, training=False))
    np.testing.assert_allclose(
        np.asarray(rest(frozen(images, training=False), training=False)), answers, rtol=1e-5
    )
    assert {v.path for v in rest.trainable_variables} == {
        v.path for v in network.trainable_variables
    }
    assert not frozen.trainable_variables


def test_blocks_with_noise_make_other_maps_in_each_epoch(tmp_path: Path) -> None:
    layers = load_keras().layers
    images = load_keras().Input((None, None, 3))
    x = layers.Conv2D(4, 3, name="block1_conv")(images)
    noisy = layers.Conv2D(4, 3, name="block2_conv")(layers.GaussianNoise(0.1)(x))
    load_keras().Model(images, noisy).save(tmp_path / "noise.keras")
    network, model = _network(backbone=str(tmp_path / "noise.keras"))
    assert split_at_first_trained(network, model) is None
    network, model = _network(backbone=str(tmp_path / "noise.keras"), unfreeze=2)
    assert split_at_first_trained(network, model) is not None


def test_a_tensor_that_passes_by_the_blocks_prevents_the_split(tmp_path: Path) -> None:
    keras = load_keras()
    images = keras.Input((None, None, 3))
    first = keras.layers.Conv2D(4, 3, padding="same", name="block1_conv")(images)
    second = keras.layers.Conv2D(4, 3, padding="same", name="block2_conv")(first)
    third = keras.layers.Conv2D(4, 3, padding="same", name="block3_conv")(second)
    both = keras.layers.Add(name="block3_add")([third, first])
    keras.Model(images, both).save(tmp_path / "passes.keras")
    network, model = _network(backbone=str(tmp_path / "passes.keras"))
    assert split_at_first_trained(network, model) is None
    network, model = _network(backbone=str(tmp_path / "passes.keras"), unfreeze=2)
    assert split_at_first_trained(network, model) is not None


@pytest.mark.parametrize(
    ("builder", "unfreeze", "expected"),
    [
        (PRETRAINED_BUILDER, "none", 0),
        (PRETRAINED_BUILDER, 2, 2),
        (PRETRAINED_BUILDER, "2", 2),
        (PRETRAINED_BUILDER, "all", math.inf),
        # A keyword of a user's own network.
        ("network:build", "upper half", 0),
    ],
)
def test_how_many_blocks_are_trained(builder: str, unfreeze: str | int, expected: float) -> None:
    assert trained_blocks(ModelSpec(builder, {"unfreeze": unfreeze})) == expected


class _Images:
    images = np.random.default_rng(1).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("settings", "training", "map_bytes", "expected"),
    [
        ({"unfreeze": 1}, {}, 1 << 20, (9, 8, 8, 6)),
        (
            {"unfreeze": "1"},
            {"keep": "best", "ema": 0.9, "label_smoothing": 0.1},
            1 << 20,
            (9, 8, 8, 6),
        ),
        ({"unfreeze": 0}, {}, 0, (9, 12)),
        ({"unfreeze": "none"}, {}, 0, (9, 12)),
        ({"unfreeze": 1}, {}, 9 * 8 * 8 * 6 * 4, (9, 8, 8, 6)),
        ({"unfreeze": 1}, {}, 9 * 8 * 8 * 6 * 4 - 1, (9, 16, 16, 3)),
        ({"unfreeze": "all"}, {}, 1 << 20, (9, 16, 16, 3)),
        ({"unfreeze": 1}, {"augment": "flip"}, 1 << 20, (9, 16, 16, 3)),
        ({"unfreeze": 1}, {"mixup": 0.2}, 1 << 20, (9, 16, 16, 3)),
        ({"unfreeze": 1}, {"cutmix": 1.0}, 1 << 20, (9, 16, 16, 3)),
        ({"unfreeze": 1}, {"erase": 0.5}, 1 << 20, (9, 16, 16, 3)),
        ({"unfreeze": 1}, {"average_flip": True}, 1 << 20, (9, 16, 16, 3)),
        ({"unfreeze": 1}, {"deterministic": True}, 1 << 20, (9, 16, 16, 3)),
    ],
)
def test_what_a_training_sees(
    settings: dict[str, Any],
    training: dict[str, Any],
    map_bytes: int,
    expected: tuple[int, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(features, "MAP_BYTES", map_bytes)
    model = ModelSpec(
        PRETRAINED_BUILDER, {"backbone": str(write_backbone(tmp_path / "a.keras")), **settings}
    )
    spec = ReplicateSpec(model, dataclasses.replace(TrainingSpec(), **training), 16, 1)
    network = build(image_size=16, classes=2, **model.settings)  # type: ignore[arg-type] # its keywords
    learner, inputs = learner_and_inputs(spec, network, _Images(), folder=None, on_features=None)
    assert inputs.shape == expected
    assert learner.input_shape[1:] == expected[1:]
    assert learner.output_shape == (None, 2)


def test_maps_of_random_weights_are_not_kept_for_other_seeds(tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "drawn-32"
    write_drawn_cache(cache, 12, size=32)
    arrays, maps = open_arrays(cache), []
    for seed in (1, 2):
        load_keras().utils.set_random_seed(seed)
        network, model = _network(backbone="VGG16")
        spec = ReplicateSpec(model, TrainingSpec(), 32, seed)
        _, inputs = learner_and_inputs(spec, network, arrays, folder=cache, on_features=None)
        split = split_at_first_trained(network, model)
        assert split is not None
        np.testing.assert_allclose(
            inputs, np.asarray(split[0](arrays.images, training=False)), rtol=1e-3, atol=1e-4
        )
        maps.append(inputs)
    assert not np.array_equal(maps[0], maps[1])
    assert not list(cache.parent.glob("*.features"))
