"""Light augmentation, compared with an interpolation of each pixel."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from models.training.augmentation import (
    LIGHT_SHIFT,
    LIGHT_ZOOM,
    LightAugmentation,
    interpolation,
)

HEIGHT, WIDTH, COUNT = 12, 20, 50
IMAGES = np.random.default_rng(1).integers(0, 256, (COUNT, HEIGHT, WIDTH, 3), dtype=np.uint8)


class Drawn(LightAugmentation):
    """The layer with numbers that are known, in the order in which it draws them."""

    def __init__(self, *shares: Any) -> None:
        super().__init__(seed=1)
        self._shares = list(shares)

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> Any:
        share = ops.convert_to_tensor(self._shares.pop(0), "float32")
        assert share.shape == shape
        return low + (high - low) * share


def test_the_answer_is_that_of_one_affine_transformation() -> None:
    rng = np.random.default_rng(2)
    zoom, flip, down, right = rng.uniform(size=(4, COUNT))
    found = ops.convert_to_numpy(Drawn(zoom, flip, down, right)(IMAGES))
    zoom = 1 - LIGHT_ZOOM + 2 * LIGHT_ZOOM * zoom
    sign = np.where(flip < 0.5, -1.0, 1.0)
    down = HEIGHT * LIGHT_SHIFT * (2 * down - 1)
    right = WIDTH * LIGHT_SHIFT * (2 * right - 1)
    middle_x, middle_y = (WIDTH - 1) / 2, (HEIGHT - 1) / 2
    zero = np.zeros(COUNT)
    moves = np.stack(
        [
            *(zoom * sign, zero, middle_x + right - zoom * sign * middle_x),
            *(zero, zoom, middle_y + down - zoom * middle_y),
            *(zero, zero),
        ],
        axis=1,
    )
    expected = ops.image.affine_transform(
        IMAGES.astype(np.float32),
        moves.astype(np.float32),
        fill_mode="reflect",
        data_format="channels_last",
    )
    assert found == pytest.approx(ops.convert_to_numpy(expected), abs=0.05)


def test_half_of_the_images_are_mirrored_and_none_stays_as_it_is() -> None:
    ramp = np.broadcast_to(np.arange(WIDTH, dtype=np.float32)[:, None], (400, HEIGHT, WIDTH, 3))
    moved = ops.convert_to_numpy(LightAugmentation(seed=3)(ramp))
    rising = moved[:, 0, WIDTH // 2 + 3, 0] > moved[:, 0, WIDTH // 2 - 3, 0]
    assert 0.4 < rising.mean() < 0.6
    assert not np.isclose(moved, ramp).all(axis=(1, 2, 3)).any()


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.8, 2.5), (-1.3, -9.0), (1.0, 40.0)])
def test_every_pixel_is_a_mean_of_at_most_two_neighbours(scale: float, shift: float) -> None:
    (matrix,) = ops.convert_to_numpy(
        interpolation(7, np.array([scale], np.float32), np.array([shift], np.float32))
    )
    assert matrix.sum(axis=1) == pytest.approx(np.ones(7), abs=1e-5)
    assert (matrix >= 0).all()
    for row in matrix:
        places = np.flatnonzero(row > 1e-6)
        assert len(places) <= 2
        assert np.ptp(places) <= 1


def test_without_a_move_the_pixels_stay() -> None:
    ones, zeros = np.ones(1, np.float32), np.zeros(1, np.float32)
    assert np.array_equal(ops.convert_to_numpy(interpolation(9, ones, zeros))[0], np.eye(9))


def test_pixels_beyond_the_border_are_mirrored() -> None:
    ones, by_two = np.ones(1, np.float32), np.array([2], np.float32)
    (matrix,) = ops.convert_to_numpy(interpolation(4, ones, by_two))
    assert (matrix @ np.arange(4)).tolist() == [2, 3, 3, 2]


def test_the_images_have_the_shape_and_type_of_before() -> None:
    layer = LightAugmentation(seed=1)
    moved = layer(IMAGES)
    assert tuple(moved.shape) == IMAGES.shape
    assert keras.backend.standardize_dtype(moved.dtype) == "float32"
    assert 0 <= ops.convert_to_numpy(moved).min() <= ops.convert_to_numpy(moved).max() <= 255.01
