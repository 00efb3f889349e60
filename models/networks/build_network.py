"""Building the network of a cell: a built-in one, or the user's own."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from models.errors import BuilderError
from models.networks import plain_cnn, pretrained, residual_cnn
from models.networks.user_builder import call_builder
from models.spec import DEFAULT_BUILDER, PRETRAINED_BUILDER, ModelSpec

#: The built-in networks. An identifier is part of keys and of stored studies and never changes;
#: where the function lies may.
BUILT_IN: dict[str, Callable[..., Any]] = {
    DEFAULT_BUILDER: plain_cnn.build,
    residual_cnn.IDENTIFIER: residual_cnn.build,
    PRETRAINED_BUILDER: pretrained.build,
}
#: The names of the built-in networks in a study file: ``[model] network = "modern"``.
NETWORK_NAMES: dict[str, str] = {
    "plain": DEFAULT_BUILDER,
    "modern": residual_cnn.IDENTIFIER,
    "pretrained": PRETRAINED_BUILDER,
}
#: What every builder is called with, besides the settings and factors of the study.
GIVEN = frozenset({"image_size", "classes"})
#: What the network of transfer learning gets from the spec, and not from its settings.
FROM_SPEC = frozenset({"source"})


def network_settings(builder: str) -> dict[str, Any]:
    """Return the settings of a built-in network, with their defaults."""
    parameters = inspect.signature(BUILT_IN[builder]).parameters
    return {name: p.default for name, p in parameters.items() if name not in GIVEN | FROM_SPEC}


def build_from(model: ModelSpec, image_size: int, classes: int) -> Any:
    """Build the network that a spec names.

    Parameters
    ----------
    model : the builder and its settings.
    image_size : pixels per side.
    classes : how many classes; the network returns logits (B, classes).

    Raises
    ------
    BuilderError
        If the builder cannot be imported, if it fails (with its own message), or if what it returns
        does not return logits (B, classes).
    """
    try:
        arguments = {"image_size": image_size, "classes": classes, **model.settings}
        if model.builder == PRETRAINED_BUILDER:
            arguments["source"] = model.source
        builder = BUILT_IN.get(model.builder) or partial(call_builder, model)
        network = builder(**arguments)
        _check_logits(network, classes)
    except Exception as error:
        own = "" if isinstance(error, BuilderError) else f"{type(error).__name__}: "
        text = f"{own}{error}".splitlines()[0]
        raise BuilderError(
            f"builder {model.builder} with {dict(model.settings)}: {text}"
        ) from error
    return network


def _check_logits(network: Any, classes: int) -> None:
    """Refuse a network whose output cannot be trained on as logits."""
    import keras

    if not isinstance(network, keras.Model):
        raise BuilderError(f"returned {type(network).__name__}, not a keras.Model")
    if tuple(network.output_shape) != (None, classes):
        raise BuilderError(
            f"returns {network.output_shape}, not (None, {classes}): one logit per class"
        )
    activation = getattr(network.layers[-1], "activation", None)
    if activation in {keras.activations.softmax, keras.activations.sigmoid}:
        raise BuilderError(
            f"its last layer has the activation {activation.__name__}; remove it: logits have none"
        )
