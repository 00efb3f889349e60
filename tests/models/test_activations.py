"""The activations that a study may name."""

import keras
import pytest

from models.networks.plain_cnn import ACTIVATIONS, build


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_keras_knows_the_activation(name: str) -> None:
    assert callable(keras.activations.get(name))


def test_a_network_is_built_with_another_activation() -> None:
    network = build(image_size=16, classes=2, conv_layers=1, filters=2, activation="gelu")
    assert network.output_shape == (None, 2)
