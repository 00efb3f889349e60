from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.designs.factorial import plackett_burman
from analysis.effects.fit import fit_effects
from analysis.effects.least_squares import table_value
from analysis.effects.result import Effects
from analysis.errors import DesignError, FactorError, NotEstimableError
from analysis.factors import Factor

PAPER_FACTORS = (
    Factor("conv", 3, 6, "integer", (1, 16)),
    Factor("fc", 1, 3, "integer", (1, 16)),
    Factor("lr", 0.001, 0.1, "log"),
)
#: Recomputed from table 2 of the published study; order conv, fc, lr, the last fastest.
PAPER_ACCURACY = (0.80875, 0.58205, 0.79965, 0.50155, 0.88805, 0.66115, 0.90795, 0.50125)


def paper() -> pd.DataFrame:
    rows = list(product(*(f.levels for f in PAPER_FACTORS)))
    return pd.DataFrame(rows, columns=["conv", "fc", "lr"]).assign(accuracy=PAPER_ACCURACY)


def whole(k: int, replicates: int = 1) -> tuple[pd.DataFrame, list[Factor]]:
    """Return the runs of a full design on coded levels, the first factor fastest."""
    names = "ABCDEFG"[:k]
    rows = [corner[::-1] for corner in product((-1, 1), repeat=k)] * replicates
    return pd.DataFrame(rows, columns=list(names)), [Factor(name, -1, 1) for name in names]


def cautions(effects: Effects) -> dict[str, Any]:
    """Return the details of each caution by its kind."""
    return {caution.kind: dict(caution.details) for caution in effects.warnings}


def test_the_papers_table_2() -> None:
    effects = fit_effects(paper(), PAPER_FACTORS, "accuracy")
    printed = {  # coefficient, t, p; standard error 0.014 throughout
        "intercept": (0.7063, 52.122, 0.012),
        "conv": (0.0333, 2.461, 0.246),
        "fc": (-0.0287, -2.122, 0.280),
        "lr": (-0.1448, -10.690, 0.059),
        "conv:fc": (-0.0063, -0.461, 0.725),
        "conv:lr": (-0.0136, -1.000, 0.500),
        "fc:lr": (-0.0314, -2.321, 0.259),
    }
    assert list(effects.terms.index) == list(printed)
    for term, (coefficient, t, p) in printed.items():
        row = effects.terms.loc[term]
        assert row["coefficient"] == pytest.approx(coefficient, abs=5e-5)
        assert row["std_error"] == pytest.approx(0.014, abs=5e-4)
        # The accuracies are known to five digits: t and p follow to about 0.005.
        assert row["t"] == pytest.approx(t, abs=0.006)
        assert row["p"] == pytest.approx(p, abs=0.003)
    assert effects.residual_df == 1
    assert effects.r_squared == pytest.approx(0.9924, abs=5e-5)


def test_one_error_degree_of_freedom_is_judged_by_lenths_method_and_the_reason_is_given() -> None:
    effects = fit_effects(paper(), PAPER_FACTORS, "accuracy")
    assert effects.verdict.test == "lenth"
    assert effects.active == ("lr",)
    assert effects.lenth is not None
    # By hand: the median of the six sizes left after trimming is 0.0423, times 1.5.
    assert effects.lenth.pse == pytest.approx(0.06345, abs=1e-5)
    assert effects.lenth.me == pytest.approx(2.2968 * 0.06345, rel=0.005)
    assert effects.verdict.error_df == 1
    assert effects.verdict.t_limit == pytest.approx(12.7, abs=0.01)
    assert effects.verdict.lenth == effects.lenth


#: Montgomery (2013), example 6.2, table 6.10: filtration rate, standard order.
FILTRATION = [45, 71, 48, 65, 68, 60, 80, 65, 43, 100, 45, 104, 75, 86, 70, 96]


