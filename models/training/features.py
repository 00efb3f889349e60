"""Training only the head of a network whose backbone is frozen, on features computed once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.images.arrays import ImageArrays
from models.images.feature_file import Features, cached_features
from models.networks.pretrained import choice_of, is_frozen, parts
from models.spec import ReplicateSpec
from models.training.backend import load_keras
from models.training.engine import EngineJob
from models.training.engine_choice import cheapest_network, engine_of

#: Images of which features are computed at once.
BATCH = 64
#: Called with the number of images whose features are computed, and with their total.
OnFeatures = Callable[[int, int], None]


def head_and_features(
    spec: ReplicateSpec,
    network: Any,
    arrays: Any,
    *,
    folder: Path | None,
    on_features: OnFeatures | None,
) -> tuple[Any, NDArray[Any]]:
    """Return the part of a network that is trained, and its inputs.

    Of a network with a frozen backbone these are its head, and the features of all images; the
    weights are those of the network. Of every other network, itself and the images.

    Parameters
    ----------
    spec : the replicate.
    network : its network.
    arrays : the images.
    folder : the cache of the images; if it is not given, the features are not kept.
    on_features : called while features are computed here or by another process.

    Raises
    ------
    ArraysError
        If features cannot be written to the cache.
    """
    if not is_frozen(spec.model):
        return network, arrays.images
    backbone, head = parts(network)

    def compute() -> Features:
        return compute_features(backbone, arrays.images, on_features)

    if folder is None or not isinstance(arrays, ImageArrays):
        return head, compute()
    choice, keras = choice_of(spec.model.settings), load_keras()
    about = {
        "backbone": Path(choice.backbone).name,
        "weights": spec.model.source or choice.weights,
        "precision": keras.config.dtype_policy().name,
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
    }

    def on_waiting() -> None:
        if on_features is not None:
            on_features(0, len(arrays.images))

    return head, cached_features(folder, arrays, about, compute, on_waiting)


def compute_features(
    backbone: Any, images: NDArray[np.uint8], on_features: OnFeatures | None = None
) -> Features:
    """Return the features of images, float32 (N, F).

    Parameters
    ----------
    backbone : from images to features (B, F).
    images : uint8 (N, H, W, 3).
    on_features : called before the first batch and after each one.
    """
    n = len(images)
    optimizer = load_keras().optimizers.SGD()
    labels = np.zeros(n, dtype=np.int64)
    twin = cheapest_network(backbone, exact=False)
    engine = engine_of(EngineJob(twin, twin, optimizer, images, labels, BATCH))
    features = np.empty((n, backbone.output_shape[-1]), dtype=np.float32)
    for start in range(0, n, BATCH):
        if on_features is not None:
            on_features(start, n)
        rows = np.arange(start, min(start + BATCH, n))
        features[rows] = engine.logits(rows)
    if on_features is not None:
        on_features(n, n)
    return features
