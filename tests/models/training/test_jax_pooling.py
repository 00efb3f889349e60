"""Max-pooling for JAX, against XLA's own and its gradient."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from models.training.jax_pooling import convolve_in_blocks, max_pool, max_pool_relu


def of_xla(x: Any) -> Any:
    """Return the maxima of 2 x 2 windows, whose gradient XLA gives to the first of equal ones."""
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def whole_numbers(*shape: int, seed: int = 1) -> Any:
    """Return numbers of which many are equal, and whose sums are not rounded."""
    return jnp.asarray(np.random.default_rng(seed).integers(-3, 4, shape), jnp.float32)


def in_blocks(x: Any) -> Any:
    """Lay the pixels of each window side by side."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height // 2, width // 2, 4 * channels)


@pytest.mark.parametrize("shape", [(2, 8, 6, 3), (1, 2, 2, 1), (3, 16, 16, 5)])
def test_answers_and_gradient_are_those_of_xla_to_the_bit(shape: tuple[int, ...]) -> None:
    x = whole_numbers(*shape)
    answer, back = jax.vjp(lambda x: max_pool(x, "pixels"), x)
    known, known_back = jax.vjp(of_xla, x)
    gradient = whole_numbers(*answer.shape, seed=2)
    assert np.array_equal(answer, known)
    assert np.array_equal(back(gradient)[0], known_back(gradient)[0])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_bias_and_relu_commute_with_the_maximum(dtype: Any) -> None:
    rng = np.random.default_rng(3)
    x = jnp.asarray(rng.normal(size=(2, 8, 8, 4)), dtype)
    bias = jnp.asarray(rng.normal(size=4), dtype)
    answer = max_pool_relu(x, bias, "pixels")
    assert np.array_equal(answer, of_xla(jax.nn.relu(x + bias)))


def test_the_gradient_passes_bias_and_relu() -> None:
    x, bias = whole_numbers(2, 8, 6, 3), jnp.asarray([1.0, 0.0, -2.0])
    answer, back = jax.vjp(lambda x, bias: max_pool_relu(x, bias, "pixels"), x, bias)
    known, known_back = jax.vjp(lambda x, bias: of_xla(jax.nn.relu(x + bias)), x, bias)
    gradient = whole_numbers(*answer.shape, seed=4)
    assert np.array_equal(answer, known)
    for mine, theirs in zip(back(gradient), known_back(gradient), strict=True):
        assert np.array_equal(mine, theirs)


def test_pixels_of_a_window_may_lie_side_by_side() -> None:
    x, bias = whole_numbers(2, 8, 6, 3), jnp.asarray([1.0, 0.0, -2.0])

    def blocked(x: Any, bias: Any) -> tuple[Any, Any]:
        return max_pool(in_blocks(x), "blocks"), max_pool_relu(in_blocks(x), bias, "blocks")

    def plain(x: Any, bias: Any) -> tuple[Any, Any]:
        return max_pool(x, "pixels"), max_pool_relu(x, bias, "pixels")

    answers, back = jax.vjp(blocked, x, bias)
    known, known_back = jax.vjp(plain, x, bias)
    gradients = tuple(whole_numbers(*answer.shape, seed=5) for answer in answers)
    for mine, theirs in zip(answers + back(gradients), known + known_back(gradients), strict=True):
        assert np.array_equal(mine, theirs)


@pytest.mark.parametrize("side", [1, 3, 5, 7])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_convolution_in_blocks_is_the_convolution(side: int, channels: int) -> None:
    x, kernel = whole_numbers(2, 12, 10, channels), whole_numbers(side, side, channels, 3)

    def plain(x: Any, kernel: Any) -> Any:
        names = ("NHWC", "HWIO", "NHWC")
        answer = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=names)
        return in_blocks(answer)

    answer, back = jax.vjp(convolve_in_blocks, x, kernel)
    known, known_back = jax.vjp(plain, x, kernel)
    gradient = whole_numbers(*answer.shape, seed=6)
    assert np.array_equal(answer, known)
    for mine, theirs in zip(back(gradient), known_back(gradient), strict=True):
        assert np.array_equal(mine, theirs)


def test_what_is_no_number_stays_none() -> None:
    x = whole_numbers(1, 4, 4, 1).at[0, 0, 1, 0].set(jnp.nan)
    assert np.isnan(max_pool(x, "pixels")[0, 0, 0, 0])
    assert np.isnan(max_pool_relu(x, jnp.zeros(1), "pixels")[0, 0, 0, 0])
