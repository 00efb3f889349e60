"""Drift from the last accepted version."""

import numpy as np
import pandas as pd
import pytest

from tasks.data.drift import drift, profile_of


def profile(n: int, brightness: float = 120, cats: float = 0.5) -> dict[str, object]:
    chance = np.random.default_rng(n)
    columns = {
        "width": chance.integers(100, 500, n).astype(float),
        "height": chance.integers(100, 500, n).astype(float),
        "brightness": chance.normal(brightness, 30, n),
        "label": np.where(np.arange(n) < cats * n, "cat", "dog"),
    }
    return profile_of(pd.DataFrame(columns))


def test_another_sample_of_the_same_pictures_has_not_drifted() -> None:
    assert set(drift(profile(2000), profile(1999)).values()) == {0.0}
    assert set(drift(profile(50), profile(60)).values()) == {0.0}


def test_darker_pictures_and_fewer_cats_have_drifted() -> None:
    moved = drift(profile(2000, brightness=80, cats=0.2), profile(1999))
    assert moved["brightness_drift"] == pytest.approx(0.49, abs=0.06)
    assert moved["class_drift"] == pytest.approx(0.3 - 1.95 * (2 / 2000) ** 0.5, abs=0.01)
    assert moved["size_drift"] == 0


def test_a_first_version_has_no_drift() -> None:
    assert set(drift(profile(100), None).values()) == {None}
