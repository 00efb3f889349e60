"""Cheaper normalization for TensorFlow on a CPU, and networks that use it for training.

Keras normalizes by many operations on whole maps, which are converted to float32 if they are
bfloat16. For batches, TensorFlow has one operation, which reads and writes bfloat16 and computes
the statistics in float32. Groups are normalized here by one multiplication and one addition per
value. ``infra/benchmarks/training.py`` has a side without this module.
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


def with_cheap_normalization(network: Any, *, exact: bool = True) -> Any:
    """Return a network with the same weights that uses the normalization of this module.

    A model of a subclass, and one without normalization, is returned unchanged.

    Parameters
    ----------
    network : a functional or sequential model, which may contain others.
    exact : whether the answers without training are those of the network to the bit. If not, they
        are rounded in another way, and cost less: TensorFlow joins the normalization of a batch
        with the convolution before it.
    """

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, keras.Model):
            layer = with_cheap_normalization(layer, exact=exact)
        elif args and _is_plain(layer, args[0]):
            layer = REPLACED[type(layer)](layer, exact=exact)
        return layer(*args, **kwargs)

    return with_replaced_layers(network, call) if _has_normalization(network) else network


def _has_normalization(network: Any) -> bool:
    return any(
        _has_normalization(layer) if isinstance(layer, keras.Model) else type(layer) in REPLACED
        for layer in network.layers
    )


class _Normalization(keras.layers.Layer):  # type: ignore[misc] # Keras ships no types
    """A layer of normalization, whose weights it uses, in a cheaper way.

    Without training it is that layer, if `exact`.
    """

    def __init__(self, layer: Any, *, exact: bool) -> None:
        super().__init__(dtype=layer.dtype_policy)
        self.layer, self.exact = layer, exact

    def call(self, x: Any, training: Any = None, mask: Any = None) -> Any:
        if mask is not None or (self.exact and not training):
            return self.as_built(x, training, mask)
        return tf.cast(self.normalized(x, training=bool(training)), self.compute_dtype)

    def as_built(self, x: Any, training: Any, mask: Any) -> Any:
        """Return the answer of the layer itself."""
        raise NotImplementedError

    def normalized(self, x: Any, *, training: bool) -> Any:
        """Return normalized maps, (B, H, W, C), in float32 or the type of `x`."""
        raise NotImplementedError

    def scale_and_shift(self, channels: int) -> tuple[Any, Any]:
        """Return gamma and beta, float32 (C,)."""
        ones = tf.ones([channels])
        return (
            ones if self.layer.gamma is None else self.layer.gamma,
            tf.zeros_like(ones) if self.layer.beta is None else self.layer.beta,
        )


class _BatchNormalization(_Normalization):
    def as_built(self, x: Any, training: Any, mask: Any) -> Any:
        return self.layer(x, training=training, mask=mask)

    def normalized(self, x: Any, *, training: bool) -> Any:
        layer = self.layer
        # A layer that is not trainable uses its moving statistics in training, too.
        of_batch = training and layer.trainable
        if x.shape[-1] % CHANNELS or resolve_precision("auto") == "float32":
            # Also where the hardware has no bfloat16 and a study asks for it.
            x = tf.cast(x, tf.float32)
        scale, offset = self.scale_and_shift(x.shape[-1])
        answer, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=scale,
            offset=offset,
            mean=tf.zeros([0]) if of_batch else layer.moving_mean,
            variance=tf.zeros([0]) if of_batch else layer.moving_variance,
            epsilon=layer.epsilon,
            exponential_avg_factor=1.0,
            is_training=of_batch,
        )
        if of_batch:
            # Keras's moving statistics are of the variance of the n values, not divided by n - 1.
            n = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
            for moving, new in (
                (layer.moving_mean, mean),
                (layer.moving_variance, variance * ((n - 1) / n)),
            ):
                moving.assign(moving * layer.momentum + new * (1 - layer.momentum))
        return answer


class _GroupNormalization(_Normalization):
    def as_built(self, x: Any, training: Any, mask: Any) -> Any:  # noqa: ARG002 # has neither
        return self.layer(x)

    def normalized(self, x: Any, *, training: bool) -> Any:  # noqa: ARG002 # the same in both
        x = tf.cast(x, tf.float32)
        channels = x.shape[-1]
        groups = [-1, self.layer.groups, channels // self.layer.groups]

        def mean_of_group(values: Any) -> Any:
            means = tf.reshape(tf.reduce_mean(values, axis=(1, 2)), groups)
            return tf.reduce_mean(means, axis=2, keepdims=True)

        mean = mean_of_group(x)
        variance = tf.maximum(mean_of_group(x * x) - mean * mean, 0.0)
        scale, offset = (tf.reshape(w, groups) for w in self.scale_and_shift(channels))
        scale *= tf.math.rsqrt(variance + self.layer.epsilon)
        shape = [-1, 1, 1, channels]
        return x * tf.reshape(scale, shape) + tf.reshape(offset - mean * scale, shape)


#: Keras's layers, and what replaces them.
REPLACED: dict[type, type[_Normalization]] = {
    keras.layers.BatchNormalization: _BatchNormalization,
    keras.layers.GroupNormalization: _GroupNormalization,
}


def _is_plain(layer: Any, x: Any) -> bool:
    return (
        type(layer) in REPLACED
        and len(x.shape) == AXES
        and layer.axis in {-1, AXES - 1}
        and layer.compute_dtype in TYPES
        and not getattr(layer, "synchronized", False)
        and not getattr(layer, "renorm", False)
    )
