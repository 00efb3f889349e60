from itertools import product

import numpy as np
import pandas as pd
import pytest

from analysis.effects.compare_scales import compare_scales, on_scales
from analysis.effects.fit import fit_effects
from analysis.effects.response_scale import transformed
from analysis.effects.result import Effects
from analysis.errors import DesignError
from analysis.factors import Factor

FACTORS = [Factor(name, -1, 1) for name in "AB"]


def _logistic(noise: float = 0.3) -> Effects:
    rng = np.random.default_rng(4)
    runs = pd.DataFrame(list(product((-1, 1), repeat=2)) * 10, columns=["A", "B"])
    log_odds = 2.5 + runs["A"] + 0.8 * runs["B"] + rng.normal(0, noise, len(runs))
    return fit_effects(runs.assign(y=1 / (1 + np.exp(-log_odds))), FACTORS, "y")


def test_a_share_that_is_straight_in_its_log_odds_has_a_funnel_on_its_own_scale_alone() -> None:
    table = compare_scales(on_scales(_logistic()))
    assert list(table.index) == ["raw", "logit", "log_error"]
    assert table["funnel_p"]["raw"] < 0.01
    assert table["funnel_p"]["logit"] > 0.05
    assert table["active"]["raw"] > table["active"]["logit"] == 2


def test_what_is_no_share_has_one_scale() -> None:
    runs = pd.DataFrame(list(product((-1, 1), repeat=2)) * 2, columns=["A", "B"])
    effects = fit_effects(runs.assign(y=range(8)), FACTORS, "y")
    assert [fit.transform for fit in on_scales(effects)] == ["raw"]


def test_a_share_of_one_is_taken_half_a_picture_inside() -> None:
    share = pd.Series([0.0, 0.5, 1.0], name="y")
    logit = transformed(share, "logit", images=100)
    assert logit.tolist() == pytest.approx([-np.log(201), 0, np.log(201)])
    with pytest.raises(DesignError, match="number of images"):
        transformed(share, "log_error")


def test_halving_the_error_is_worth_the_same_anywhere() -> None:
    gains = transformed(pd.Series([0.8, 0.9, 0.95]), "log_error").diff().dropna()
    assert gains.tolist() == pytest.approx([np.log(2)] * 2)
