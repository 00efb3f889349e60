"""The multiply-adds of a network, against counts by hand and by brute force."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.networks import plain_cnn
from models.networks.multiply_adds import count_multiply_adds

layers = keras.layers


def model(*parts: keras.Layer, shape: tuple[int | None, ...] = (8, 6, 3)) -> keras.Model:
    inputs = x = keras.Input(shape)
    for part in parts:
        x = part(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        # kernel height x width x input channels x filters x output positions
        (layers.Conv2D(4, 3, padding="same"), 3 * 3 * 3 * 4 * 8 * 6),
        (layers.Conv2D(4, (3, 2), strides=2, padding="same"), 3 * 2 * 3 * 4 * 4 * 3),
        (layers.Conv2D(4, 3, padding="valid"), 3 * 3 * 3 * 4 * 6 * 4),
        (layers.Conv2D(6, 3, padding="same", groups=3), 3 * 3 * 1 * 6 * 8 * 6),
        (layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2), 3 * 3 * 3 * 2 * 8 * 6),
        (layers.SeparableConv2D(5, 3, padding="same"), (3 * 3 * 3 + 3 * 5) * 8 * 6),
        (layers.Conv2DTranspose(4, 2, strides=2), 2 * 2 * 3 * 4 * 8 * 6),
        (layers.Dense(7), 3 * 7 * 8 * 6),
        (layers.MaxPooling2D(), 0),
        (layers.BatchNormalization(), 0),
        (layers.Dropout(0.5), 0),
        (layers.ReLU(), 0),
        (layers.Rescaling(1 / 255), 0),
        (layers.RandomFlip(), 0),
        (layers.GlobalAveragePooling2D(), 0),
    ],
)
def test_a_layer_has_the_multiply_adds_of_its_kernel_at_each_position(
    layer: keras.Layer, expected: int
) -> None:
    found = count_multiply_adds(model(layer))
    assert found.total == expected
    assert found.not_counted == ()


def test_the_papers_network_has_the_sum_of_its_layers() -> None:
    network = plain_cnn.build(image_size=16, classes=2, conv_layers=2, filters=4, dense_units=8)
    expected = 9 * 3 * 4 * 16 * 16 + 9 * 4 * 4 * 8 * 8 + 4 * 4 * 4 * 8 + 8 * 2
    assert count_multiply_adds(network).total == expected


def test_the_parameters_do_not_say_which_network_costs_more() -> None:
    # A pooling layer more: fewer parameters in the first dense layer, and more multiply-adds.
    small, large = (
        plain_cnn.build(image_size=32, classes=2, conv_layers=n, filters=16) for n in (1, 3)
    )
    assert small.count_params() > large.count_params()
    assert count_multiply_adds(small).total < count_multiply_adds(large).total


def test_a_layer_counts_once_per_call_and_a_network_inside_is_counted() -> None:
    shared, inner = layers.Dense(3), model(layers.Conv2D(3, 1))
    inputs = keras.Input((8, 6, 3))
    once = shared(inputs)
    network = keras.Model(inputs, layers.Add()([shared(once), inner(inner(once))]))
    assert count_multiply_adds(network).total == 4 * 9 * 8 * 6
    sequential = keras.Sequential([keras.Input((8, 6, 3)), layers.Conv2D(4, 1), inner_dense()])
    assert count_multiply_adds(sequential).total == 8 * 6 * 3 * 4 + 8 * 6 * 4 * 5
    # Another network that uses the same layers does not change the count.
    keras.Model(inputs, network(inputs))
    assert count_multiply_adds(network).total == 4 * 9 * 8 * 6


def inner_dense() -> keras.Model:
    return keras.Sequential([layers.Dense(5)])


class OwnLayer(keras.Layer):  # type: ignore[misc] # Keras has no types
    def call(self, x: object) -> object:
        return x


class OwnConvolution(keras.layers.Conv2D):  # type: ignore[misc] # Keras has no types
    pass


class OwnNetwork(keras.Model):  # type: ignore[misc] # Keras has no types
    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, x: object) -> object:
        return self.dense(x)


def test_a_layer_that_is_not_known_is_named_and_the_others_are_counted() -> None:
    own = [OwnLayer(name="mine"), OwnConvolution(4, 1, name="other")]
    found = count_multiply_adds(model(layers.Dense(4), *own, *own))
    assert found.total == 3 * 4 * 8 * 6
    assert found.not_counted == ("OwnLayer mine", "OwnConvolution other")
    assert count_multiply_adds(OwnNetwork()).not_counted[0].startswith("OwnNetwork ")


def test_a_layer_on_images_of_any_size_is_not_counted() -> None:
    network = model(layers.Conv2D(4, 3, name="conv"), shape=(None, None, 3))
    assert count_multiply_adds(network).not_counted == ("Conv2D conv",)


def test_attention_and_products_of_tensors_are_not_passed_over() -> None:
    attention = layers.MultiHeadAttention(2, 4, name="heads")
    inputs = keras.Input((8, 3))
    network = keras.Model(inputs, attention(inputs, inputs))
    assert count_multiply_adds(network).not_counted == ("MultiHeadAttention heads",)
    product = keras.Model(inputs, keras.ops.matmul(inputs, keras.ops.transpose(inputs, (0, 2, 1))))
    (name,) = count_multiply_adds(product).not_counted
    assert name.startswith("Matmul")
    summed = keras.Model(inputs, keras.ops.relu(inputs + 1))
    assert count_multiply_adds(summed).not_counted == ()


@settings(deadline=None, max_examples=25)
@given(
    height=st.integers(3, 6),
    channels=st.integers(1, 3),
    filters=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
)
def test_a_convolution_multiplies_as_often_as_a_loop_over_its_definition(
    height: int, channels: int, filters: int, kernel: int, stride: int
) -> None:
    layer = layers.Conv2D(filters, kernel, strides=stride, padding="valid", use_bias=False)
    network = model(layer, shape=(height, height, channels))
    output = network(np.zeros((1, height, height, channels), dtype=np.float32))
    loops = 0
    for _ in np.ndindex(*output.shape[1:]):
        loops += kernel * kernel * channels
    assert count_multiply_adds(network).total == loops
