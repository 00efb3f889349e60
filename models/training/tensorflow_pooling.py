"""Cheaper max-pooling for TensorFlow on a CPU, and networks that use it for training.

In float32, the maps of the first convolution of a batch of 64 images of 128 x 128 pixels are
270 MB, and each operation on them reads or writes all of them. Pooling before bias and ReLU leaves
a quarter of the values to these and their gradients, and the maps of a few images at a time stay in
the caches between convolution and pooling. In bfloat16 nothing was gained.
``infra/benchmarks/training.py`` has a side without this module.
"""

import math
from typing import Any

import keras
import tensorflow as tf

from models.training.replace_layers import with_replaced_pooling

#: Size of the maps (bytes) that are convolved and pooled at once, at most. Of 2 to 32 MiB this was
#: the fastest, or as fast, for the published network at 64 and 128 pixels (measured on a CPU with
#: 1 MiB of L2 cache per core and 32 MiB of L3).
BYTES = 2**22
#: Parts of a batch, at most: each has operations of its own in the compiled step.
MOST_PARTS = 64


def with_pooling_first(network: Any) -> Any:
    """Return a network with the same weights that applies bias and ReLU after max-pooling.

    Rounded addition and ReLU are monotonic, so that the maximum is the same. Without training the
    layers are called as they are. A model of a subclass, and one without such layers in float32, is
    returned unchanged.
    """
    replaced = []

    def replacement(pooling: Any, _: Any, conv: Any) -> Any | None:
        if conv is None or pooling.compute_dtype != "float32":
            return None
        if pooling.data_format != "channels_last":
            return None
        replaced.append(_PoolingFirst(pooling, conv))
        return replaced[-1]

    cheaper = with_replaced_pooling(network, replacement)
    return cheaper if replaced else network


class _PoolingFirst(keras.layers.Layer):  # type: ignore[misc] # Keras ships no types
    """A convolution with bias and ReLU, and the max-pooling after it."""

    def __init__(self, pooling: Any, conv: Any) -> None:
        super().__init__(dtype=pooling.dtype_policy)
        self.pooling, self.conv = pooling, conv

    def call(self, x: Any, training: Any = None) -> Any:
        if not training:
            return self.pooling(self.conv(x))
        kernel = self.conv.kernel
        largest = [self.pooling(self.conv.convolution_op(part, kernel)) for part in self._parts(x)]
        return tf.nn.relu(tf.concat(largest, axis=0) + self.conv.bias)

    def _parts(self, x: Any) -> list[Any]:
        """Return the batch as it is, or a few images at a time."""
        shape = self.conv.compute_output_shape(x.shape)
        if None in shape:
            return [x]
        at_once = BYTES // (math.prod(shape[1:]) * x.dtype.size)
        if not 0 < at_once < shape[0]:
            return [x]
        at_once = max(at_once, -(-shape[0] // MOST_PARTS))
        whole, rest = divmod(shape[0], at_once)
        # Not slices: the gradient of each is as large as the batch.
        parts: list[Any] = tf.split(x, [at_once] * whole + [rest] * (rest > 0))
        return parts
