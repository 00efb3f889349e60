import numpy as np
import pytest
from scipy.stats import t as student

from analysis.effects.lenth import correlated_multipliers, lenth, multipliers, simulate
from analysis.effects.lenth_table import TABLE
from analysis.errors import AnalysisError

#: DoE.base 1.2-5 (CRAN), crit.ME and crit.SME, 1,000,000 simulations; alpha 0.05.
DOE_BASE = {
    7: (2.2982529, 4.8734579),
    8: (2.2021270, 4.8629756),
    11: (2.2104603, 4.4392092),
    15: (2.1568222, 4.2309054),
    16: (2.1382611, 4.2230521),
    31: (2.0652033, 3.9237844),
    63: (2.0146512, 3.8099161),
    127: (1.9883542, 3.8076891),
}
#: Lenth (1989), page 470: t(m/3).
LENTH_1989 = {7: (3.76, 9.01), 15: (2.57, 5.22), 31: (2.22, 4.22), 63: (2.08, 3.91)}


@pytest.mark.parametrize("m", DOE_BASE)
def test_simulated_multipliers_are_those_of_doe_base(m: int) -> None:
    single, simultaneous = multipliers(m, 0.05)
    assert single == pytest.approx(DOE_BASE[m][0], rel=0.005)
    assert simultaneous == pytest.approx(DOE_BASE[m][1], rel=0.01)


def test_the_multipliers_are_those_of_a_long_simulation() -> None:
    # numpy's PCG64, seed 1: 8,000,000 sets of 7 effects and 5,000,000 of 15; alpha 0.05.
    for m, me, sme in ((7, 2.297, 4.872), (15, 2.157, 4.236)):
        single, simultaneous = multipliers(m, 0.05)
        assert single == pytest.approx(me, rel=0.005)
        assert simultaneous == pytest.approx(sme, rel=0.01)


@pytest.mark.parametrize(("m", "alpha"), [(3, 0.05), (7, 0.05), (15, 0.1), (31, 0.05)])
def test_the_table_agrees_with_a_new_simulation(m: int, alpha: float) -> None:
    single, simultaneous = simulate(m, alpha)
    assert TABLE[m, alpha][0] == pytest.approx(single, rel=0.01)
    assert TABLE[m, alpha][1] == pytest.approx(simultaneous, rel=0.02)


def test_a_simulation_outside_the_table_is_reproducible() -> None:
    simulate.cache_clear()
    first = multipliers(9, 0.2)
    simulate.cache_clear()
    assert multipliers(9, 0.2) == first
    assert multipliers(9, 0.1)[0] > first[0]


def test_uncorrelated_effects_have_the_multipliers_of_the_table() -> None:
    single, simultaneous = correlated_multipliers(np.eye(7), 0.05)
    assert single == pytest.approx(TABLE[7, 0.05][0], rel=0.01)
    assert simultaneous == pytest.approx(TABLE[7, 0.05][1], rel=0.02)


@pytest.mark.parametrize("m", LENTH_1989)
def test_the_t_approximation_is_that_of_lenths_table(m: int) -> None:
    rng = np.random.default_rng(m)
    judged = lenth(rng.normal(size=m).tolist())
    me, sme = LENTH_1989[m]
    assert judged.me_t / judged.pse == pytest.approx(me, abs=0.005)
    assert judged.sme_t / judged.pse == pytest.approx(sme, abs=0.005)


def test_an_effect_at_the_trimming_limit_is_trimmed() -> None:
    # s0 = 1.5 * 1 = 1.5, so an effect of exactly 3.75 is trimmed: the median of the rest is 1.
    assert lenth([1, 1, 1, 1, 3.75, 9, 9]).pse == pytest.approx(1.5)


def test_the_isatin_example_has_active_effects_only_with_simulated_margins() -> None:
    # The isatin yields of Davies (1954), as Lenth (1989) has them: by t(m/3) none, simulated two.
    effects = [-0.191, -0.021, -0.001, -0.076, 0.034, -0.066, 0.149, 0.274, -0.161, -0.251]
    effects += [-0.101, -0.026, -0.006, 0.124, 0.019]
    judged = lenth(effects)
    sizes = np.abs(effects)
    assert (sizes > judged.me_t).sum() == 0
    assert (sizes > judged.me).sum() == 2


def test_two_effects_are_too_few() -> None:
    with pytest.raises(AnalysisError, match="replicate"):
        lenth([1.0, 2.0])


def test_effects_of_zero_have_a_pseudo_standard_error_of_zero() -> None:
    assert lenth([0.0, 0.0, 0.0, 0.0, 1.0]).pse == 0
    assert student.ppf(0.975, 7 / 3) == pytest.approx(3.7641, abs=1e-4)
