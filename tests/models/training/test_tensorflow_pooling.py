"""Max-pooling before bias and ReLU, compared with Keras's layers in their order."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from support.array_cache import write_drawn_cache

from models.images.arrays import open_arrays
from models.networks.plain_cnn import build
from models.spec import ModelSpec, ReplicateSpec, TrainingSpec
from models.training import tensorflow_pooling, train
from models.training.engine_choice import cheapest_network
from models.training.tensorflow_pooling import with_pooling_first

RNG = np.random.default_rng(1)


def pooling_after(conv: dict[str, Any] | None = None, **pooling: Any) -> keras.Model:
    """Return a convolution with bias and ReLU, and the pooling after it.

    All weights are small integers, so that sums are exact and many pixels are equal.
    """
    inputs = keras.Input((10, 12, 2))
    options: dict[str, Any] = {"activation": "relu", "padding": "same", **(conv or {})}
    x = keras.layers.Conv2D(3, 3, **options)(inputs)
    network = keras.Model(inputs, keras.layers.MaxPooling2D(**pooling)(x))
    for weight in network.weights:
        weight.assign(RNG.integers(-2, 3, weight.shape))
    return network


def integers(*shape: int) -> Any:
    return tf.constant(RNG.integers(-2, 3, shape), tf.float32)


def step(network: Any, images: Any) -> list[NDArray[Any]]:
    """Return the answers in training, the gradients, and the losses of the layers."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        answers = network(images, training=True)
        direction = tf.range(tf.size(answers)) % 5 - 2
        loss = tf.reduce_sum(tf.reshape(answers, [-1]) * tf.cast(direction, answers.dtype))
        loss += sum(network.losses)
    gradients = tape.gradient(loss, [images, *network.trainable_variables])
    return [np.asarray(value) for value in (answers, *gradients, *network.losses)]


@pytest.mark.parametrize(
    ("conv", "pooling"),
    [
        ({}, {}),
        ({}, {"pool_size": 3, "strides": 2, "padding": "same"}),
        ({"padding": "valid", "strides": 2}, {}),
        ({"dilation_rate": 2}, {}),
        ({"kernel_regularizer": "l2"}, {}),
    ],
    ids=["plain", "overlapping windows", "strides", "dilation", "regularizer"],
)
def test_answers_and_gradients_are_those_of_keras_to_the_bit(
    conv: dict[str, Any], pooling: dict[str, Any]
) -> None:
    network = pooling_after(conv, **pooling)
    cheap = with_pooling_first(network)
    assert all(w is v for w, v in zip(network.weights, cheap.weights, strict=True))
    assert "_PoolingFirst" in {type(layer).__name__ for layer in cheap.layers}
    images = integers(4, 10, 12, 2)
    for expected, found in zip(step(network, images), step(cheap, images), strict=True):
        assert np.array_equal(expected, found)
    assert np.array_equal(network(images), cheap(images))


@pytest.mark.parametrize(
    ("at_once", "most", "parts"),
    [(1, 64, 7), (2, 64, 4), (3, 64, 3), (7, 64, 1), (8, 64, 1), (1, 3, 3), (1, 4, 4), (1, 1, 1)],
)
def test_a_few_images_at_a_time_give_the_same_answers_and_gradients(
    monkeypatch: pytest.MonkeyPatch, at_once: int, most: int, parts: int
) -> None:
    network = pooling_after()
    monkeypatch.setattr(tensorflow_pooling, "BYTES", at_once * 10 * 12 * 3 * 4)
    monkeypatch.setattr(tensorflow_pooling, "MOST_PARTS", most)
    cheap, images = with_pooling_first(network), integers(7, 10, 12, 2)
    convolved = tf.function(lambda x: cheap(x, training=True)).get_concrete_function(images)
    names = [operation.type for operation in convolved.graph.get_operations()]
    assert names.count("Conv2D") == parts
    for expected, found in zip(step(network, images), step(cheap, images), strict=True):
        assert np.array_equal(expected, found)


def test_maps_that_are_larger_than_the_limit_are_computed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tensorflow_pooling, "BYTES", 10 * 12 * 3 * 4 - 1)
    network, images = pooling_after(), integers(7, 10, 12, 2)
    cheap = with_pooling_first(network)
    function = tf.function(lambda x: cheap(x, training=True))
    operations = function.get_concrete_function(images).graph.get_operations()
    assert [operation.type for operation in operations].count("Conv2D") == 1


