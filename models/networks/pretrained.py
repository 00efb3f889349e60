"""The network of transfer learning: a backbone with trained weights, and a small head.

The network takes pixels from 0 to 255 and returns logits; preprocessing, backbone, pooling and head
are all in it, and all of them are Keras's own layers. It is built of two networks, ``features`` and
``head``: while the backbone is frozen, features are computed once and only the head is trained
(`models.training.features`).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.networks.backbone import BackboneChoice, build_backbone, unfreeze_blocks
from models.spec import Scalar

if TYPE_CHECKING:
    import keras


def build(
    *,
    image_size: int,
    classes: int,
    backbone: str = "efficientnet-lite0",
    weights: str = "imagenet",
    weights_digest: str = "",
    unfreeze: str | int = "none",
    backbone_rate: float = 0.1,  # noqa: ARG001 # `models.training` reads it from the spec
    fc_layers: int = 0,
    dense_units: int = 64,
    dropout: float = 0.2,
    activation: str = "relu",
    source: str = "",
) -> "keras.Model":
    """Build a backbone, average pooling, and fully-connected layers.

    Parameters
    ----------
    image_size : pixels per side of the images, (B, image_size, image_size, 3), values 0 to 255.
    classes : how many classes; the output is (B, classes) logits in float32.
    backbone : ``efficientnet-lite0``, a network of ``keras.applications``, or the path of a file in
        Keras's native format (``.keras``), which takes values from 0 to 255.
    weights : ``imagenet``, ``none`` (random), or a path or URL of a file. A ``.keras`` file has its
        own weights.
    weights_digest : the SHA-256 digest of the file, which is then compared. A URL needs one.
    unfreeze : which part of the backbone is trained: ``none``, ``all``, or a number of blocks,
        counted from the last one.
    backbone_rate : the learning rate of the backbone's layers, as a share of that of the head.
    fc_layers : number of hidden fully-connected layers of the head.
    dense_units : units of each hidden layer.
    dropout : share of the features, and of the units of each hidden layer, that is dropped.
    activation : activation of every hidden layer.
    source : the digest that the file of weights had when the study was read.

    Raises
    ------
    BuilderError
        If the backbone cannot be built, or the weights are missing or do not fit.
    """
    import keras

    layers = keras.layers
    choice = BackboneChoice(backbone, weights, weights_digest)
    features, base = build_backbone(choice, image_size, source)
    unfreeze_blocks(base, backbone, unfreeze)
    inner = keras.Input(features.output_shape[1:], name="features")
    x = layers.Dropout(dropout)(inner)
    for _ in range(fc_layers):
        x = layers.Dense(dense_units, activation=activation)(x)
        x = layers.Dropout(dropout)(x)
    # float32 under every precision policy: bfloat16 logits have only two decimals.
    logits = layers.Dense(classes, dtype="float32", name="logits")(x)
    head = keras.Model(inner, logits, name="head")
    inputs = keras.Input((image_size, image_size, 3), name="image")
    return keras.Model(inputs, head(features(inputs)))


def parts(network: "keras.Model") -> tuple[Any, Any]:
    """Return the two networks that `build` put together: from images to features, and the head."""
    return network.get_layer("features"), network.get_layer("head")


def choice_of(settings: Mapping[str, Scalar]) -> BackboneChoice:
    """Return the backbone and the weights that settings name."""
    own = {
        "backbone": "efficientnet-lite0",
        "weights": "imagenet",
        "weights_digest": "",
        **settings,
    }
    return BackboneChoice(str(own["backbone"]), str(own["weights"]), str(own["weights_digest"]))
