import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import FactorError
from analysis.factors import Factor

NUMBERS = st.floats(1e-6, 1e6)


@settings(deadline=None)
@given(NUMBERS, NUMBERS, st.sampled_from(["linear", "log"]), st.floats(-3, 3))
def test_coding_inverts_decoding(a: float, b: float, scale: str, coded: float) -> None:
    low, high = sorted((a, b))
    high = max(high, low * 1.01)
    factor = Factor("x", low, high, scale)  # type: ignore[arg-type]
    level = factor.decode(coded)
    if scale == "log" and level == 0:
        return
    assert factor.code(level) == pytest.approx(coded, abs=1e-6 + 1e-9 * high / (high - low))


@settings(deadline=None)
@given(st.integers(0, 50), st.integers(1, 50), st.floats(-1, 1))
def test_an_integer_level_is_rounded_and_coded_as_rounded(
    low: int, width: int, coded: float
) -> None:
    factor = Factor("n", low, low + width, "integer")
    level = factor.decode(coded)
    assert isinstance(level, int)
    assert abs(factor.code(level) - coded) <= 1 / width + 1e-9


def test_levels_code_to_exactly_minus_and_plus_one() -> None:
    for factor in (Factor("lr", 0.001, 0.1, "log"), Factor("c", "adam", "sgd", "categorical")):
        assert [factor.code(level) for level in factor.levels] == [-1.0, 1.0]
        assert (factor.decode(-1), factor.decode(1)) == factor.levels


def test_the_middle_of_a_log_scale_is_the_geometric_mean() -> None:
    assert Factor("lr", 0.001, 0.1, "log").decode(0) == 0.01


BAD = {
    "levels in the wrong order": ({"low": 2, "high": 1}, "swap them"),
    "a log scale from zero": ({"low": 0, "high": 1, "scale": "log"}, "above 0"),
    "an integer factor at 2.5": ({"low": 1, "high": 2.5, "scale": "integer"}, "whole number"),
    "a level outside its domain": ({"low": 1, "high": 3, "domain": (2, 4)}, "outside 2 to 4"),
    "an empty domain": ({"low": 1, "high": 3, "domain": (4, 2)}, "swap its ends"),
    "equal categories": ({"low": "a", "high": "a", "scale": "categorical"}, "give two"),
    "text on a scale": ({"low": "a", "high": "b"}, "categorical"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_factor_is_an_error_that_names_the_remedy(fault: str) -> None:
    fields, words = BAD[fault]
    with pytest.raises(FactorError, match=words):
        Factor("x", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "a:b", "intercept"])
def test_a_reserved_name_is_an_error(name: str) -> None:
    with pytest.raises(FactorError, match="rename"):
        Factor(name, 0, 1)


def test_a_categorical_factor_has_no_middle() -> None:
    factor = Factor("optimizer", "adam", "sgd", "categorical")
    with pytest.raises(FactorError, match="no level at coded 0"):
        factor.decode(0)
    with pytest.raises(FactorError, match="neither 'adam' nor 'sgd'"):
        factor.code("rmsprop")
