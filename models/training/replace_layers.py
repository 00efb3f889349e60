"""Networks with the same weights that compute some of their layers in another way."""

from collections.abc import Callable
from typing import Any

import keras


def with_replaced_layers(network: Any, call: Callable[..., Any]) -> Any:
    """Return a network that calls its layers through a function, and shares their weights.

    A model of a subclass is returned unchanged, because it may have code around its layers.

    Parameters
    ----------
    network : a functional or sequential model.
    call : takes a layer and the arguments it is called with, and returns the layer's output, or
        that of another layer with the same answers.
    """
    if isinstance(network, keras.Sequential):
        network = keras.Model(network.inputs, network.outputs)
    point = keras.Input((1,))
    if type(network) is not type(keras.Model(point, point)):
        return network
    return keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=call)


def with_replaced_pooling(network: Any, replacement: Callable[[Any, Any, Any], Any | None]) -> Any:
    """Return a network with the same weights that computes max-pooling in another way.

    A model of a subclass is returned unchanged.

    Parameters
    ----------
    network : a functional or sequential model.
    replacement : takes a layer `MaxPooling2D`, the shape of its input, and the layer `Conv2D` with
        bias and ReLU whose output is this input; None if it is no such output. It returns the layer
        that replaces both, or the pooling alone if there is no convolution; None to replace
        nothing.
    """
    convolved: dict[int, tuple[Any, Any, Any]] = {}

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if type(layer) is keras.layers.MaxPooling2D:
            conv, x, _ = convolved.get(id(args[0]), (None, args[0], None))
            if conv is not None and conv.dtype_policy != layer.dtype_policy:
                conv, x = None, args[0]
            replaced = replacement(layer, args[0].shape, conv)
            if replaced is not None:
                return replaced(x)
        answer = layer(*args, **kwargs)
        if type(layer) is keras.layers.Conv2D and _has_bias_and_relu(layer):
            # The answer is stored too, so that no later tensor can have the same id.
            convolved[id(answer)] = layer, args[0], answer
        return answer

    return with_replaced_layers(network, call)


def _has_bias_and_relu(conv: Any) -> bool:
    return (
        conv.use_bias
        and conv.activation is keras.activations.relu
        and conv.data_format == "channels_last"
        and conv.activity_regularizer is None
        and len(conv.weights) == len(("kernel", "bias"))  # others with LoRA or quantisation
    )