def test_the_effects_of_the_filtration_rate_are_those_that_montgomery_prints() -> None:
    runs, factors = whole(4)
    effects = fit_effects(runs.assign(y=FILTRATION), factors, "y", order=4)
    printed = {"A": 21.625, "C": 9.875, "D": 14.625, "A:C": -18.125, "A:D": 16.625}
    for term, effect in printed.items():
        assert table_value(effects.terms, term, "effect") == pytest.approx(effect)
    assert table_value(effects.terms, "A", "sum_of_squares") == pytest.approx(1870.56, abs=0.005)
    assert effects.lenth is not None
    assert effects.lenth.pse == pytest.approx(2.625)
    assert (round(effects.lenth.me_t, 2), round(effects.lenth.sme_t, 1)) == (6.75, 13.7)
    assert set(effects.active) == set(printed)
    assert np.isnan(table_value(effects.terms, "A", "std_error"))


def test_centre_points_estimate_curvature_and_pure_error() -> None:
    # Example 6.7, table 6.24: the same with four centre runs.
    runs, factors = whole(4)
    centre = pd.DataFrame([[0] * 4] * 4, columns=runs.columns)
    table = pd.concat([runs, centre], ignore_index=True).assign(y=[*FILTRATION, 73, 75, 66, 69])
    effects = fit_effects(table, factors, "y", order=4)
    assert effects.anova.loc["pure error"].to_dict() == pytest.approx(
        {"sum_of_squares": 48.75, "df": 3, "mean_square": 16.25, "f": np.nan, "p": np.nan},
        nan_ok=True,
    )
    assert table_value(effects.anova, "curvature", "sum_of_squares") == pytest.approx(
        1.51, abs=0.005
    )
    assert table_value(effects.anova, "curvature", "p") == pytest.approx(0.7802, abs=5e-5)
    assert table_value(effects.terms, "A", "p") == pytest.approx(0.0017, abs=5e-5)
    assert effects.verdict.test == "pooled"


def test_replicates_give_the_standard_error_of_an_effect() -> None:
    # Box, Hunter and Hunter (1978), section 10.6: runs twice over, standard error of an effect 1.4.
    y = [59, 74, 50, 69, 50, 81, 46, 79, 61, 70, 58, 67, 54, 85, 44, 81]
    runs, factors = whole(3, replicates=2)
    effects = fit_effects(runs.assign(y=y), factors, "y")
    assert effects.residual_df == 8
    assert 2 * table_value(effects.terms, "A", "std_error") == pytest.approx(1.4, abs=0.05)
    assert table_value(effects.terms, "A:C", "effect") == pytest.approx(10.0)
    assert set(effects.active) == {"A", "B", "A:C"}


def test_blocks_take_their_degrees_of_freedom_from_the_error() -> None:
    # Montgomery (2013), example 7.1, table 7.2.
    runs, factors = whole(2, replicates=3)
    table = runs.assign(
        seed=np.repeat([1, 2, 3], 4), y=[28, 36, 18, 31, 25, 32, 19, 30, 27, 32, 23, 29]
    )
    effects = fit_effects(table, factors, "y", block="seed", equal_spread=True)
    assert table_value(effects.anova, "blocks", "sum_of_squares") == pytest.approx(6.5)
    assert effects.residual_df == 6
    assert table_value(effects.terms, "A", "p") == pytest.approx(0.0004, abs=5e-5)
    assert table_value(effects.terms, "intercept", "coefficient") == pytest.approx(
        table["y"].mean()
    )


def test_another_package_finds_the_same_coefficients_in_an_irregular_fraction() -> None:
    from process_improve.experiments.models import lm
    from process_improve.experiments.structures import Column, Expt

    runs, factors = whole(4)
    table = runs.assign(y=FILTRATION).iloc[[0, 3, 5, 6, 9, 10, 12, 15, 1, 2]]
    ours = fit_effects(table, factors, "y", terms=["A", "B", "C", "D"])
    theirs = lm("y ~ A + B + C + D", Expt({name: Column(table[name]) for name in [*"ABCD", "y"]}))
    for name in "ABCD":
        assert table_value(ours.terms, name, "coefficient") == pytest.approx(
            float(theirs.get_parameters()[name])
        )


