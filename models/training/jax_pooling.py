"""Cheaper max-pooling for JAX on a GPU, and networks that use it for training.

XLA's gradient of a maximum over windows writes five arrays of the size of the largest map, four of
them 32 bits wide, and adds into it by atomic operations: with images of 256 x 256 pixels it takes
more than half of a step (``infra/benchmarks/gpu.py`` has the figures). For windows of 2 x 2 that do
not overlap this is not necessary: the forward pass stores in one byte which pixel was the largest,
and the backward pass puts the gradient there.
"""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax import lax

from models.training.replace_layers import with_replaced_pooling

#: Inputs with fewer channels are padded to this number: matrix units read 16 at once.
CHANNELS = 16
#: The pixel number that `max_pool_relu` stores if ReLU returned 0, so that no pixel has a gradient.
NO_PIXEL = 4

#: ``pixels`` is the usual layout (B, 2H, 2W, C); ``blocks`` is (B, H, W, 4C), with the four pixels
#: of each 2 x 2 window next to each other.
Layout = Literal["pixels", "blocks"]


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def max_pool(x: Any, layout: Layout) -> Any:
    """Return the maximum of each 2 x 2 window; of equal pixels the first one gets the gradient.

    Parameters
    ----------
    x : (B, 2H, 2W, C) or (B, H, W, 4C), see `Layout`.
    layout : the layout of `x`.

    Returns
    -------
    (B, H, W, C)
    """
    return _largest(_pixels(x, layout))


def _pool_forward(x: Any, layout: Layout) -> tuple[Any, Any]:
    pixels = _pixels(x, layout)
    largest = _largest(pixels)
    # Without the barrier XLA would compute the pixel number again in the backward pass, from x.
    kept: tuple[Any, Any] = lax.optimization_barrier((largest, _first_largest(pixels, largest)))
    return kept


def _pool_backward(layout: Layout, first: Any, gradient: Any) -> tuple[Any]:
    return (_gradient_at(first, gradient, layout),)


max_pool.defvjp(_pool_forward, _pool_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def max_pool_relu(x: Any, bias: Any, layout: Layout) -> Any:
    """Return ``max_pool(relu(x + bias))``; bias and ReLU are applied after the pooling.

    Rounded addition and ReLU are monotonic, so that the results are the same to the bit.

    Parameters
    ----------
    x, layout : see `max_pool`.
    bias : (C,).

    Returns
    -------
    (B, H, W, C)
    """
    return jnp.maximum(_largest(_pixels(x, layout)) + bias, 0)


def _relu_forward(x: Any, bias: Any, layout: Layout) -> tuple[Any, Any]:
    pixels = _pixels(x, layout)
    largest = _largest(pixels)
    sums = largest + bias
    first = jnp.where(sums > 0, _first_largest(pixels, largest), jnp.uint8(NO_PIXEL))
    kept: tuple[Any, Any] = lax.optimization_barrier((jnp.maximum(sums, 0), first))
    return kept


def _relu_backward(layout: Layout, first: Any, gradient: Any) -> tuple[Any, Any]:
    passed = jnp.where(first < NO_PIXEL, gradient, jnp.zeros_like(gradient))
    bias_gradient = passed.sum(axis=(0, 1, 2), dtype=jnp.float32).astype(gradient.dtype)
    return _gradient_at(first, gradient, layout), bias_gradient


max_pool_relu.defvjp(_relu_forward, _relu_backward)


def convolve_in_blocks(x: Any, kernel: Any) -> Any:
    """Convolve with zero padding that keeps the size, and return the result in blocks.

    Blocks of 2 x 2 input pixels become channels, and so do the 2 x 2 output pixels that they
    contribute to. Few input and output channels, which matrix units compute slowly, become many,
    at (K + 1)^2 / K^2 times the operations.

    Parameters
    ----------
    x : (B, 2H, 2W, C).
    kernel : (K, K, C, D), K odd.

    Returns
    -------
    (B, H, W, 4D), see `Layout`.
    """
    side, _, channels, filters = kernel.shape
    border, reach = (side - 1) // 2, (side + 1) // 2
    x = jnp.pad(x, ((0, 0), (border, border), (border, border), (0, 0)))
    batch, height, width, _ = x.shape
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    x = x.reshape(batch, height // 2, width // 2, 4 * channels)
    # (block, input pixel, output pixel, index in the kernel): 1 if this index connects the pixels.
    block, source, target, index = np.indices((reach, 2, 2, side))
    connects = jnp.asarray(2 * block + source - target == index, kernel.dtype)
    kernel = jnp.einsum("upqi,vrsj,ijcd->uvprcqsd", connects, connects, kernel)
    kernel = kernel.reshape(reach, reach, 4 * channels, 4 * filters)
    missing = -(4 * channels) % CHANNELS
    x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, missing)))
    kernel = jnp.pad(kernel, ((0, 0), (0, 0), (0, missing), (0, 0)))
    names = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=names)


