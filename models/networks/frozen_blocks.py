"""A backbone whose last blocks are trained, as two networks: its frozen blocks, and the rest.

The frozen blocks make the same maps of an image in every epoch. The maps can therefore be computed
once, like the features of a backbone that is frozen as a whole (`models.training.features`).
"""

from typing import Any

from models.networks.backbone import first_unfrozen_layer, layers_within, preprocessed
from models.networks.pretrained import choice_of, parts
from models.spec import ModelSpec


def split_at_first_trained(network: Any, model: ModelSpec) -> tuple[Any, Any] | None:
    """Return a network's frozen blocks, from images to maps, and the rest, from maps to logits.

    Both share the weights of the network, which stays as it is.

    Parameters
    ----------
    network : what `models.networks.pretrained.build` returned.
    model : its spec; some blocks of the backbone are trained, and others are not.

    Returns
    -------
    None if the frozen blocks do not make one map that is the same in every epoch: if several
    tensors pass from them to the others, or if one of their layers is random, such as added noise.
    """
    import keras

    features, head = parts(network)
    base = next(layer for layer in features.layers if hasattr(layer, "layers"))
    backbone = choice_of(model.settings).backbone
    start = first_unfrozen_layer(base, backbone, str(model.settings["unfreeze"]))
    if any(map(_is_random, layers_within(base.layers[:start]))):
        return None
    try:
        between = base.layers[start].input
        frozen, trained = keras.Model(base.input, between), keras.Model(between, base.output)
    except (AttributeError, ValueError):  # another tensor passes by, or one of several inputs
        return None
    images = keras.Input(features.input_shape[1:], name="image")
    inner = keras.Input(between.shape[1:], name="maps")
    x = trained(inner)
    for layer in features.layers[features.layers.index(base) + 1 :]:
        x = layer(x)
    maps = keras.Model(images, frozen(preprocessed(images, backbone)), name="frozen")
    return maps, keras.Model(inner, head(x), name="trained")


def _is_random(layer: Any) -> bool:
    # Keras gives a seed generator to each random layer. Frozen dropout has a rate of 0 here.
    has_generator = getattr(layer, "seed_generator", None) is not None
    return has_generator and getattr(layer, "rate", None) != 0