@given(
    seed=st.integers(0, 10_000),
    k=st.integers(2, 4),
    shift=st.floats(-10, 10),
    size=st.floats(0.1, 10),
)
@settings(max_examples=20, deadline=None)
def test_effects_scale_with_the_response_and_ignore_its_origin_and_the_order_of_runs(
    seed: int, k: int, shift: float, size: float
) -> None:
    rng = np.random.default_rng(seed)
    runs, factors = whole(k)
    y = rng.normal(size=len(runs))
    base = fit_effects(runs.assign(y=y), factors, "y", order=k).terms["effect"]
    moved = runs.assign(y=shift + size * y).sample(frac=1, random_state=seed)
    found = fit_effects(moved, factors, "y", order=k).terms["effect"]
    np.testing.assert_allclose(found, size * base, rtol=1e-7, atol=1e-9)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_swapping_the_levels_of_a_factor_changes_only_the_signs_of_its_terms(seed: int) -> None:
    rng = np.random.default_rng(seed)
    runs, factors = whole(3)
    table = runs.assign(y=rng.normal(size=8))
    base = fit_effects(table, factors, "y", order=3).terms["effect"]
    turned = fit_effects(table.assign(A=-table["A"]), factors, "y", order=3).terms["effect"]
    sign = [-1.0 if "A" in str(name) else 1.0 for name in base.index]
    np.testing.assert_allclose(turned, base * sign, atol=1e-12)


def test_a_missing_cell_is_named_and_the_other_terms_are_estimated() -> None:
    table = paper()
    table.loc[7, "accuracy"] = np.nan
    effects = fit_effects(table, PAPER_FACTORS, "accuracy")
    assert "conv:lr" in effects.terms.index
    assert [lost.term for lost in effects.aliased] == ["conv:fc:lr"]
    warned = cautions(effects)
    assert warned["missing_cells"]["cells"] == ({"conv": 6, "fc": 3, "lr": 0.1},)
    assert [lost.term for lost in warned["aliased_terms"]["terms"]] == ["conv:fc:lr"]
    assert effects.verdict.test == "lenth"


def test_a_missing_cell_does_not_bias_the_terms_of_the_model() -> None:
    runs, factors = whole(3)
    table = runs.assign(y=5 + 2 * runs["A"] - runs["B"] * runs["C"]).drop(index=2)
    effects = fit_effects(table, factors, "y", order=2)
    assert table_value(effects.terms, "A", "coefficient") == pytest.approx(2)
    assert table_value(effects.terms, "B:C", "coefficient") == pytest.approx(-1)
    assert table_value(effects.terms, "C", "coefficient") == pytest.approx(0, abs=1e-12)


def test_a_centre_point_of_an_integer_factor_counts_at_its_rounded_level() -> None:
    # conv 3 to 6: the middle is run at 4, coded -1/3. A straight line has no curvature there.
    rows = [(3, 0.0), (6, 0.0), (3, 1.0), (6, 1.0), (4, 0.5), (4, 0.5)]
    table = pd.DataFrame(rows, columns=["conv", "x"])
    table["y"] = 2 * table["conv"] + table["x"] + [0, 0, 0, 0, 0.1, -0.1]
    factors = [Factor("conv", 3, 6, "integer"), Factor("x", 0.0, 1.0)]
    effects = fit_effects(table, factors, "y")
    assert table_value(effects.anova, "curvature", "sum_of_squares") == pytest.approx(0, abs=1e-9)
    assert table_value(effects.terms, "conv", "effect") == pytest.approx(6)


def test_collapsed_runs_are_named_and_the_runs_that_learned_are_analyzed_too() -> None:
    table = paper()
    table["collapsed"] = table["lr"] == 0.1
    effects = fit_effects(table, PAPER_FACTORS, "accuracy")
    assert effects.collapse is not None
    assert (effects.collapse.strongest, effects.collapse.working_level) == ("lr", 0.001)
    assert effects.collapse.collapsed_level == 0.1
    inner = effects.collapse.learned
    assert inner is not None
    assert table_value(inner.terms, "conv", "effect") == pytest.approx(0.0938, abs=5e-5)
    assert effects.overall_active == ("lr", *inner.active)
    warned = cautions(effects)["collapsed_runs"]
    assert (warned["collapsed"], warned["runs"]) == (4, 8)
    assert warned["at"] == {"lr": 0.001}