def with_cheap_pooling(network: Any) -> Any:
    """Return a network with the same weights and answers that uses the pooling of this module.

    A model of a subclass is returned unchanged.
    """

    def replacement(pooling: Any, shape: Any, conv: Any) -> Any | None:
        return _Pooling(pooling.dtype_policy, conv) if _is_plain(pooling, shape) else None

    return with_replaced_pooling(network, replacement)


class _Pooling(keras.layers.Layer):  # type: ignore[misc] # Keras ships no types
    """`max_pool`, or `max_pool_relu` after a convolution whose weights it uses."""

    def __init__(self, dtype: Any, conv: Any) -> None:
        super().__init__(dtype=dtype)
        self.conv = conv

    def call(self, x: Any) -> Any:
        if self.conv is None:
            return max_pool(_even(x), "pixels")
        kernel, bias = (jnp.asarray(keras.ops.convert_to_tensor(v)) for v in self.conv.weights)
        if _suits_blocks(self.conv, x.shape):
            return max_pool_relu(convolve_in_blocks(x, kernel), bias, "blocks")
        answer = self.conv.convolution_op(x, kernel)
        return max_pool_relu(_even(answer), bias, "pixels")


def _is_plain(pooling: Any, shape: tuple[int | None, ...]) -> bool:
    return (
        None not in shape[1:]
        and tuple(pooling.pool_size) == tuple(pooling.strides) == (2, 2)
        and pooling.padding == "valid"
        and pooling.data_format == "channels_last"
    )


def _suits_blocks(conv: Any, shape: tuple[int, ...]) -> bool:
    side = conv.kernel_size[0]
    return (
        4 * shape[-1] <= CHANNELS
        and conv.padding == "same"
        and tuple(conv.kernel_size) == (side, side)
        and side % 2 == 1
        and tuple(conv.strides) == tuple(conv.dilation_rate) == (1, 1)
        and conv.groups == 1
        and shape[1] % 2 == shape[2] % 2 == 0
    )


def _even(x: Any) -> Any:
    """Drop the last row and column if their number is odd, as pooling does."""
    return x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]


def _pixels(x: Any, layout: Layout) -> list[Any]:
    """Return four arrays (B, H, W, C): one per pixel of the windows."""
    if layout == "blocks":
        return jnp.split(x, 4, axis=-1)
    batch, height, width, channels = x.shape
    windows = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return [windows[:, :, row, :, column] for row in (0, 1) for column in (0, 1)]


def _largest(pixels: list[Any]) -> Any:
    return jnp.maximum(jnp.maximum(*pixels[:2]), jnp.maximum(*pixels[2:]))


def _first_largest(pixels: list[Any], largest: Any) -> Any:
    """Return the number, 0 to 3, of the first pixel that has the maximum, uint8 (B, H, W, C)."""
    first = jnp.full(largest.shape, 3, jnp.uint8)
    for number in (2, 1, 0):
        first = jnp.where(pixels[number] == largest, jnp.uint8(number), first)
    return first


def _gradient_at(first: Any, gradient: Any, layout: Layout) -> Any:
    """Return the gradient at pixel number `first` of each window, and 0 at the other pixels."""
    batch, height, width, channels = gradient.shape
    if layout == "blocks":
        axes: tuple[int, ...] = (3,)
        shape: tuple[int, ...] = (batch, height, width, 4, channels)
    else:
        axes, shape = (2, 4), (batch, height, 2, width, 2, channels)
    pixel = jnp.zeros(shape, jnp.uint8)
    for axis in axes:
        pixel = pixel * 2 + lax.broadcasted_iota(jnp.uint8, shape, axis)
    first, gradient = (jnp.expand_dims(x, axes) for x in (first, gradient))
    spread = jnp.where(pixel == first, gradient, jnp.zeros_like(gradient))
    if layout == "blocks":
        return spread.reshape(batch, height, width, 4 * channels)
    return spread.reshape(batch, 2 * height, 2 * width, channels)
