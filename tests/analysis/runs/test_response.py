"""The direction, the floor and the images of a response."""

import numpy as np
import pandas as pd
import pytest

from analysis.runs.collapsed import find_collapsed
from analysis.runs.response import RESPONSES, ConstantAnswer, is_imbalanced, response_of


@pytest.mark.parametrize("name", ["val_loss", "val_log_loss", "test_rmse"])
def test_a_lower_loss_is_better(name: str) -> None:
    assert response_of(name).lower
    assert response_of(name).sign == -1


@pytest.mark.parametrize(
    "name", ["val_accuracy", "val_balanced_accuracy", "val_f1_macro", "val_auc", "score"]
)
def test_a_higher_score_is_better(name: str) -> None:
    assert not response_of(name).lower
    assert response_of(name).sign == 1


def test_only_a_share_of_right_answers_has_images() -> None:
    of = {name: response.images(100, 2, 0.8) for name, response in RESPONSES.items()}
    assert of.pop("val_accuracy") == 100
    # One more right answer among the 80 images of the larger class changes it by 1 / 160.
    assert of.pop("val_balanced_accuracy") == 160
    assert set(of.values()) == {None}


def test_a_set_is_imbalanced_if_a_class_has_more_than_twice_the_images_of_another() -> None:
    assert is_imbalanced([201, 100])
    assert not is_imbalanced([200, 100])
    assert not is_imbalanced([5])


def test_a_network_that_finds_the_small_class_has_learned_whatever_its_accuracy() -> None:
    # 900 and 100 images: the constant answer has an accuracy of 0.9.
    constant = ConstantAnswer.of([900, 100])
    collapsed = find_collapsed(
        pd.Series([0.9, 0.85, 0.9]),
        pd.Series([constant.loss, 0.5, 0.2]),
        chance=constant.chance,
        classes=2,
        images=1000,
        balanced=pd.Series([0.5, 0.83, np.nan]),
        smallest_class=100,
        constant_loss=constant.loss,
    )
    assert collapsed.tolist() == [True, False, False]
