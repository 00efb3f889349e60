"""Max-pooling on JAX that costs a GPU less, and networks that train with it.

XLA's own gradient of a maximum over windows writes five arrays of the size of the largest map, four
of them 32 bits wide, and adds into it by atomic operations: at 256 pixels a side it takes more than
half of a step (``infra/benchmarks/gpu.py`` has the figures). Windows of 2 x 2 that do not overlap
need none of that: the forward pass notes in a byte which pixel was the largest, and the backward
pass puts the gradient there.
"""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax import lax

#: Channels to which thin ones are filled up: matrix units read 16 at once.
CHANNELS = 16
#: What `max_pool_relu` notes where ReLU answered 0, so that no pixel has a gradient.
NO_PIXEL = 4

Layout = Literal["pixels", "blocks"]


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def max_pool(x: Any, layout: Layout) -> Any:
    """Return the largest of each 2 x 2 window; of equal ones the first has the gradient.

    Parameters
    ----------
    x : (B, 2H, 2W, C); with the pixels of each window side by side (B, H, W, 4C).
    layout : which of the two.

    Returns
    -------
    (B, H, W, C)
    """
    return _largest(_pixels(x, layout))


def _pool_forward(x: Any, layout: Layout) -> tuple[Any, Any]:
    pixels = _pixels(x, layout)
    largest = _largest(pixels)
    # Held together: XLA would else look for the first again in the backward pass, from all of x.
    held: tuple[Any, Any] = lax.optimization_barrier((largest, _first(pixels, largest)))
    return held


def _pool_backward(layout: Layout, first: Any, gradient: Any) -> tuple[Any]:
    return (_placed(first, gradient, layout),)


max_pool.defvjp(_pool_forward, _pool_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def max_pool_relu(x: Any, bias: Any, layout: Layout) -> Any:
    """Return ``max_pool(relu(x + bias))``, with bias and ReLU on the small map.

    Rounded addition and ReLU never change an order, so that the answers are the same to the bit.

    Parameters
    ----------
    x, layout : as `max_pool` has them.
    bias : (C,).
    """
    return jnp.maximum(_largest(_pixels(x, layout)) + bias, 0)


def _relu_forward(x: Any, bias: Any, layout: Layout) -> tuple[Any, Any]:
    pixels = _pixels(x, layout)
    largest = _largest(pixels)
    sums = largest + bias
    first = jnp.where(sums > 0, _first(pixels, largest), jnp.uint8(NO_PIXEL))
    held: tuple[Any, Any] = lax.optimization_barrier((jnp.maximum(sums, 0), first))
    return held


def _relu_backward(layout: Layout, first: Any, gradient: Any) -> tuple[Any, Any]:
    alive = jnp.where(first < NO_PIXEL, gradient, jnp.zeros_like(gradient))
    to_bias = alive.sum(axis=(0, 1, 2), dtype=jnp.float32).astype(gradient.dtype)
    return _placed(first, gradient, layout), to_bias


max_pool_relu.defvjp(_relu_forward, _relu_backward)


def convolve_in_blocks(x: Any, kernel: Any) -> Any:
    """Convolve, and answer the pixels of each 2 x 2 window side by side.

    Blocks of 2 x 2 pixels become channels, and so do the four answers that they have part in: few
    channels in and few out, which matrix units compute badly, become many, at (K + 1)^2 / K^2 times
    the operations.

    Parameters
    ----------
    x : (B, 2H, 2W, C), filled up at the borders so that the size stays.
    kernel : (K, K, C, D), K odd.

    Returns
    -------
    (B, H, W, 4D)
    """
    side, _, channels, filters = kernel.shape
    border, reach = (side - 1) // 2, (side + 1) // 2
    x = jnp.pad(x, ((0, 0), (border, border), (border, border), (0, 0)))
    batch, height, width, _ = x.shape
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    x = x.reshape(batch, height // 2, width // 2, 4 * channels)
    # [block, pixel in it, pixel of the answer, place in the kernel]: 1 where they meet.
    block, pixel, answer, place = np.indices((reach, 2, 2, side))
    meet = jnp.asarray(2 * block + pixel - answer == place, kernel.dtype)
    kernel = jnp.einsum("upqi,vrsj,ijcd->uvprcqsd", meet, meet, kernel)
    kernel = kernel.reshape(reach, reach, 4 * channels, 4 * filters)
    missing = -(4 * channels) % CHANNELS
    x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, missing)))
    kernel = jnp.pad(kernel, ((0, 0), (0, 0), (0, missing), (0, 0)))
    names = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=names)


