"""Cheaper normalization of batches and groups, compared with Keras's layers."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from models.networks import efficientnet_lite
from models.networks.residual_cnn import build
from models.training.tensorflow_normalization import REPLACED, with_cheap_normalization

RNG = np.random.default_rng(1)


def normalizing(
    policy: str = "float32", channels: int = 8, groups: int = 0, **options: Any
) -> keras.Model:
    """Return a network of one layer, of batches or groups, whose weights are random."""
    inputs = keras.Input((6, 5, channels), dtype=keras.DTypePolicy(policy).compute_dtype)
    if groups:
        layer = keras.layers.GroupNormalization(groups, dtype=policy, **options)
    else:
        layer = keras.layers.BatchNormalization(momentum=0.7, dtype=policy, **options)
    network = keras.Model(inputs, layer(inputs))
    for weight in network.weights:
        weight.assign(RNG.uniform(0.5, 1.5, weight.shape))
    return network


def step(network: Any, images: Any) -> dict[str, NDArray[np.float64]]:
    """Return the answers in training, the gradients, and the moving statistics after it."""
    direction = tf.constant(np.random.default_rng(2).normal(size=images.shape), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        answers = network(images, training=True)
        loss = tf.reduce_sum(tf.cast(answers, tf.float32) * direction)
    gradients = tape.gradient(loss, [images, *network.trainable_variables])
    values = [answers, *gradients, *network.non_trainable_variables]
    return {str(n): np.asarray(tf.cast(value, tf.float64)) for n, value in enumerate(values)}


def images(dtype: str = "float32", count: int = 7, channels: int = 8) -> Any:
    return tf.cast(tf.constant(RNG.normal(2, 3, (count, 6, 5, channels))), dtype)


@pytest.mark.parametrize(
    "options", [{}, {"scale": False}, {"center": False}, {"epsilon": 0.1}], ids=str
)
@pytest.mark.parametrize("groups", [0, 1, 4, 8])
@pytest.mark.parametrize("count", [1, 7])
def test_answers_gradients_and_moving_statistics_are_those_of_keras(
    options: dict[str, Any], groups: int, count: int
) -> None:
    network = normalizing(groups=groups, **options)
    before, batch = network.get_weights(), images(count=count)
    cheap = with_cheap_normalization(network)
    assert all(w is v for w, v in zip(network.weights, cheap.weights, strict=True))
    expected = step(network, batch)
    network.set_weights(before)
    found = step(cheap, batch)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-4, abs=1e-4), name


@pytest.mark.parametrize("channels", [8, 16])
@pytest.mark.parametrize("groups", [0, 4])
def test_bfloat16_images_have_the_same_answers_to_two_digits(channels: int, groups: int) -> None:
    network = normalizing("mixed_bfloat16", channels, groups)
    batch = images("bfloat16", channels=channels)
    before = network.get_weights()
    expected = step(network, batch)
    network.set_weights(before)
    cheap = with_cheap_normalization(network)
    found = step(cheap, batch)
    assert cheap(batch, training=True).dtype == network(batch, training=True).dtype == tf.bfloat16
    for name, value in expected.items():
        scale = np.abs(value).max()
        assert np.abs(found[name] - value).max() < 0.02 * scale, name


def test_a_batch_of_unknown_size_is_normalized() -> None:
    network = normalizing()
    before, batch = network.get_weights(), images()
    expected = network(batch, training=True), network.get_weights()
    network.set_weights(before)
    cheap = with_cheap_normalization(network)
    signature = [tf.TensorSpec([None, *batch.shape[1:]])]
    found = tf.function(lambda x: cheap(x, training=True), input_signature=signature)(batch)
    assert np.asarray(found) == pytest.approx(np.asarray(expected[0]), rel=1e-4, abs=1e-4)
    for moving, value in zip(network.get_weights(), expected[1], strict=True):
        assert moving == pytest.approx(value, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("groups", [0, 4])
def test_the_answers_without_training_are_the_same_to_the_bit(groups: int) -> None:
    network, batch = normalizing(groups=groups), images()
    cheap = with_cheap_normalization(network)
    assert np.array_equal(network(batch), cheap(batch))


@pytest.mark.parametrize("groups", [0, 4])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_answers_that_may_be_rounded_in_another_way_are_close(policy: str, groups: int) -> None:
    network = normalizing(policy, groups=groups)
    batch = images(network.compute_dtype)
    found = with_cheap_normalization(network, exact=False)(batch)
    expected = np.asarray(tf.cast(network(batch), tf.float64))
    tolerance = 0.02 if policy == "mixed_bfloat16" else 1e-5
    assert np.asarray(tf.cast(found, tf.float64)) == pytest.approx(
        expected, rel=tolerance, abs=tolerance
    )


@pytest.mark.parametrize("exact", [True, False])
def test_the_models_inside_a_model_are_replaced_in_the_order_of_their_weights(
    *, exact: bool
) -> None:
    keras.utils.set_random_seed(1)
    inner = efficientnet_lite.build(32)
    inputs = keras.Input((32, 32, 3))
    network = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inner(inputs)))
    cheap = with_cheap_normalization(network, exact=exact)
    assert all(w is v for w, v in zip(network.weights, cheap.weights, strict=True))
    inside = {type(layer).__name__ for layer in cheap.layers[1].layers}
    assert "BatchNormalization" not in inside
    batch = tf.constant(RNG.normal(size=(2, 32, 32, 3)), tf.float32)
    expected, found = network(batch).numpy(), cheap(batch).numpy()
    if exact:
        assert np.array_equal(found, expected)
    # An error of rounding is as large as the terms of the sum, whatever is left of the sum. Over
    # 25 draws of the weights the largest error was 2.7e-6 of the largest feature.
    assert np.abs(found - expected).max() < 1e-5 * expected.max()


def test_a_layer_that_is_not_trained_keeps_its_statistics() -> None:
    network, batch = normalizing(), images()
    network.layers[-1].trainable = False
    before = network.get_weights()
    answers = with_cheap_normalization(network)(batch, training=True)
    expected = network(batch, training=False).numpy()
    assert answers.numpy() == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert all(map(np.array_equal, network.get_weights(), before))


@pytest.mark.parametrize("normalization", ["batch", "group"])
def test_a_whole_network_trains_with_it(normalization: str) -> None:
    """Every layer of normalization is replaced."""
    network = build(image_size=16, classes=2, stages=2, width=8, normalization=normalization)
    cheap = with_cheap_normalization(network)
    replaced = [layer for layer in cheap.layers if hasattr(layer, "normalized")]
    normalized = [layer for layer in network.layers if type(layer) in REPLACED]
    assert len(replaced) == len(normalized) > 0
    before = network.get_weights()
    batch = tf.constant(RNG.uniform(0, 255, (4, 16, 16, 3)), tf.float32)
    logits = cheap(batch, training=True)
    assert logits.numpy() == pytest.approx(
        with_weights(network, before)(batch, training=True).numpy(), rel=1e-3, abs=1e-4
    )
    if normalization == "batch":
        assert all(layer.moving_mean.numpy().any() for layer in normalized)


def with_weights(network: Any, weights: list[NDArray[Any]]) -> Any:
    network.set_weights(weights)
    return network


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.BatchNormalization(axis=1),
        keras.layers.GroupNormalization(2, axis=1),
        keras.layers.BatchNormalization(synchronized=True),
        keras.layers.BatchNormalization(dtype="float64"),
    ],
    ids=["another axis", "groups along another axis", "synchronized", "float64"],
)
def test_other_layers_stay_as_they_are(layer: Any) -> None:
    inputs = keras.Input((6, 5, 8))
    cheap = with_cheap_normalization(keras.Model(inputs, layer(inputs)))
    assert cheap.layers[-1] is layer


def test_a_network_without_normalization_is_returned_unchanged() -> None:
    network = build(image_size=16, classes=2, stages=1, normalization="none")
    assert with_cheap_normalization(network) is network


def test_a_layer_may_be_called_with_names_only() -> None:
    inputs = keras.Input((6, 5, 8))
    x = keras.layers.BatchNormalization()(inputs)
    attention = keras.layers.MultiHeadAttention(2, 4)
    network = keras.Model(inputs, attention(query=x, value=x))
    batch = images()
    found, expected = with_cheap_normalization(network)(batch), network(batch)
    assert np.array_equal(found, expected)


def test_a_model_of_a_subclass_is_returned_unchanged() -> None:
    class Own(keras.Model):  # type: ignore[misc] # Keras ships no types
        def call(self, x: Any) -> Any:
            return x

    network = Own()
    assert with_cheap_normalization(network) is network