def test_a_batch_of_unknown_size_is_pooled() -> None:
    network, images = pooling_after(), integers(7, 10, 12, 2)
    cheap = with_pooling_first(network)
    signature = [tf.TensorSpec([None, 10, 12, 2])]
    found = tf.function(lambda x: cheap(x, training=True), input_signature=signature)(images)
    assert np.array_equal(found, network(images))


def test_bias_and_relu_are_computed_for_a_quarter_of_the_values() -> None:
    network = build(image_size=32, classes=2, conv_layers=2, filters=5)

    def sizes(network: Any) -> list[int]:
        """Return the pixels per side of the maps that ReLU returns in the training step."""
        signature = tf.TensorSpec([3, 32, 32, 3])
        function = tf.function(lambda x: network(x, training=True), input_signature=[signature])
        operations = function.get_concrete_function().graph.get_operations()
        return [o.outputs[0].shape[1] for o in operations if o.type == "Relu"]

    assert sizes(network)[:2] == [32, 16]
    assert sizes(with_pooling_first(network))[:2] == [16, 8]


def test_the_published_network_learns_the_same() -> None:
    network = build(image_size=32, classes=2, conv_layers=3, filters=8, dropout=0.0)
    images = tf.constant(RNG.uniform(0, 255, (16, 32, 32, 3)), tf.float32)
    for expected, found in zip(
        step(network, images), step(with_pooling_first(network), images), strict=True
    ):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-4 * float(np.abs(expected).max()))


def _unsuitable() -> dict[str, keras.Model]:
    inputs = keras.Input((8, 8, 2))
    layers = keras.layers
    conv = layers.Conv2D(3, 3, activation="relu")(inputs)
    pool = layers.MaxPooling2D()

    class Own(keras.Model):  # type: ignore[misc] # Keras ships no types
        def call(self, x: Any) -> Any:
            return pool(layers.Conv2D(3, 3, activation="relu")(x))

    bfloat16 = layers.Conv2D(3, 3, activation="relu", dtype="mixed_bfloat16")(inputs)
    return {
        "bfloat16": keras.Model(inputs, layers.MaxPooling2D(dtype="mixed_bfloat16")(bfloat16)),
        "two types": keras.Model(inputs, pool(bfloat16)),
        "another activation": keras.Model(
            inputs, pool(layers.Conv2D(3, 3, activation="gelu")(inputs))
        ),
        "no bias": keras.Model(
            inputs, pool(layers.Conv2D(3, 3, activation="relu", use_bias=False)(inputs))
        ),
        "average": keras.Model(inputs, layers.AveragePooling2D(2)(conv)),
        "no pooling": keras.Model(inputs, conv),
        "channels first": keras.Model(
            inputs, layers.MaxPooling2D(data_format="channels_first")(conv)
        ),
        "a subclass": Own(),
    }


def test_other_layers_are_not_changed() -> None:
    for name, network in _unsuitable().items():
        assert with_pooling_first(network) is network, name


def test_a_map_that_is_used_twice_is_also_computed_with_bias_and_relu() -> None:
    inputs = keras.Input((8, 8, 2))
    layers = keras.layers
    both = layers.Conv2D(3, 3, activation="relu", padding="same")(inputs)
    pooled = layers.UpSampling2D()(layers.MaxPooling2D()(both))
    network = keras.Model(inputs, layers.Add()([both, pooled]))
    for weight in network.weights:
        weight.assign(RNG.integers(-2, 3, weight.shape))
    images = integers(3, 8, 8, 2)
    for expected, found in zip(
        step(network, images), step(with_pooling_first(network), images), strict=True
    ):
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-4)


def test_a_deterministic_training_keeps_the_order_of_the_layers() -> None:
    network = pooling_after()
    assert cheapest_network(network, deterministic=True) is network
    assert cheapest_network(network) is not network


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_training_says_whether_it_is_deterministic(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, deterministic: bool
) -> None:
    said = []

    def recorded(network: Any, **options: Any) -> Any:
        said.append(options)
        return network

    monkeypatch.setattr(train, "cheapest_network", recorded)
    monkeypatch.setattr(train, "make_deterministic", lambda: None)  # it is for the whole process
    write_drawn_cache(tmp_path, 60)
    # Another precision than Keras's default would stay the default of this process.
    training = TrainingSpec(
        epochs=1, batch_size=8, precision="float32", deterministic=deterministic
    )
    spec = ReplicateSpec(ModelSpec(settings={"conv_layers": 1, "filters": 8}), training, 16, seed=1)
    train.fit_replicate(spec, open_arrays(tmp_path))
    assert said == [{"deterministic": deterministic}]
