"""Pretrained networks on both Keras backends: frozen on features, and unfrozen on images."""

from pathlib import Path
from typing import Any

import pytest
from support.backend_process import run_checks

pytestmark = pytest.mark.process

TESTS = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["tensorflow", pytest.param("jax", marks=pytest.mark.slow)])
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp(request.param)
    return run_checks("pretrained_checks.py", request.param, folder)


def test_the_saved_network_answers_as_its_head_did_on_features(trained: dict[str, Any]) -> None:
    difference = trained["frozen"]["difference"]
    assert difference["validation"] < 1e-5
    assert difference["test"] < 1e-5


def test_features_are_computed_once_and_shared(trained: dict[str, Any]) -> None:
    first, second = trained["frozen"]["computed"]
    assert first > 0
    assert second == 0
    assert trained["frozen"]["equal"]
    assert sum(name.endswith(".features") for name in trained["frozen"]["folders"]) == 1
    assert not any(name.startswith(".partial") for name in trained["frozen"]["folders"])


def test_a_frozen_backbone_stays_as_it_was_and_its_head_learns(trained: dict[str, Any]) -> None:
    assert trained["frozen"]["changed"] == ["logits/0", "logits/1"]
    losses = [row["train_loss"] for row in trained["frozen"]["result"]["history"]]
    assert losses[-1] < losses[0]


def test_the_size_of_the_whole_network_is_reported(trained: dict[str, Any]) -> None:
    result = trained["frozen"]["result"]
    # Two convolutions, their normalisation, and the last layer.
    assert result["parameters"] == (27 * 6 + 6) + 24 + (54 * 12 + 12) + 48 + (12 * 2 + 2)
    assert result["multiply_adds"] == 27 * 6 * 64 + 54 * 12 * 16 + 24


def test_the_last_block_is_trained_without_its_batch_normalisation(trained: dict[str, Any]) -> None:
    assert sorted(trained["unfrozen"]) == [
        *("block2_conv/0", "block2_conv/1", "logits/0", "logits/1"),
    ]


def test_the_maps_of_frozen_blocks_are_computed_once_and_shared(trained: dict[str, Any]) -> None:
    first, second, images = trained["maps"]["computed"]
    assert first > 0
    assert second == images == 0
    assert trained["maps"]["equal"]
    assert trained["maps"]["shapes"] == [[160, 8, 8, 6]]


def test_a_training_on_maps_is_that_on_images(trained: dict[str, Any]) -> None:
    on_maps, on_images = trained["maps"]["losses"]
    assert on_maps == pytest.approx(on_images, rel=1e-4)
    assert trained["maps"]["on_images"] < 1e-4
    assert trained["maps"]["changed"] == trained["unfrozen"]


def test_the_network_that_was_trained_on_maps_takes_images(trained: dict[str, Any]) -> None:
    assert trained["maps"]["saved"] < 1e-5
    # Measured with the frozen blocks too.
    assert all(seconds > 0 for seconds in trained["maps"]["seconds"])


def test_a_whole_backbone_is_trained_on_augmented_images(trained: dict[str, Any]) -> None:
    assert {"block1_conv/0", "block2_conv/0", "logits/0"} <= set(trained["augmented"])


def test_the_backbone_has_its_own_rate_and_no_weight_decay(trained: dict[str, Any]) -> None:
    sgd_backbone, sgd_head, adam_backbone, adam_head = trained["rates"]
    assert sgd_head == pytest.approx(0.1, rel=1e-4)
    assert sgd_backbone == pytest.approx(0.025, rel=1e-4)
    # Adam's first step is the learning rate, whatever the gradient is.
    assert adam_head == pytest.approx(0.1, rel=1e-3)
    assert adam_backbone == pytest.approx(0.025, rel=1e-3)
