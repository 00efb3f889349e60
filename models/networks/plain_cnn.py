"""The plain convolutional network of the published study, with rescaling inside."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

#: Pooling stops at feature maps of this size (pixels per side).
SMALLEST_MAP = 4
#: Keras's activations that suit a hidden layer.
ACTIVATIONS = (
    *("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "swish", "mish"),
    *("tanh", "sigmoid", "softplus", "softsign", "hard_sigmoid", "hard_silu", "exponential"),
    *("linear", "squareplus", "log_sigmoid", "hard_tanh", "tanh_shrink", "soft_shrink"),
)


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
    """Build convolutional layers with pooling, then fully-connected layers.

    Parameters
    ----------
    image_size : pixels per side of the images, (B, image_size, image_size, 3), values 0 to 255.
        Rescaling is the network's first layer, so that a saved network needs no preprocessing.
    classes : how many classes; the output is (B, classes) logits in float32.
    conv_layers : number of convolutional layers. A 2 x 2 max-pooling follows each of them while the
        feature map has more than 4 pixels per side. Further layers keep that size, so that any
        number of layers can be built.
    fc_layers : number of hidden fully-connected layers; the output layer is not counted.
    filters : filters of each convolutional layer.
    kernel_size : of each convolutional layer, pixels per side.
    dense_units : units of each hidden fully-connected layer.
    dropout : share of units that is dropped after each hidden fully-connected layer.
    activation : activation of every hidden layer.
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
    # float32 under every precision policy: bfloat16 logits have only two decimals.
    outputs = layers.Dense(classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, outputs)
