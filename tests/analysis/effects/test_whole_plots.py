"""Effects with a random effect of whole plots: against printed numbers, statsmodels, simulation."""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from process_improve.experiments.reference_catalogue import reference_experiments

from analysis.designs.factorial import full_factorial
from analysis.effects.fit import fit_effects
from analysis.effects.least_squares import table_value
from analysis.effects.whole_plots import WholePlots, fit_whole_plots, whole_plot_effects
from analysis.errors import DesignError
from analysis.factors import Factor

FACTORS = [Factor(name, 0.0, 1.0) for name in ("hard", "easy", "other")]
#: Goos and Jones (2011), Optimal Design of Experiments, chapter 10: the efficiency of a race car in
#: a wind tunnel, with JMP's standard errors and Kenward-Roger degrees of freedom.
CODED = {"frh": (3, 4), "rrh": (34, 36), "yaw": (-3, 1), "grille": (0, 100)}
INTERACTIONS = ("frh:yaw", "frh:grille", "rrh:grille")
PRINTED = {
    "intercept": (0.9160, 0.0068, 6.99, 135.38),
    "frh": (-0.0607, 0.0087, 6.99, -6.94),
    "rrh": (0.0524, 0.0087, 6.99, 5.99),
    "yaw": (-0.0246, 0.0028, 35.07, -8.82),
    "grille": (0.0743, 0.0028, 35.18, 26.85),
    "frh:yaw": (0.0102, 0.0033, 35.03, 3.08),
    "frh:grille": (-0.0107, 0.0033, 35.07, -3.29),
    "rrh:grille": (0.0078, 0.0033, 35.08, 2.39),
}
PRINTED_P = {"frh": 0.0002, "rrh": 0.0005, "frh:yaw": 0.0040, "frh:grille": 0.0023}


def _wind_tunnel() -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    (found,) = (
        experiment
        for experiment in reference_experiments("goos-jones-2011")
        if experiment["name"] == "goos-jones-wind-tunnel"
    )
    runs = pd.DataFrame(found["runs"]["rows"], columns=found["runs"]["columns"])
    matrix = pd.DataFrame({"intercept": 1.0}, index=runs.index)
    for name, (low, high) in CODED.items():
        matrix[name] = (runs[name] - (low + high) / 2) / ((high - low) / 2)
    for term in INTERACTIONS:
        first, second = term.split(":")
        matrix[term] = matrix[first] * matrix[second]
    return matrix, runs["efficiency"], runs["setting"]


def _value(found: WholePlots, term: str, column: str) -> float:
    return table_value(found.terms, term, column)


def _experiment(
    plots: int, between: float, rng: np.random.Generator, effect: float = 0.0
) -> pd.DataFrame:
    """Return a split-plot experiment: one factor is set once for each whole plot."""
    cells = full_factorial(FACTORS[1:]).cells[["easy", "other"]]
    parts = []
    for plot in range(plots):
        hard = float(plot % 2)
        level = effect * hard + between * rng.standard_normal()
        y = level + 0.3 * cells["easy"] + 0.1 * rng.standard_normal(len(cells))
        parts.append(cells.assign(hard=hard, machine=f"m{plot}", y=y))
    return pd.concat(parts, ignore_index=True)


def test_a_published_split_plot_experiment_has_the_printed_numbers() -> None:
    matrix, y, setting = _wind_tunnel()
    found = fit_whole_plots(matrix, y.tolist(), setting.tolist(), "setting")
    assert (found.plots, found.runs) == (10, 50)
    for term, (coefficient, error, df, t) in PRINTED.items():
        assert _value(found, term, "coefficient") == pytest.approx(coefficient, abs=0.00006)
        assert _value(found, term, "std_error") == pytest.approx(error, abs=0.00006)
        assert _value(found, term, "df") == pytest.approx(df, abs=0.011)
        assert _value(found, term, "t") == pytest.approx(t, rel=0.002)
    for term, p in PRINTED_P.items():
        assert _value(found, term, "p") == pytest.approx(p, abs=0.00006)


def test_statsmodels_finds_the_same_variances() -> None:
    matrix, y, setting = _wind_tunnel()
    found = fit_whole_plots(matrix, y.tolist(), setting.tolist(), "setting")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = sm.MixedLM(y, matrix, groups=setting).fit(reml=True)
    assert found.within**2 == pytest.approx(other.scale, rel=1e-3)
    assert found.between**2 == pytest.approx(float(other.cov_re.iloc[0, 0]), rel=1e-3)
    errors = other.bse_fe.to_numpy()
    assert found.terms["std_error"].to_numpy() == pytest.approx(errors, rel=1e-3)


def test_an_effect_that_changes_between_machines_is_not_called_real_too_often() -> None:
    """As independent runs, a factor without effect would be found in half of the experiments."""
    rng = np.random.default_rng(5)
    trials, alarms, naive = 60, 0, 0
    for _ in range(trials):
        runs = _experiment(8, 0.2, rng)
        matrix = pd.DataFrame({f.name: 2 * runs[f.name] - 1 for f in FACTORS})
        matrix.insert(0, "intercept", 1.0)
        naive += sm.OLS(runs["y"], matrix).fit().pvalues["hard"] < 0.05
        found = fit_whole_plots(matrix, runs["y"].tolist(), runs["machine"].tolist(), "machine")
        alarms += _value(found, "hard", "p") < 0.05
        assert _value(found, "easy", "p") < 0.05
    assert naive / trials > 0.25
    assert alarms / trials == pytest.approx(0.05, abs=0.085)


def test_without_variation_between_plots_it_is_least_squares() -> None:
    runs = _experiment(4, 0.0, np.random.default_rng(2))
    runs["y"] -= runs.groupby("machine")["y"].transform("mean") - 0.2 * runs["hard"]
    effects = fit_effects(runs, FACTORS, "y", order=1, equal_spread=True)
    found = whole_plot_effects(effects, "machine")
    assert found.between == 0
    errors = effects.terms["std_error"].to_numpy()
    assert found.terms["std_error"].to_numpy() == pytest.approx(errors)
    assert found.terms["df"].tolist() == [effects.residual_df] * len(found.terms)


@pytest.mark.parametrize(
    ("machines", "said"),
    [
        (["m"] * 16, "machine: all runs have one value"),
        ([f"m{i}" for i in range(16)], "machine: each run has its own value"),
        (["a"] * 8 + ["b"] * 8, "no degree of freedom between the 2 whole plots"),
    ],
)
def test_whole_plots_that_show_nothing_are_one_line(machines: list[str], said: str) -> None:
    cells = full_factorial(FACTORS, replicates=2).cells[["hard", "easy", "other"]]
    runs = cells.sort_values("hard", kind="stable", ignore_index=True).assign(machine=machines)
    runs["y"] = np.random.default_rng(1).normal(size=16)
    effects = fit_effects(runs, FACTORS, "y", order=1)
    with pytest.raises(DesignError, match=said):
        whole_plot_effects(effects, "machine")