def with_cheap_pooling(network: Any) -> Any:
    """Return a network that shares the weights and answers the same, with the pooling of here.

    A model with code of its own around its layers is returned as it is.
    """
    if isinstance(network, keras.Sequential):
        network = keras.Model(network.inputs, network.outputs)
    point = keras.Input((1,))
    if type(network) is not type(keras.Model(point, point)):
        return network
    convolved: dict[int, tuple[Any, Any, Any]] = {}

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if type(layer) is keras.layers.MaxPooling2D and _is_plain(layer, args[0].shape):
            conv, x, _ = convolved.get(id(args[0]), (None, args[0], None))
            if conv is not None and conv.dtype_policy == layer.dtype_policy:
                return _Pooling(layer.dtype_policy, conv)(x)
            return _Pooling(layer.dtype_policy, None)(args[0])
        answer = layer(*args, **kwargs)
        if type(layer) is keras.layers.Conv2D and _has_bias_and_relu(layer):
            # Kept too, so that no later tensor is given its number.
            convolved[id(answer)] = layer, args[0], answer
        return answer

    return keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=call)


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
        answer = keras.ops.conv(
            x,
            kernel,
            strides=list(self.conv.strides),
            padding=self.conv.padding,
            dilation_rate=self.conv.dilation_rate,
            data_format="channels_last",
        )
        return max_pool_relu(_even(answer), bias, "pixels")


def _is_plain(pooling: Any, shape: tuple[int | None, ...]) -> bool:
    return (
        None not in shape[1:]
        and tuple(pooling.pool_size) == tuple(pooling.strides) == (2, 2)
        and pooling.padding == "valid"
        and pooling.data_format == "channels_last"
    )


def _has_bias_and_relu(conv: Any) -> bool:
    return (
        conv.use_bias
        and conv.activation is keras.activations.relu
        and conv.data_format == "channels_last"
        and conv.activity_regularizer is None
        and len(conv.weights) == len(("kernel", "bias"))  # not LoRA's, or quantised
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
    """Leave the last row and column away that have no partner, as pooling does."""
    return x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]


def _pixels(x: Any, layout: Layout) -> list[Any]:
    """Return the four pixels of each window, (B, H, W, C) each."""
    if layout == "blocks":
        return jnp.split(x, 4, axis=-1)
    batch, height, width, channels = x.shape
    windows = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return [windows[:, :, row, :, column] for row in (0, 1) for column in (0, 1)]


def _largest(pixels: list[Any]) -> Any:
    return jnp.maximum(jnp.maximum(*pixels[:2]), jnp.maximum(*pixels[2:]))


def _first(pixels: list[Any], largest: Any) -> Any:
    """Return which pixel, 0 to 3, is the first to be the largest, uint8."""
    first = jnp.full(largest.shape, 3, jnp.uint8)
    for number in (2, 1, 0):
        first = jnp.where(pixels[number] == largest, jnp.uint8(number), first)
    return first


def _placed(first: Any, gradient: Any, layout: Layout) -> Any:
    """Return the gradient at the pixel of each window that was the first, and 0 elsewhere."""
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
    placed = jnp.where(pixel == first, gradient, jnp.zeros_like(gradient))
    if layout == "blocks":
        return placed.reshape(batch, height, width, 4 * channels)
    return placed.reshape(batch, 2 * height, 2 * width, channels)