def test_a_level_that_may_collapse_by_chance_does_not_make_its_factor_active() -> None:
    # Three runs of four collapse: both factors have a level that always does.
    table = pd.DataFrame({"a": [1, 2, 1, 2], "b": [0.0, 0.0, 1.0, 1.0], "y": [0.9, 0.5, 0.5, 0.5]})
    table["collapsed"] = [False, True, True, True]
    effects = fit_effects(table, [Factor("a", 1, 2, "integer"), Factor("b", 0.0, 1.0)], "y")
    assert effects.overall_active == ()


def test_the_factor_that_explains_the_collapses_best_has_the_working_level() -> None:
    table = paper()
    dead = table["lr"] == 0.1
    table["collapsed"] = dead | ((table["conv"] == 6) & (table["fc"] == 3))
    effects = fit_effects(table, PAPER_FACTORS, "accuracy")
    assert effects.collapse is not None
    assert effects.collapse.strongest == "lr"
    # 4 of 4 against 1 of 4: C(4,4) C(4,1) / C(8,5) = 1/14, and as much in the other tail.
    assert effects.collapse.p["lr"] == pytest.approx(1 / 7)
    assert "lr" not in effects.overall_active


def test_too_few_runs_that_learned_do_not_stop_the_analysis() -> None:
    table = paper()
    table["collapsed"] = [True] * 7 + [False]
    effects = fit_effects(table, PAPER_FACTORS, "accuracy")
    assert effects.collapse is not None
    assert effects.collapse.learned is None
    assert effects.overall_active == ()


def _partly_collapsed() -> pd.DataFrame:
    """Return the published table with three collapsed runs, which no single level has."""
    table = paper()
    table["collapsed"] = (table["lr"] == 0.1) & ~((table["conv"] == 6) & (table["fc"] == 1))
    return table


def test_where_some_runs_collapsed_only_the_others_and_the_chance_of_it_are_tested() -> None:
    table = _partly_collapsed()
    effects = fit_effects(table, PAPER_FACTORS, "accuracy")
    assert effects.verdict.test == "none"
    assert effects.verdict.collapsed == 3
    assert effects.active == ()
    assert table_value(effects.terms, "lr", "effect") == pytest.approx(-0.2896, abs=5e-5)
    found = effects.collapse
    assert found is not None
    assert found.learned is not None
    assert (found.strongest, found.working_level) == ("lr", None)
    counts = found.levels.set_index(["factor", "level"])
    assert counts.loc[("lr", 0.1), "collapsed"] == 3
    assert counts.loc[("lr", 0.001), "collapsed"] == 0
    # 3 of 4 against none of 4: C(4,3) / C(8,3) = 1/14, and as much in the other tail.
    assert found.p["lr"] == pytest.approx(1 / 7)
    # None of 4: 1 - 0.025 ** (1 / 4).
    assert counts.loc[("lr", 0.001), "high"] == pytest.approx(1 - 0.025**0.25)
    alone = fit_effects(table[~table["collapsed"]], PAPER_FACTORS, "accuracy")
    pd.testing.assert_series_equal(found.learned.terms["effect"], alone.terms["effect"])
    assert found.learned.verdict.test == "lenth"
    assert "missing_cells" not in cautions(found.learned)
    assert cautions(effects)["collapsed_runs"]["at"] == {}
    assert effects.overall_active == found.learned.active


def test_the_chance_of_collapse_makes_a_factor_active_by_the_exact_test() -> None:
    runs, factors = whole(3, replicates=2)
    rng = np.random.default_rng(1)
    dead = (runs["C"] == 1) & ~((runs["A"] == 1) & (runs["B"] == 1))
    table = runs.assign(y=np.where(dead, 0.5, 0.8) + rng.normal(0, 0.01, 16), collapsed=dead)
    effects = fit_effects(table, factors, "y")
    assert effects.collapse is not None
    assert effects.collapse.active == ("C",)
    assert effects.overall_active[0] == "C"


