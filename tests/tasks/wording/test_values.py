import math

import pytest

from tasks.wording.values import MISSING, fixed, signed


@pytest.mark.parametrize(
    ("x", "expected", "with_sign"),
    [
        (0.01234, "0.0123", "+0.0123"),
        (-0.01234, "\N{MINUS SIGN}0.0123", "\N{MINUS SIGN}0.0123"),
        # There is no negative zero.
        (-0.00004, "0.0000", "+0.0000"),
        (0.00004, "0.0000", "+0.0000"),
        (math.nan, MISSING, MISSING),
    ],
)
def test_numbers_with_four_decimals(x: float, expected: str, with_sign: str) -> None:
    assert (fixed(x), signed(x)) == (expected, with_sign)
