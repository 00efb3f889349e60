import numpy as np
import pytest
from scipy.stats import t as student

from analysis.errors import AnalysisError
from analysis.mcnemar import (
    Look,
    accuracy_of_recipe,
    accuracy_with_interval,
    compare_with_constant,
    mcnemar_test,
)


def _correct(*counts: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which predictions are correct: of both, only the first, only the second, neither."""
    pairs = [(True, True), (True, False), (False, True), (False, False)]
    rows = [pair for pair, count in zip(pairs, counts, strict=True) for _ in range(count)]
    first, second = np.array(rows).T
    return first, second


def test_the_interval_is_wilsons_score_interval() -> None:
    # Brown, Cai and DasGupta's form by hand: 81 of 263, 95 %: 0.2553 to 0.3662
    # (Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3).
    share = accuracy_with_interval(np.arange(263) < 81)
    assert (round(share.low, 4), round(share.high, 4)) == (0.2553, 0.3662)
    assert share.n == 263


def test_only_images_on_which_one_network_is_correct_count() -> None:
    paired = mcnemar_test(*_correct(100, 15, 5, 30))
    # Binomial(20, 1/2): P(X <= 5) = 21700 / 2^20, twice that.
    assert paired.p == pytest.approx(2 * 21700 / 2**20)
    assert paired.challenger_is_better()


@pytest.mark.parametrize(("only", "words"), [(6, "p = 0.0312)"), (50, "p < 0.0001)")])
def test_a_p_value_below_four_digits_is_not_printed_as_zero(only: int, words: str) -> None:
    challenger = np.arange(200) < 100 + only
    assert str(mcnemar_test(challenger, np.arange(200) < 100)).endswith(words)


def test_a_significantly_worse_challenger_is_not_better() -> None:
    assert not mcnemar_test(*_correct(100, 5, 15, 30)).challenger_is_better()


def test_equal_networks_are_not_better() -> None:
    paired = mcnemar_test(*_correct(10, 0, 0, 2))
    assert paired.p == 1
    assert not paired.challenger_is_better()


def test_predictions_on_different_images_are_an_error() -> None:
    with pytest.raises(AnalysisError, match="same test images"):
        mcnemar_test(np.ones(3, dtype=bool), np.ones(4, dtype=bool))


def test_no_images_are_an_error() -> None:
    with pytest.raises(AnalysisError, match="at least one image"):
        accuracy_with_interval(np.zeros(0, dtype=bool))


def test_a_network_beats_the_constant_answer_only_by_an_exact_test() -> None:
    labels = np.repeat([0, 1, 2], [40, 30, 30])
    # Right on ten of the images of the largest class, and on 14 others: seen as a champion before.
    few = compare_with_constant(np.isin(np.arange(100), [*range(10), *range(40, 54)]), labels)
    assert (few.right, few.constant_right) == (24, 40)
    assert (few.only_network, few.only_constant) == (14, 30)
    assert not few.network_is_better
    # One-sided: P(Binomial(5, 1/2) >= 5) = 1/32, and of four of four 1/16.
    hair = compare_with_constant(np.arange(100) < 44, labels)
    assert hair.p == pytest.approx(1 / 16)
    assert not hair.network_is_better
    shown = compare_with_constant(np.arange(100) < 45, labels)
    assert shown.p == pytest.approx(1 / 32)
    assert shown.network_is_better
    assert not compare_with_constant(np.arange(100) < 45, labels, alpha=0.01).network_is_better


def test_the_constant_answer_itself_and_each_of_several_largest_classes_is_not_beaten() -> None:
    labels = np.repeat([0, 1], [20, 20])
    constant = compare_with_constant(labels == 0, labels)
    assert constant.p == 1
    assert not constant.network_is_better
    # Always right on one class and five times on the other: which class that is does not matter.
    for first in (0, 1):
        right = (labels == first) | (np.arange(40) % 20 < 5)
        found = compare_with_constant(right, labels)
        assert (found.only_network, found.only_constant) == (20, 15)
        assert not found.network_is_better
    assert compare_with_constant(np.ones(40, dtype=bool), labels).network_is_better
    with pytest.raises(AnalysisError):
        compare_with_constant(np.zeros(0, dtype=bool), np.zeros(0, dtype=int))


def test_all_looks_together_have_alpha_however_many_they_are() -> None:
    # One side of each two-sided level is for a better challenger.
    one_sided = [Look(number, 0.05).level / 2 for number in range(1, 1001)]
    assert one_sided[:3] == pytest.approx([0.025, 0.05 / 6, 0.05 / 12])
    assert sum(one_sided) == pytest.approx(0.05 * Look(1000, 0.05).spent)
    assert [Look(number, 0.05).used_up for number in (8, 9)] == [False, True]


def test_the_interval_of_a_recipe_adds_the_variance_of_seeds_to_that_of_images() -> None:
    right = np.arange(100) < np.array([[80], [90]])
    found = accuracy_of_recipe(right, spread=0.05, df=4)
    # Mean answers: 80 images 1, 10 images 1/2, 10 images 0; mean 0.85.
    images = (80 * 0.15**2 + 10 * 0.35**2 + 10 * 0.85**2) / 99 / 100
    variance = images + 0.05**2 / 2
    df = variance**2 / ((0.05**2 / 2) ** 2 / 4)
    half = student.ppf(0.975, df) * variance**0.5
    assert (found.value, found.trainings, found.n) == (0.85, 2, 100)
    assert (found.low, found.high) == pytest.approx((0.85 - half, 0.85 + half))
    assert accuracy_of_recipe(right, spread=0.0, df=4).high == pytest.approx(
        0.85 + 1.96 * images**0.5, abs=1e-4
    )
    # The seeds may be lucky ones: the lower end alone is lower.
    lucky = accuracy_of_recipe(right, spread=0.05, df=4, optimism=0.02)
    assert (lucky.low, lucky.high) == pytest.approx((0.85 - half - 0.02, 0.85 + half))
    with pytest.raises(AnalysisError, match="train more seeds"):
        accuracy_of_recipe(right, spread=0.05, df=0)
