"""A convolutional network of modern parts: stages of residual blocks, with normalization.

All layers are Keras's own, so that a saved network is loaded without this package.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

#: The identifier of this network in keys and stored studies.
IDENTIFIER = "models.residual:build"
#: Feature maps of this size (pixels per side) are not halved again.
SMALLEST_MAP = 4
#: Widths are multiples of this number, which the groups of group normalization divide.
CHANNELS = 8
#: Momentum of the moving statistics. Keras's 0.99 needs hundreds of steps; short trainings of few
#: images have fewer.
MOMENTUM = 0.9
#: Squeeze-and-excitation has this part of the channels in between.
SQUEEZE = 4
NORMALIZATIONS = ("none", "batch", "group")
DOWNSAMPLINGS = ("pooling", "stride")
HEADS = ("average", "flatten")


def build(
    *,
    image_size: int,
    classes: int,
    stages: int = 4,
    depth: int = 1,
    width: int = 16,
    width_growth: float = 2.0,
    normalization: str = "batch",
    residual: bool = True,
    downsample: str = "pooling",
    head: str = "average",
    squeeze_excitation: bool = False,
    activation: str = "relu",
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> "keras.Model":
    """Build stages of residual blocks, and a linear layer on their features.

    A stage begins with a convolution that halves the map and sets the width; its blocks have two
    convolutions each. All kernels have 3 x 3 pixels.

    Parameters
    ----------
    image_size : pixels per side of the images, (B, image_size, image_size, 3), values 0 to 255.
        Rescaling is the network's first layer, so that a saved network needs no preprocessing.
    classes : how many classes; the output is (B, classes) logits in float32.
    stages : number of stages. Maps of 4 pixels per side and less are not halved.
    depth : blocks per stage.
    width : channels of the first stage, rounded to a multiple of 8.
    width_growth : channels of a stage divided by those of the stage before.
    normalization : ``none``, ``batch`` or ``group`` (8 groups), after each convolution.
    residual : whether the input of a block is added to its output [1]_.
    downsample : ``pooling`` (maximum of 2 x 2, before the normalization, which then has a quarter
        of the values) or ``stride``.
    head : ``average`` of each map, or ``flatten``.
    squeeze_excitation : whether each block weights its channels by their means [2]_.
    activation : activation of every hidden layer.
    dropout : share of the features that is dropped before the last layer.
    stochastic_depth : the chance that the last block is left out for an image in training; that of
        earlier blocks is proportional to their number [3]_. It needs `residual`.

    References
    ----------
    .. [1] He, K. et al. (2015), Deep Residual Learning, arXiv:1512.03385.
    .. [2] Hu, J. et al. (2017), Squeeze-and-Excitation Networks, arXiv:1709.01507.
    .. [3] Huang, G. et al. (2016), Deep Networks with Stochastic Depth, arXiv:1603.09382.
    """
    import keras

    layers = keras.layers
    parts = _Parts(normalization, activation, residual, squeeze_excitation)
    inputs = keras.Input((image_size, image_size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for stage in range(stages):
        channels = stage_width(width, width_growth, stage)
        x = parts.widen(x, channels, downsample)
        for number in range(stage * depth, (stage + 1) * depth):
            x = parts.block(x, channels, stochastic_depth * (number + 1) / (stages * depth))
    x = layers.GlobalAveragePooling2D()(x) if head == "average" else layers.Flatten()(x)
    if dropout:
        x = layers.Dropout(dropout)(x)
    # float32 under every precision policy: bfloat16 logits have only two decimals.
    outputs = layers.Dense(classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, outputs)


def stage_width(width: int, growth: float, stage: int) -> int:
    """Return the channels of a stage, from 0: a multiple of 8."""
    return max(round(width * growth**stage / CHANNELS), 1) * CHANNELS


@dataclass(frozen=True)
class _Parts:
    """The parts of a network; the fields are the arguments of `build`."""

    normalization: str
    activation: str
    residual: bool
    squeeze_excitation: bool

    def widen(self, x: Any, channels: int, downsample: str) -> Any:
        """Set the number of channels, and halve the map if it is large enough."""
        halve = x.shape[1] > SMALLEST_MAP
        x = self._convolved(x, channels, 2 if halve and downsample == "stride" else 1)
        if halve and downsample == "pooling":
            x = self._layers.MaxPooling2D()(x)
        return self._activated(self._normalized(x))

    def block(self, x: Any, channels: int, left_out: float) -> Any:
        """Add two convolutions, which are left out with a chance if there is a shortcut."""
        y = self._activated(self._normalized(self._convolved(x, channels)))
        # A block with a shortcut begins as the identity.
        y = self._normalized(self._convolved(y, channels), "zeros" if self.residual else "ones")
        if self.squeeze_excitation:
            y = self._weighted(y, channels)
        if self.residual:
            if left_out:
                y = self._layers.Dropout(left_out, noise_shape=(None, 1, 1, 1))(y)
            y = self._layers.Add()([x, y])
        return self._activated(y)

    @property
    def _layers(self) -> Any:
        import keras

        return keras.layers

    def _convolved(self, x: Any, channels: int, strides: int = 1) -> Any:
        bias = self.normalization == "none"
        return self._layers.Conv2D(channels, 3, strides, padding="same", use_bias=bias)(x)

    def _normalized(self, x: Any, scale: str = "ones") -> Any:
        match self.normalization:
            case "batch":
                layer = self._layers.BatchNormalization(momentum=MOMENTUM, gamma_initializer=scale)
                return layer(x)
            case "group":
                return self._layers.GroupNormalization(CHANNELS, gamma_initializer=scale)(x)
        return x

    def _activated(self, x: Any) -> Any:
        return self._layers.Activation(self.activation)(x)

    def _weighted(self, x: Any, channels: int) -> Any:
        """Weight the channels by a function of their means."""
        dense = self._layers.Dense
        weights = self._layers.GlobalAveragePooling2D(keepdims=True)(x)
        weights = dense(max(channels // SQUEEZE, 1), activation=self.activation)(weights)
        return self._layers.Multiply()([x, dense(channels, activation="sigmoid")(weights)])
