"""Training only a part of a network with a frozen backbone, on features computed once.

The part is the head, or the head and the last blocks of the backbone.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.images.arrays import ImageArrays
from models.images.feature_file import Features, cached_features
from models.networks.frozen_blocks import split_at_first_trained
from models.networks.pretrained import choice_of, parts
from models.spec import ReplicateSpec, is_frozen, is_partly_frozen
from models.training.backend import load_keras
from models.training.engine_choice import cheapest_network, prediction_engine

#: Images of which features are computed at once.
BATCH = 64
#: Maps of more bytes are not kept: their file would fill disks, and on a GPU the memory.
MAP_BYTES = 2 << 30
#: Called with the number of images whose features are computed, and with their total.
OnFeatures = Callable[[int, int], None]


def learner_and_inputs(
    spec: ReplicateSpec,
    network: Any,
    arrays: Any,
    *,
    folder: Path | None,
    on_features: OnFeatures | None,
) -> tuple[Any, NDArray[Any]]:
    """Return the part of a network that is trained, and its inputs.

    Of a network with a frozen backbone these are its head, and the features of all images. If only
    the last blocks of the backbone are trained, they are these blocks and the head, and the maps
    that the frozen blocks make of all images, unless the training changes images. Of every other
    network, they are the network itself and the images. The weights are those of the network.

    Parameters
    ----------
    spec : the replicate.
    network : its network.
    arrays : the images.
    folder : the cache of the images; if it is not given, the features are not kept. Those of random
        weights never are.
    on_features : called while features are computed here or by another process.

    Raises
    ------
    ArraysError
        If features cannot be written to the cache.
    """
    found = _split(spec, network, len(arrays.images))
    if found is None:
        return network, arrays.images
    (backbone, learner), more = found

    def compute() -> Features:
        return compute_features(backbone, arrays.images, on_features)

    choice, keras = choice_of(spec.model.settings), load_keras()
    # Random weights are others with each seed.
    if folder is None or not isinstance(arrays, ImageArrays) or choice.is_random:
        return learner, compute()
    about = {
        "backbone": Path(choice.backbone).name,
        "weights": spec.model.source or choice.weights,
        "precision": keras.config.dtype_policy().name,
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        **more,
    }

    def on_waiting() -> None:
        if on_features is not None:
            on_features(0, len(arrays.images))

    return learner, cached_features(folder, arrays, about, compute, on_waiting)


def _split(
    spec: ReplicateSpec, network: Any, images: int
) -> tuple[tuple[Any, Any], dict[str, str]] | None:
    """Return the part that is computed once, the rest, and what else determines the features.

    None if the whole network is trained on images.
    """
    if is_frozen(spec.model):
        return parts(network), {}
    if not is_partly_frozen(spec.model) or spec.training.changes_images:
        return None
    # Equal seeds give equal bits in a deterministic training, also those of earlier versions.
    split = None if spec.training.deterministic else split_at_first_trained(network, spec.model)
    if split is None or _file_size(split[0], images) > MAP_BYTES:
        return None
    return split, {"unfreeze": str(spec.model.settings["unfreeze"])}


def _file_size(frozen: Any, images: int) -> int:
    """Return the bytes of the maps that a network makes of images."""
    return images * int(math.prod(frozen.output_shape[1:])) * np.dtype(np.float32).itemsize


def compute_features(
    backbone: Any, images: NDArray[np.uint8], on_features: OnFeatures | None = None
) -> Features:
    """Return the features of images, float32 (N, F), or maps, float32 (N, h, w, F).

    Parameters
    ----------
    backbone : from images to features (B, F), or to maps (B, h, w, F).
    images : uint8 (N, H, W, 3).
    on_features : called before the first batch and after each one.
    """
    n = len(images)
    engine = prediction_engine(cheapest_network(backbone, exact=False), images)
    features = np.empty((n, *backbone.output_shape[1:]), dtype=np.float32)
    for start in range(0, n, BATCH):
        if on_features is not None:
            on_features(start, n)
        rows = np.arange(start, min(start + BATCH, n))
        features[rows] = engine.logits(rows)
    if on_features is not None:
        on_features(n, n)
    return features
