"""Building the network of a cell, by the name of its builder."""

import importlib
from typing import Any

from models.errors import BuilderError
from models.spec import ModelSpec


def build_from(model: ModelSpec, image_size: int, classes: int) -> Any:
    """Build the network that a spec names, the default one or the user's own.

    Raises
    ------
    BuilderError
        If the builder cannot be imported, or fails, with its own message, or what it returns does
        not answer logits (B, classes).
    """
    module, _, function = model.builder.partition(":")
    try:
        builder = getattr(importlib.import_module(module), function)
        network = builder(image_size=image_size, classes=classes, **model.settings)
        _check_answers(network, classes)
    except Exception as error:
        words = f"{type(error).__name__}: {error}".splitlines()[0]
        raise BuilderError(
            f"builder {model.builder} with {dict(model.settings)}: {words}"
        ) from error
    return network


def _check_answers(network: Any, classes: int) -> None:
    """Refuse a network whose answers cannot be trained on as logits."""
    import keras

    if not isinstance(network, keras.Model):
        raise BuilderError(f"returned {type(network).__name__}, not a keras.Model")
    if tuple(network.output_shape) != (None, classes):
        raise BuilderError(
            f"answers {network.output_shape}, not (None, {classes}): a logit a class"
        )
    activation = getattr(network.layers[-1], "activation", None)
    if activation in {keras.activations.softmax, keras.activations.sigmoid}:
        raise BuilderError(
            f"its last layer has activation {activation.__name__}, and logits have none; remove it"
        )
