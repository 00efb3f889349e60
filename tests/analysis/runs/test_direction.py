import pytest

from analysis.runs.direction import lower_is_better

LOWER = (
    "val_loss testLoss log_loss logloss RMSE val_RMSE mae error test_error errorRate 손실 검증_오차"
)
HIGHER = "accuracy val_accuracy neg_log_loss neg_mean_squared_error -loss gloss Yield r2"


@pytest.mark.parametrize("name", [*LOWER.split(), "mean absolute error", "cross-entropy"])
def test_a_loss_or_an_error_is_better_if_it_is_lower(name: str) -> None:
    assert lower_is_better(name)


@pytest.mark.parametrize("name", HIGHER.split())
def test_any_other_response_is_better_if_it_is_higher(name: str) -> None:
    assert not lower_is_better(name)
