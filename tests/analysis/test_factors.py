import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patsy import Treatment

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


BATCHES = Factor("batch_size", 16, 128, "log", (16, 128), counts=True, values=(16, 32, 64, 128))
OPTIMIZERS = Factor(
    "optimizer", "adam", "rmsprop", "categorical", values=("adam", "sgd", "rmsprop")
)


def test_every_level_of_a_list_is_one_of_its_values() -> None:
    assert BATCHES.levels == (16, 128)
    assert [BATCHES.decode(x) for x in (-1, -0.4, 0.2, 0.9, 2, -7)] == [16, 32, 64, 128, 128, 16]
    assert [BATCHES.number(x) for x in (0, 20, 1000)] == [16, 16, 128]
    assert [BATCHES.inside(x) for x in (16, 48, 64, 256)] == [True, False, True, False]


def test_three_categories_code_and_decode_to_themselves() -> None:
    assert OPTIMIZERS.levels == ("adam", "sgd", "rmsprop")
    assert [OPTIMIZERS.decode(OPTIMIZERS.code(x)) for x in OPTIMIZERS.levels] == [
        *OPTIMIZERS.levels
    ]
    for coded in (0.5, -3.0):
        with pytest.raises(FactorError, match="categorical"):
            OPTIMIZERS.decode(coded)
    with pytest.raises(FactorError, match="not one of 'adam', 'sgd', 'rmsprop'"):
        OPTIMIZERS.code("nadam")


def test_contrasts_are_treatment_contrasts_of_statsmodels_about_their_mean() -> None:
    names = ["adam", "sgd", "rmsprop", "sgd", "adam"]
    coded = np.array([OPTIMIZERS.code(name) for name in names])
    treatment = Treatment(reference=0).code_without_intercept([*OPTIMIZERS.levels]).matrix
    expected = treatment[[OPTIMIZERS.levels.index(name) for name in names]]
    found = OPTIMIZERS.contrasts(coded)
    assert OPTIMIZERS.columns == ("optimizer[sgd]", "optimizer[rmsprop]")
    assert found == pytest.approx(2 * (expected - 1 / 3))
    two = Factor("c", "a", "b", "categorical")
    assert two.contrasts(np.array([-1.0, 1.0])).tolist() == [[-1.0], [1.0]]


BAD_LISTS = {
    "not in order": ({"low": 1, "high": 3, "values": (3, 1)}, "rising order"),
    "a value twice": ({"low": 1, "high": 3, "values": (1, 1, 3)}, "rising order"),
    "a level that is not in the list": ({"low": 1, "high": 2, "values": (1, 3)}, "not one of"),
    "a value outside": ({"low": 1, "high": 3, "values": (1, 3), "domain": (2, 4)}, "outside"),
    "text": ({"low": 1, "high": 3, "values": (1, "b", 3)}, "not a number"),
    "a category twice": (
        {"low": "a", "high": "c", "scale": "categorical", "values": ("a", "a", "c")},
        "given twice",
    ),
    "a category with a colon": (
        {"low": "a", "high": "c", "scale": "categorical", "values": ("a", "b:b", "c")},
        "colon",
    ),
    "a reference that is not the first": (
        {"low": "b", "high": "c", "scale": "categorical", "values": ("a", "b", "c")},
        "three or more",
    ),
}


@pytest.mark.parametrize("fault", BAD_LISTS)
def test_a_bad_list_of_values_is_an_error_that_names_the_fault(fault: str) -> None:
    fields, message = BAD_LISTS[fault]
    with pytest.raises(FactorError, match=message):
        Factor("x", **fields)  # type: ignore[arg-type]
