"""Max-pooling for JAX, compared with XLA's implementation and gradient."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from models.training.jax_pooling import convolve_in_blocks, max_pool, max_pool_relu


def xla_max_pool(x: Any) -> Any:
    """Return the maxima of 2 x 2 windows; XLA gives the gradient to the first of equal pixels."""
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def random_integers(*shape: int, seed: int = 1) -> Any:
    """Return integers as float32: many are equal, and their sums are exact."""
    return jnp.asarray(np.random.default_rng(seed).integers(-3, 4, shape), jnp.float32)


def to_blocks(x: Any) -> Any:
    """Put the pixels of each window next to each other; see `Layout`."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height // 2, width // 2, 4 * channels)


@pytest.mark.parametrize(
    "shape",
    [
        (2, 8, 6, 3),
        pytest.param((1, 2, 2, 1), marks=pytest.mark.slow),
        pytest.param((3, 16, 16, 5), marks=pytest.mark.slow),
    ],
)
def test_answers_and_gradient_are_those_xla_max_pool_to_the_bit(shape: tuple[int, ...]) -> None:
    x = random_integers(*shape)
    answer, back = jax.vjp(lambda x: max_pool(x, "pixels"), x)
    expected, expected_back = jax.vjp(xla_max_pool, x)
    gradient = random_integers(*answer.shape, seed=2)
    assert np.array_equal(answer, expected)
    assert np.array_equal(back(gradient)[0], expected_back(gradient)[0])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_bias_and_relu_commute_with_the_maximum(dtype: Any) -> None:
    rng = np.random.default_rng(3)
    x = jnp.asarray(rng.normal(size=(2, 8, 8, 4)), dtype)
    bias = jnp.asarray(rng.normal(size=4), dtype)
    answer = max_pool_relu(x, bias, "pixels")
    assert np.array_equal(answer, xla_max_pool(jax.nn.relu(x + bias)))


def test_the_gradient_passes_through_bias_and_relu() -> None:
    x, bias = random_integers(2, 8, 6, 3), jnp.asarray([1.0, 0.0, -2.0])
    answer, back = jax.vjp(lambda x, bias: max_pool_relu(x, bias, "pixels"), x, bias)
    expected, expected_back = jax.vjp(lambda x, bias: xla_max_pool(jax.nn.relu(x + bias)), x, bias)
    gradient = random_integers(*answer.shape, seed=4)
    assert np.array_equal(answer, expected)
    for ours, reference in zip(back(gradient), expected_back(gradient), strict=True):
        assert np.array_equal(ours, reference)


def test_both_layouts_give_the_same_answers_and_gradients() -> None:
    x, bias = random_integers(2, 8, 6, 3), jnp.asarray([1.0, 0.0, -2.0])

    def blocked(x: Any, bias: Any) -> tuple[Any, Any]:
        return max_pool(to_blocks(x), "blocks"), max_pool_relu(to_blocks(x), bias, "blocks")

    def plain(x: Any, bias: Any) -> tuple[Any, Any]:
        return max_pool(x, "pixels"), max_pool_relu(x, bias, "pixels")

    answers, back = jax.vjp(blocked, x, bias)
    expected, expected_back = jax.vjp(plain, x, bias)
    gradients = tuple(random_integers(*answer.shape, seed=5) for answer in answers)
    for ours, reference in zip(
        answers + back(gradients), expected + expected_back(gradients), strict=True
    ):
        assert np.array_equal(ours, reference)


@pytest.mark.parametrize(
    ("side", "channels"),
    [
        (3, 3),
        *[
            pytest.param(side, channels, marks=pytest.mark.slow)
            for side, channels in [(1, 1), (1, 3), (1, 4), (3, 1), (3, 4), (7, 1), (7, 3), (7, 4)]
        ],
    ],
)
def test_a_convolution_in_blocks_equals_the_convolution(side: int, channels: int) -> None:
    x, kernel = random_integers(2, 12, 10, channels), random_integers(side, side, channels, 3)

    def plain(x: Any, kernel: Any) -> Any:
        names = ("NHWC", "HWIO", "NHWC")
        answer = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=names)
        return to_blocks(answer)

    answer, back = jax.vjp(convolve_in_blocks, x, kernel)
    expected, expected_back = jax.vjp(plain, x, kernel)
    gradient = random_integers(*answer.shape, seed=6)
    assert np.array_equal(answer, expected)
    for ours, reference in zip(back(gradient), expected_back(gradient), strict=True):
        assert np.array_equal(ours, reference)


def test_nan_stays_nan() -> None:
    x = random_integers(1, 4, 4, 1).at[0, 0, 1, 0].set(jnp.nan)
    assert np.isnan(max_pool(x, "pixels")[0, 0, 0, 0])
    assert np.isnan(max_pool_relu(x, jnp.zeros(1), "pixels")[0, 0, 0, 0])
