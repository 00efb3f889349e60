"""The network of a cell: a plain convolutional network, rescaling inside."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


#: Pooling halves the map after a convolution until it is no larger than this (pixels a side).
SMALLEST_MAP = 4


def build(
    *,
    image_size: int,
    classes: int,
    conv_layers: int = 3,
    fc_layers: int = 1,
    filters: int = 64,
    kernel_size: int = 3,
    dense_units: int = 64,
    dropout: float = 0.2,
    activation: str = "relu",
) -> "keras.Model":
    """Build convolutions, each followed by pooling while the map is large, then dense layers.

    Parameters
    ----------
    image_size : pixels a side of the images, (B, image_size, image_size, 3) with values 0-255;
        rescaling is the network's first layer, so that a saved network needs no preparation.
    classes : how many; the answer is (B, classes) logits in float32.
    conv_layers : convolutions. A 2 x 2 maximum follows each while the map is above 4 pixels a side;
        from there on they follow each other at that size, so that any number can be built.
    fc_layers : hidden fully-connected layers; the output layer is not counted.
    filters : of each convolution.
    kernel_size : of each convolution, pixels a side.
    dense_units : of each hidden fully-connected layer.
    dropout : share dropped after each hidden fully-connected layer.
    activation : of every hidden layer.
    """
    import keras

    layers = keras.layers
    inputs = keras.Input((image_size, image_size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    side = image_size
    for _ in range(conv_layers):
        x = layers.Conv2D(filters, kernel_size, padding="same", activation=activation)(x)
        if side > SMALLEST_MAP:
            x = layers.MaxPooling2D()(x)
            side //= 2
    x = layers.Flatten()(x)
    for _ in range(fc_layers):
        x = layers.Dense(dense_units, activation=activation)(x)
        x = layers.Dropout(dropout)(x)
    # In float32 whatever the policy: bfloat16 logits have two decimals.
    outputs = layers.Dense(classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, outputs)
