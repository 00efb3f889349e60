"""Networks as LiteRT files (formerly TensorFlow Lite), which need no Keras to answer."""

import contextlib
import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ConversionError
from models.training.backend import captured, load_keras


def to_litert(network: Any) -> bytes:
    """Return a network as the content of a LiteRT file.

    Parameters
    ----------
    network : a Keras network of images (n, size, size, 3).

    Raises
    ------
    ConversionError
        If Keras runs on another backend than TensorFlow, or the network has a layer that LiteRT
        does not know.
    """
    backend = load_keras().backend.backend()
    if backend != "tensorflow":
        raise ConversionError(
            f"KERAS_BACKEND={backend}: a network is converted with TensorFlow; set "
            "KERAS_BACKEND=tensorflow"
        )
    import tensorflow as tf

    failure: Exception
    # It prints the network's signature to standard output, and its passes to standard error.
    with captured(2), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return bytes(tf.lite.TFLiteConverter.from_keras_model(network).convert())
        except Exception as error:  # noqa: BLE001 # whatever it raises, this network is the cause
            failure = error
    reason = (str(failure).splitlines() or [type(failure).__name__])[0]
    raise ConversionError(f"it cannot be converted to LiteRT: {reason}") from failure


def litert_answers(content: bytes, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logits (n, classes) of a LiteRT network.

    Parameters
    ----------
    content : of a LiteRT file.
    images : (n, size, size, 3), 0 to 255.
    """
    import tensorflow as tf

    with captured(2), warnings.catch_warnings():
        # TensorFlow recommends the package ai_edge_litert instead, which is one more dependency.
        warnings.simplefilter("ignore")
        interpreter = tf.lite.Interpreter(model_content=content)
        entry = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(entry, images.shape)
        interpreter.allocate_tensors()
    interpreter.set_tensor(entry, images)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