def test_if_all_runs_collapsed_no_effect_is_tested() -> None:
    effects = fit_effects(paper().assign(collapsed=True), PAPER_FACTORS, "accuracy")
    assert effects.verdict.test == "none"
    assert effects.collapse is None
    assert cautions(effects)["all_collapsed"] == {"runs": 8}


def test_a_category_has_the_chance_of_collapse_at_each_value() -> None:
    factor = Factor(
        "optimizer", "adam", "rmsprop", "categorical", values=("adam", "sgd", "rmsprop")
    )
    rows = [("adam", x) for x in (0.8, 0.81, 0.79)] + [("sgd", 0.5)] * 3
    rows += [("rmsprop", x) for x in (0.8, 0.78, 0.79)]
    table = pd.DataFrame(rows, columns=["optimizer", "y"])
    effects = fit_effects(table.assign(collapsed=table["y"] == 0.5), [factor], "y")
    assert effects.collapse is not None
    assert effects.collapse.levels["collapsed"].tolist() == [0, 3, 0]
    # One value against the others: 3 of 3 against 0 of 6 has p = 1/84; three values.
    assert effects.collapse.p["optimizer"] == pytest.approx(3 / 84)


def _with(**changes: Any) -> pd.DataFrame:
    return paper().assign(**changes)


