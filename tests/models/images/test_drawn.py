from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from models.images.drawn import draw


def test_the_same_seed_draws_the_same_pictures() -> None:
    assert_array_equal(draw(6, 32, seed=4)[0], draw(6, 32, seed=4)[0])
    assert (draw(6, 32, seed=4)[0] != draw(6, 32, seed=5)[0]).any()


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 2**31))
def test_a_larger_number_does_not_change_the_first_pictures(few: int, more: int, seed: int) -> None:
    assert_array_equal(draw(few + more, 16, seed)[0][:few], draw(few, 16, seed)[0])


def test_half_of_the_pictures_are_cats() -> None:
    images, labels, classes = draw(10, 24, seed=1)
    assert images.shape == (10, 24, 24, 3)
    assert classes == ("cat", "dog")
    assert labels.tolist() == [0, 1] * 5


def test_the_class_does_not_follow_from_brightness_or_colour() -> None:
    # What a network could use without shapes: mean colour and contrast of a picture.
    import numpy as np

    images, labels, _ = draw(600, 32, seed=9)
    features = np.concatenate([images.mean(axis=(1, 2)), images.std(axis=(1, 2))], axis=1)
    design = np.column_stack([np.ones(len(features)), features])
    half = len(design) // 2
    weights = np.linalg.lstsq(design[:half], labels[:half] * 2.0 - 1, rcond=None)[0]
    right = ((design[half:] @ weights > 0) == labels[half:]).mean()
    assert right < 0.60  # 0.5 is chance; 3 s.d. of 300 coin tosses reach to 0.59
