"""A network that averages its logits for an image and for the mirrored image."""

from typing import Any


def with_average_flip(network: Any) -> Any:
    """Return a network with the same weights, whose logits are the mean of two.

    It costs two forward passes per image, which its multiply-adds show. All layers are Keras's own.

    Parameters
    ----------
    network : takes images (B, H, W, 3) and returns logits (B, classes).
    """
    import keras

    inputs = keras.Input(network.input_shape[1:], name="image")
    both = [network(inputs), network(keras.ops.flip(inputs, axis=2))]
    return keras.Model(inputs, keras.layers.Average(dtype="float32", name="logits")(both))