BAD: dict[str, tuple[pd.DataFrame, dict[str, Any], type[Exception], str]] = {
    "a constant response": (_with(accuracy=0.5), {}, DesignError, "never changes"),
    "one run": (paper().iloc[:1], {}, DesignError, "1 run whose"),
    "one cell": (
        paper().iloc[[0, 0]].assign(accuracy=[0.1, 0.2]),
        {},
        NotEstimableError,
        "run the other cells",
    ),
    "text instead of a number": (
        _with(accuracy=["0.5", "much", *["0.6"] * 6]),
        {},
        DesignError,
        "row 2: 'much' is not a number",
    ),
    "a third level": (_with(lr=[0.001, 0.1, 0.01, 0.1] * 2), {}, DesignError, "lr: level 0.01"),
    "a level off the scale": (_with(lr=-1.0), {}, FactorError, "lr"),
    "a missing column": (paper().drop(columns="fc"), {}, DesignError, "no column 'fc'"),
    "an unknown factor in a term": (paper(), {"terms": ["conv:depth"]}, DesignError, "'depth'"),
    "a factor twice in a term": (paper(), {"terms": ["conv:conv"]}, DesignError, "twice"),
    "order 0": (paper(), {"order": 0}, DesignError, "order 0"),
    "a share above 1": (_with(accuracy=range(8)), {"transform": "logit"}, DesignError, "raw"),
    "a share of 1": (
        _with(accuracy=[1.0, *[0.5] * 7]),
        {"transform": "logit"},
        DesignError,
        "number of images",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_table_is_an_error_of_one_line_that_names_the_remedy(fault: str) -> None:
    table, options, error, words = BAD[fault]
    with pytest.raises(error, match=words) as caught:
        fit_effects(table, PAPER_FACTORS, "accuracy", **options)
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value) or ":" in str(caught.value)


def test_a_requested_term_that_is_aliased_is_an_error_that_names_its_alias() -> None:
    runs, factors = whole(3)
    half = runs[runs.prod(axis=1) == 1].assign(y=[1.0, 2.0, 4.0, 8.0])
    with pytest.raises(NotEstimableError, match="B:C = A"):
        fit_effects(half, factors, "y", terms=["A", "B:C"])


def test_an_aliased_term_within_the_order_is_a_warning() -> None:
    runs, factors = whole(3)
    half = runs[runs.prod(axis=1) == 1].assign(y=[1.0, 2.0, 4.0, 8.0])
    effects = fit_effects(half, factors, "y", order=2)
    (lost,) = (x for x in cautions(effects)["aliased_terms"]["terms"] if x.term == "B:C")
    assert lost.aliased_with == pytest.approx({"A": 1})


def test_an_unbalanced_table_is_fitted_with_a_warning() -> None:
    table = pd.concat([paper(), paper().iloc[:3].assign(accuracy=[0.81, 0.59, 0.8])])
    effects = fit_effects(table, PAPER_FACTORS, "accuracy")
    assert cautions(effects)["unbalanced"] == {"fewest": 1, "most": 2}
    assert effects.residual_df == 3


def test_a_copied_run_is_a_warning() -> None:
    effects = fit_effects(pd.concat([paper(), paper()]), PAPER_FACTORS, "accuracy")
    assert cautions(effects)["repeated_rows"] == {"repeated": 8}
    assert "exact_fit" in cautions(effects)
    assert effects.verdict.test == "lenth"


def test_the_verdict_says_where_the_degrees_of_freedom_of_the_error_come_from() -> None:
    rng = np.random.default_rng(3)
    runs, factors = whole(3, replicates=2)
    table = runs.assign(y=rng.normal(size=16))
    effects = fit_effects(table, factors, "y", order=1, equal_spread=True)
    assert effects.verdict.test == "pooled"
    assert (effects.verdict.error_df, effects.verdict.pure_df) == (12, 8)


def test_factors_can_have_names_that_no_formula_could_parse() -> None:
    table = paper().rename(columns={"conv": "C", "fc": "a b", "lr": "I(1)"})
    factors = [
        Factor(name, f.low, f.high, f.scale)
        for name, f in zip(("C", "a b", "I(1)"), PAPER_FACTORS, strict=True)
    ]
    assert "C:a b" in fit_effects(table, factors, "accuracy").terms.index


def test_a_transform_changes_the_response_that_is_fitted() -> None:
    raw: Effects = fit_effects(paper(), PAPER_FACTORS, "accuracy")
    logit = fit_effects(paper(), PAPER_FACTORS, "accuracy", transform="logit")
    first = table_value(logit.terms, "intercept", "coefficient")
    mean = np.mean(np.log(paper()["accuracy"] / (1 - paper()["accuracy"])))
    assert first == pytest.approx(mean)
    assert raw.response_label == "accuracy"
    assert logit.response_label == "logit accuracy"


@pytest.mark.parametrize(("k", "test"), [(5, "pooled"), (9, "lenth"), (11, "lenth")])
def test_in_a_plackett_burman_design_only_main_effects_are_judged(k: int, test: str) -> None:
    factors = [Factor(f"x{i}", -1, 1) for i in range(k)]
    runs = plackett_burman(factors, runs=12, seed=1).cells
    rng = np.random.default_rng(k)
    y = 5 * runs["x0"] + rng.normal(size=12)
    effects = fit_effects(runs.assign(y=y), factors, "y")
    assert effects.order == 1
    assert effects.verdict.test == test
    assert list(effects.verdict.scores.index) == [f.name for f in factors]
    assert "x0" in effects.active
    assert "shares_of_interactions" in cautions(effects)


def test_two_runs_of_one_factor_have_an_effect_and_no_verdict() -> None:
    runs, factors = whole(1)
    effects = fit_effects(runs.assign(y=[1.0, 3.0]), factors, "y")
    assert table_value(effects.terms, "A", "effect") == pytest.approx(2)
    assert effects.verdict.test == "none"
    assert (effects.verdict.error_df, effects.verdict.active) == (0, ())


def test_active_terms_of_a_t_test_on_two_degrees_of_freedom_are_named_too() -> None:
    factors = [Factor("a", 0, 1), Factor("b", 0, 1)]
    cells = [(0, 0), (1, 0), (0, 1), (1, 1), (0, 0), (1, 1)]
    runs = pd.DataFrame(cells, columns=["a", "b"]).assign(y=[3.2, 4.1, 5.0, 7.7, 3.0, 7.9])
    effects = fit_effects(runs, factors, "y")
    assert effects.verdict.test == "lenth"
    assert effects.active == ()
    assert effects.verdict.active_by_t == ("a", "b", "a:b")


PERFECT = [(-1, -1, 10.0), (1, -1, 20.0), (-1, 1, 15.0), (1, 1, 25.0)]


@pytest.mark.parametrize("scale", [1.0, 0.1, 1 / 3, 1e-9, 1e9])
@pytest.mark.parametrize("shift", [0.0, 0.7, 1e6, 1e9])
@pytest.mark.parametrize("order", [None, 1, 2])
def test_the_same_figures_have_one_verdict_in_any_unit_and_order(
    scale: float, shift: float, order: int | None
) -> None:
    runs = pd.DataFrame(PERFECT * 2, columns=["A", "B", "y"])
    factors = [Factor("A", -1, 1), Factor("B", -1, 1)]
    runs["y"] = scale * (runs["y"] + shift)
    for table in (runs, runs[::-1], runs.sample(frac=1, random_state=3)):
        effects = fit_effects(table, factors, "y", order=order)
        assert (effects.verdict.test, effects.verdict.active) == ("lenth", ())
        assert effects.verdict.exact
        assert effects.terms["p"].isna().all()
        assert effects.anova["p"].isna().all()
        assert effects.contrasts["A:B"] == 0
        assert "exact_fit" in cautions(effects)


def test_an_effect_that_is_only_rounding_is_zero_beside_a_real_error() -> None:
    y = [10.0, 20.0, 15.0, 25.0, 11.0, 22.0, 14.0, 24.0]
    runs = pd.DataFrame([row[:2] for row in PERFECT] * 2, columns=["A", "B"]).assign(y=y)
    runs["y"] += np.array([0, 0, 0, 0, 0, -1, 0, 0]) - 0.1 * runs["A"] * 1e-15
    effects = fit_effects(runs, [Factor("A", -1, 1), Factor("B", -1, 1)], "y")
    row = effects.terms.loc["A:B"]
    assert (row["coefficient"], row["t"], row["p"]) == (0, 0, pytest.approx(1))
    assert effects.active == ("A", "B")


def test_replicates_that_agree_except_for_rounding_show_no_lack_of_fit_by_themselves() -> None:
    runs = pd.DataFrame(PERFECT * 2, columns=["A", "B", "y"])
    runs["y"] = np.array([10, 20, 15, 31, 10, 20, 15, 31]) / 3 + np.array([*[0.0] * 7, 2e-15])
    effects = fit_effects(runs, [Factor("A", -1, 1), Factor("B", -1, 1)], "y", order=1)
    assert effects.verdict.test == "pooled"
    assert np.isnan(table_value(effects.anova, "lack of fit", "p"))


@pytest.mark.parametrize(("k", "replicates"), [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)])
def test_runs_that_are_all_equal_have_no_effect_if_that_is_allowed(k: int, replicates: int) -> None:
    runs, factors = whole(k, replicates=replicates)
    effects = fit_effects(runs.assign(y=1 / 3), factors, "y", constant=True)
    assert (effects.terms["effect"].dropna() == 0).all()
    assert effects.active == ()
    assert effects.verdict.test == "none"
    assert effects.verdict.exact
    assert cautions(effects)["constant"] == {"runs": len(runs), "response": "y", "value": 1 / 3}
    assert "exact_fit" not in cautions(effects)
    assert np.isnan(effects.r_squared)
    with pytest.raises(DesignError, match="never changes"):
        fit_effects(runs.assign(y=1 / 3), factors, "y")


def test_at_the_working_level_the_other_factors_may_have_no_effect_at_all() -> None:
    runs, factors = whole(3)
    collapsed = runs["A"] == 1
    y = np.where(collapsed, 0.5, 1.0)
    effects = fit_effects(runs.assign(y=y, collapsed=collapsed), factors, "y")
    found = effects.collapse
    assert found is not None
    assert found.learned is not None
    assert (found.strongest, found.working_level) == ("A", -1)
    assert found.learned.active == ()
    assert "constant" in cautions(found.learned)
