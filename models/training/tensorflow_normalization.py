"""Cheaper batch normalization for TensorFlow on a CPU, and networks that use it for training.

Keras normalizes a batch by separate operations on whole maps, which are converted to float32 if
they are bfloat16. TensorFlow has one operation for it, which reads and writes bfloat16 and computes
the statistics in float32. ``infra/benchmarks/training.py`` has a side without it.
"""

from typing import Any

import keras
import tensorflow as tf

from models.training.backend import resolve_precision
from models.training.replace_layers import with_replaced_layers

#: Axes of a batch of maps, (B, H, W, C).
AXES = 4
#: With bfloat16 the operation is fast for multiples of this number of channels. With others it took
#: 2 to 3 times as long as Keras's operations (measured on AVX512-BF16), and in float32 0.25 to 0.8
#: times as long.
CHANNELS = 16
#: The types that the operation has on a CPU, and that `TrainingSpec.precision` may select.
TYPES = ("float32", "bfloat16")


def with_fused_normalization(network: Any, *, exact: bool = True) -> Any:
    """Return a network with the same weights that normalizes batches in one operation.

    A model of a subclass is returned unchanged.

    Parameters
    ----------
    network : a functional or sequential model, which may contain others.
    exact : whether the answers without training are those of the network to the bit. If not, they
        are rounded in another way, and cost less: TensorFlow joins the operation with the
        convolution before it.
    """

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, keras.Model):
            layer = with_fused_normalization(layer, exact=exact)
        elif type(layer) is keras.layers.BatchNormalization and _is_plain(layer, args[0].shape):
            layer = _FusedNormalization(layer, exact=exact)
        return layer(*args, **kwargs)

    return with_replaced_layers(network, call)


class _FusedNormalization(keras.layers.Layer):  # type: ignore[misc] # Keras ships no types
    """A layer of batch normalization, whose weights it uses, as one operation.

    Without training it is that layer, if `exact`.
    """

    def __init__(self, layer: Any, *, exact: bool) -> None:
        super().__init__(dtype=layer.dtype_policy)
        self.layer, self.exact = layer, exact

    def call(self, x: Any, training: Any = None, mask: Any = None) -> Any:
        layer = self.layer
        if mask is not None or (self.exact and not training):
            return layer(x, training=training, mask=mask)
        # A layer that is not trainable uses its moving statistics in training, too.
        of_batch = bool(training and layer.trainable)
        ones = tf.ones([x.shape[-1]])
        if x.shape[-1] % CHANNELS or resolve_precision("auto") == "float32":
            # Also where the hardware has no bfloat16 and a study asks for it.
            x = tf.cast(x, tf.float32)
        answer, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=ones if layer.gamma is None else layer.gamma,
            offset=tf.zeros_like(ones) if layer.beta is None else layer.beta,
            mean=tf.zeros([0]) if of_batch else layer.moving_mean,
            variance=tf.zeros([0]) if of_batch else layer.moving_variance,
            epsilon=layer.epsilon,
            exponential_avg_factor=1.0,
            is_training=of_batch,
        )
        answer = tf.cast(answer, self.compute_dtype)
        if not of_batch:
            return answer
        # Keras's moving statistics are of the variance of the n values, not divided by n - 1.
        n = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
        for moving, new in (
            (layer.moving_mean, mean),
            (layer.moving_variance, variance * ((n - 1) / n)),
        ):
            moving.assign(moving * layer.momentum + new * (1 - layer.momentum))
        return answer


def _is_plain(layer: Any, shape: tuple[int | None, ...]) -> bool:
    return (
        len(shape) == AXES
        and layer.axis in {-1, AXES - 1}
        and not layer.synchronized
        and not layer.renorm
        and layer.compute_dtype in TYPES
    )
