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
