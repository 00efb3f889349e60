"""Which learning rates to try where networks learned at none of those that were tried."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.search.untried_rates import USUAL_RATES, other_range, other_rate, untried_rates

#: Rates are rounded to two digits.
ROUNDING = 1.06


@pytest.mark.parametrize(
    ("tried", "range_", "rate"),
    [
        # Too high, too low: the usual rates, as far as they are not near those.
        ([0.03, 0.1], (1e-4, 0.0095), 0.00097),
        ([1e-6], (1e-4, 0.01), 0.001),
        # Between the two levels of a design, and beyond its end.
        ([1e-4, 0.01], (0.00032, 0.0032), 0.001),
        ([0.0003, 0.03], (0.00095, 0.0095), 0.003),
        ([0.001, 0.1], (1e-4, 0.01), 0.00018),
        # Both sides of a single rate.
        ([0.001], (1e-4, 0.01), 0.00018),
        ([1e-4, 0.001, 0.01], None, None),
        ([0.0002, 0.001, 0.005], None, None),
    ],
)
def test_the_usual_rates_that_were_not_tried(
    tried: list[float], range_: tuple[float, float] | None, rate: float | None
) -> None:
    assert other_range(tried) == range_
    assert other_rate(tried) == rate


@given(st.lists(st.floats(1e-7, 1.0), min_size=1, max_size=8))
def test_a_proposed_rate_is_usual_and_not_near_one_that_was_tried(tried: list[float]) -> None:
    ranges = untried_rates(tried)
    proposed = [rate for ends in ranges for rate in ends]
    proposed += [] if (middle := other_rate(tried)) is None else [middle]
    for rate in proposed:
        assert USUAL_RATES[0] <= rate <= USUAL_RATES[1]
        assert min(abs(math.log(rate / own)) for own in tried) >= math.log(10) / 2 - math.log(
            ROUNDING
        )
    for (_, end), (start, _) in itertools.pairwise(ranges):
        assert end < start
    if not ranges:
        low, high = USUAL_RATES
        for step in range(101):
            rate = low * (high / low) ** (step / 100)
            nearest = min(abs(math.log(rate / own)) for own in tried)
            assert nearest <= math.log(10) / 2 + math.log(ROUNDING)
