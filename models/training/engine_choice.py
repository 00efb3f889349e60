"""Choosing the engine for the Keras backend that is loaded."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import SpecError
from models.training.backend import device_name, load_keras
from models.training.engine import Engine, EngineJob


def engine_of(job: EngineJob) -> Engine:
    """Return an engine for the Keras backend that is loaded.

    Raises
    ------
    SpecError
        If the backend is neither TensorFlow nor JAX.
    """
    backend = load_keras().backend.backend()
    match backend:
        case "tensorflow":
            from models.training.tensorflow_engine import TensorFlowEngine

            return TensorFlowEngine(job)
        case "jax":
            from models.training.jax_engine import JaxEngine

            return JaxEngine(job)
    raise SpecError(
        f"KERAS_BACKEND={backend}: networks train on tensorflow or jax; set one of them"
    )


def prediction_engine(network: Any, images: NDArray[Any]) -> Engine:
    """Return an engine that only computes the answers of a network."""
    labels = np.zeros(len(images), dtype=np.int64)
    optimizer = load_keras().optimizers.SGD()
    return engine_of(EngineJob(network, network, optimizer, images, labels, len(images)))


def cheapest_network(network: Any, *, exact: bool = True, deterministic: bool = False) -> Any:
    """Return a network with the same weights that costs less to train.

    With TensorFlow on a GPU this is the network itself.

    Parameters
    ----------
    exact : whether its answers without training are those of the network to the bit. If not, they
        may be rounded in another way, and cost less.
    deterministic : whether equal seeds must give equal bits, also those of earlier versions: the
        order of the layers is then kept.
    """
    if load_keras().backend.backend() == "jax":
        from models.training.jax_pooling import with_cheap_pooling

        return with_cheap_pooling(network)
    # Measured on CPUs only.
    if device_name() != "cpu":
        return network
    from models.training.tensorflow_normalization import with_cheap_normalization
    from models.training.tensorflow_pooling import with_pooling_first

    if not deterministic:
        network = with_pooling_first(network)
    return with_cheap_normalization(network, exact=exact)
