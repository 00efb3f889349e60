"""The split by content."""

from hypothesis import given
from hypothesis import strategies as st

from models.images.split import SIDES, assign_side, content_digest


@given(st.binary(max_size=50), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_larger_share_never_moves_a_picture_to_a_later_side(
    data: bytes, training: float, more: float
) -> None:
    digest = content_digest(data)
    assert assign_side(digest, training + more, 0.1) <= assign_side(digest, training, 0.1)


def test_the_first_digits_of_the_digest_decide_the_side() -> None:
    sides = [SIDES[assign_side(digit * 64, 0.7, 0.15)] for digit in ("0", "a", "b", "c", "d", "f")]
    assert sides == ["training", "training", "validation", "validation", "test", "test"]
