from itertools import product

import numpy as np
import pandas as pd
import pytest

from analysis.effects.box_meyer import box_meyer, posterior
from analysis.effects.fit import fit_effects
from analysis.errors import AnalysisError
from analysis.factors import Factor

#: BsMD (CRAN), data set BM86.data: log drill advance and yield of isatin, the first and the fourth
#: example of Box and Meyer (1986). 16 runs in standard order, X1 varies fastest of X1, X2, X4, X8.
ADVANCE = [0.23, 0.30, 0.52, 0.54, 0.70, 0.76, 1.00, 0.96]
ADVANCE += [0.32, 0.39, 0.61, 0.66, 0.89, 0.97, 1.07, 1.21]
ISATIN = [0.08, 0.04, 0.53, 0.43, 0.31, 0.09, 0.12, 0.36]
ISATIN += [0.79, 0.68, 0.73, 0.08, 0.77, 0.38, 0.49, 0.23]
#: The same package, inst/doc/BsMD.tex: BsProb with p = 0.2 and gamma; none, then x1 to x15.
PRINTED_ADVANCE = [0.000, 0.240, 1.000, 0.028, 1.000, 0.025, 0.034, 0.025]
PRINTED_ADVANCE += [0.983, 0.046, 0.025, 0.037, 0.091, 0.034, 0.028, 0.030]
PRINTED_ISATIN = {
    1.22: "0.120 0.314 0.049 0.048 0.074 0.051 0.066 0.196 0.588 0.228 0.513 0.104 0.050 0.048 "
    "0.142 0.049",
    2.34: "0.316 0.159 0.027 0.026 0.048 0.028 0.042 0.099 0.374 0.113 0.304 0.061 0.027 0.026 "
    "0.076 0.026",
    3.74: "0.498 0.076 0.017 0.016 0.025 0.018 0.024 0.045 0.230 0.052 0.173 0.030 0.017 0.016 "
    "0.035 0.017",
}


def standard_order(k: int) -> np.ndarray:
    """Return the 2^k cells, the first factor varying fastest."""
    return np.array(list(product([-1, 1], repeat=k)))[:, ::-1]


def contrasts(y: list[float]) -> np.ndarray:
    """Return the 15 effects in the order of BM86.data: x1, x2, x1 x2, x4, ..., up to the sign."""
    levels = standard_order(4)
    columns = [
        np.prod([levels[:, j] for j in range(4) if number >> j & 1], axis=0)
        for number in range(1, 16)
    ]
    return np.asarray(np.array(columns) @ np.array(y) / 8)


def by_enumeration(effects: np.ndarray, alpha: float, k: float) -> np.ndarray:
    """Return the probabilities by the sum over all sets: equation (2.4) of Box and Meyer (1986)."""
    m, squares = len(effects), effects**2
    sets = np.array(list(product([0, 1], repeat=m)))
    ratio = 1 - (1 - 1 / k**2) * (sets @ squares) / squares.sum()
    weight = (alpha / (1 - alpha) / k) ** sets.sum(axis=1) * ratio ** (-m / 2)
    return np.asarray(weight @ sets / weight.sum())


def k_of(gamma: float, runs: int = 16) -> float:
    """Return Box and Meyer's k for the gamma of the package: k² = n gamma² + 1."""
    return float(np.sqrt(runs * gamma**2 + 1))


def test_the_log_drill_advance_has_the_printed_probabilities() -> None:
    probability, none = posterior(contrasts(ADVANCE), k=k_of(2.49))
    assert [none, *probability] == pytest.approx(PRINTED_ADVANCE, abs=6e-4)


@pytest.mark.parametrize("gamma", PRINTED_ISATIN)
def test_the_yield_of_isatin_has_the_printed_probabilities(gamma: float) -> None:
    printed = [float(x) for x in PRINTED_ISATIN[gamma].split()]
    probability, none = posterior(contrasts(ISATIN), k=k_of(gamma))
    assert [none, *probability] == pytest.approx(printed, abs=6e-4)


@pytest.mark.parametrize("m", [3, 7, 11])
def test_the_integral_is_the_sum_over_all_sets_of_active_effects(m: int) -> None:
    effects = np.random.default_rng(m).standard_normal(m)
    effects[0] *= 8
    for alpha, k in ((0.2, 10.0), (0.4, 5.0)):
        found, _ = posterior(effects, alpha=alpha, k=k)
        assert found == pytest.approx(by_enumeration(effects, alpha, k), abs=1e-6)


def test_an_effect_among_zeros_is_active_and_zeros_are_not() -> None:
    found = box_meyer([0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0])["probability"]
    assert found[2] > 0.999
    assert found.drop(2).max() < 0.03


def test_the_unit_of_the_response_does_not_change_a_probability() -> None:
    found = box_meyer([1.0, 2.0, -9.0, 0.5])
    pd.testing.assert_frame_equal(box_meyer([1e-8, 2e-8, -9e-8, 5e-9]), found)
    assert (found["low"] <= found["probability"]).all()
    assert (found["high"] >= found["probability"]).all()


def test_a_residual_makes_the_probabilities_surer() -> None:
    alone = box_meyer([4.0, 1.0, -1.0])["probability"][0]
    assert box_meyer([4.0, 1.0, -1.0], residual=8.0, df=8)["probability"][0] > alone


def test_no_effect_at_all_cannot_be_judged() -> None:
    with pytest.raises(AnalysisError, match="no effect differs from zero"):
        box_meyer([0.0, 0.0])


def fitted(y: list[float], replicates: int = 1, missing: int = 0) -> pd.Series | None:
    runs = pd.DataFrame(np.tile(standard_order(4), (replicates, 1)), columns=list("abcd"))
    runs["y"] = np.tile(y, replicates) + np.arange(len(runs)) % 7 * 1e-3 * (replicates > 1)
    factors = [Factor(name, -1, 1) for name in "abcd"]
    found = fit_effects(runs.iloc[missing:], factors, "y").posterior
    return None if found is None else found["probability"]


def test_an_unreplicated_design_has_a_probability_for_each_effect() -> None:
    found = fitted(ADVANCE)
    assert found is not None
    assert found[["a", "b", "c", "d", "a:b"]].round(3).to_dict() == pytest.approx(
        {"a": 0.240, "b": 1.000, "c": 1.000, "d": 0.983, "a:b": 0.028}, abs=2e-3
    )
    assert len(found) == 15


def test_replicates_and_missing_cells_have_no_probabilities() -> None:
    assert fitted(ADVANCE, replicates=2) is None
    assert fitted(ADVANCE, missing=1) is None
