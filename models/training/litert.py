"""Networks as LiteRT files (formerly TensorFlow Lite), which need no Keras to answer."""

import contextlib
import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ConversionError
from models.training.backend import captured, load_keras


def in_float32(network: Any) -> Any:
    """Return a network that computes in float32, with the same weights.

    Parameters
    ----------
    network : a Keras network. One that was trained in mixed bfloat16 computes in bfloat16, which
        LiteRT does not know; a network that computes in float32 is returned as it is.

    Raises
    ------
    ConversionError
        If a layer cannot be built again from its configuration.
    """
    keras = load_keras()
    if _computes_in_float32(network):
        return network

    def copied(layer: Any) -> Any:
        config = layer.get_config()
        # Not every node of a network is a layer: `keras.ops.flip` has no weights and no type.
        if isinstance(layer, keras.layers.Layer):
            config["dtype"] = "float32"
        return layer.__class__.from_config(config)

    try:
        copy = keras.models.clone_model(network, clone_function=copied, recursive=True)
        copy.set_weights(network.get_weights())
    except Exception as error:  # whatever a layer raises, it is the cause
        raise ConversionError(f"it cannot be converted to LiteRT: {_first_line(error)}") from error
    return copy


def _computes_in_float32(layer: Any) -> bool:
    own = getattr(layer, "layers", None)
    if own is None:
        return bool(getattr(layer, "compute_dtype", "float32") == "float32")
    return all(_computes_in_float32(part) for part in own)


def to_litert(network: Any) -> bytes:
    """Return a network as the content of a LiteRT file.

    Parameters
    ----------
    network : a Keras network of images (n, size, size, 3) that computes in float32; see
        `in_float32`.

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
    raise ConversionError(f"it cannot be converted to LiteRT: {_first_line(failure)}") from failure


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


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
