import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from scipy.stats import dunnett
from scipy.stats import t as student

from analysis.errors import DesignError
from analysis.factors import Factor
from analysis.search.best_cell import many_to_one, select
from tasks.languages import translator
from tasks.wording.selection import selection_as_text

DEPTH = Factor("depth", 3, 6, "integer")


def _runs(cells: dict[int, list[float]], **columns: Sequence[float]) -> pd.DataFrame:
    rows = [(depth, y) for depth, figures in cells.items() for y in figures]
    return pd.DataFrame(rows, columns=["depth", "y"]).assign(**columns)


#: Two cells within one standard error, and a third that is worse.
NEAR = {3: [0.900, 0.904], 4: [0.901, 0.905], 6: [0.80, 0.81]}


def test_the_cheapest_within_one_standard_error_is_chosen() -> None:
    runs = _runs(NEAR, multiply_adds=[1, 1, 9, 9, 1, 1])
    selection = select(runs, [DEPTH], "y")
    assert selection.best == {"depth": 4}
    assert selection.chosen == {"depth": 3}
    assert selection.tied == selection.near == ({"depth": 4}, {"depth": 3})
    # Pooled variance of three cells: (8 + 8 + 50) e-6 / 3; over n = 2.
    assert selection.standard_error == pytest.approx(math.sqrt(66e-6 / 3 / 2))
    assert selection.error_df == 3


def test_cells_that_were_not_confirmed_stay_tied_if_nothing_distinguishes_them() -> None:
    runs = _runs(NEAR)
    confirmed = runs[runs["depth"] == 4]
    selection = select(runs, [DEPTH], "y", among=confirmed)
    assert selection.tied == ({"depth": 4},)
    assert selection.tied_unconfirmed == ({"depth": 3},)
    assert select(runs, [DEPTH], "y").tied_unconfirmed == ()
    said = " ".join(selection_as_text(selection, translator("en")))
    assert "one may be among them: 1 (depth=3)" in said


def test_multiply_adds_come_before_parameters_and_these_before_the_mean() -> None:
    def chosen(multiply_adds: list[float], parameters: list[float]) -> int:
        runs = _runs(NEAR, multiply_adds=multiply_adds, parameters=parameters)
        return int(select(runs, [DEPTH], "y").chosen["depth"])

    assert chosen([1, 1, 2, 2, 1, 1], [9, 9, 5, 5, 1, 1]) == 3
    assert chosen([2, 2, 1, 1, 1, 1], [5, 5, 9, 9, 1, 1]) == 4
    assert chosen([2, 2, 2, 2, 1, 1], [5, 5, 9, 9, 1, 1]) == 3
    assert chosen([2, 2, 2, 2, 1, 1], [9, 9, 9, 9, 1, 1]) == 4


def test_seconds_never_decide() -> None:
    for seconds in ([1, 1, 99, 99, 1, 1], [99, 99, 1, 1, 1, 1], [14, 14, 22, 22, 9, 9]):
        assert select(_runs(NEAR, train_seconds=seconds), [DEPTH], "y").chosen == {"depth": 4}
        # Seen: 28,626 parameters in 14 s had lost against 35,106 in 22 s.
        runs = _runs(NEAR, train_seconds=seconds, parameters=[28626, 28626, 35106, 35106, 1, 1])
        found = select(runs, [DEPTH], "y")
        assert found.chosen == {"depth": 3}
        assert found.cells["train_seconds"].tolist() == [seconds[2], seconds[0], seconds[4]]


def test_a_cost_that_is_not_known_of_all_compared_cells_does_not_decide() -> None:
    known, nan = [9, 9, 1, 1, 1, 1], math.nan
    runs = _runs(NEAR, multiply_adds=[nan, nan, 9, 9, 1, 1], parameters=[1, 1, 2, 2, 1, 1])
    selection = select(runs, [DEPTH], "y")
    assert (selection.chosen, selection.compared) == ({"depth": 3}, ("parameters",))
    # One run of the cell has it: a cell's network is the same in all of its runs.
    runs["multiply_adds"] = [nan, 10, nan, 9, 1, 1]
    selection = select(runs, [DEPTH], "y")
    assert (selection.chosen, selection.compared) == ({"depth": 4}, ("multiply_adds", "parameters"))
    # The third cell is not compared with the two.
    runs = _runs(NEAR, multiply_adds=[*known[:4], nan, nan])
    assert select(runs, [DEPTH], "y").compared == ("multiply_adds",)
    without = select(_runs(NEAR, multiply_adds=[nan] * 6), [DEPTH], "y")
    assert (without.chosen, without.compared) == ({"depth": 4}, ())
    assert without.passed_over == ()
    assert select(_runs(NEAR), [DEPTH], "y").chosen == {"depth": 4}


def test_a_cheaper_equal_that_is_passed_over_is_named_with_the_reason() -> None:
    def passed_over(
        runs: pd.DataFrame, among: pd.DataFrame | None = None
    ) -> list[tuple[object, str]]:
        found = select(runs, [DEPTH], "y", among=among)
        return [(x.levels["depth"], x.reason) for x in found.passed_over]

    # A standard error of 0.005; 3 is below it, but not by enough to be distinguished.
    runs = _runs({3: [0.885, 0.899], 4: [0.893, 0.907]}, multiply_adds=[1, 1, 9, 9])
    assert passed_over(runs) == [(3, "below_one_error")]
    assert passed_over(runs.assign(multiply_adds=[9, 9, 9, 9])) == []
    spread = _runs({3: [0.893, 0.907], 4: [0.893, 0.907]}, multiply_adds=[1, 1, 9, 9])
    assert passed_over(spread) == []
    assert passed_over(spread, among=spread[spread["depth"] == 4]) == [(3, "not_confirmed")]
    assert passed_over(spread.assign(collapsed=[True, False, False, False])) == [(3, "collapsed")]
    single = _runs({3: [0.8], 4: [0.9], 6: [0.7]}, parameters=[2, 3, 1])
    assert passed_over(single) == [(6, "no_spread"), (3, "no_spread")]


def test_without_replicates_no_cell_can_be_distinguished() -> None:
    selection = select(_runs({3: [0.9], 4: [0.5]}), [DEPTH], "y")
    assert len(selection.tied) == 2
    assert selection.error_df == 0


def test_a_lead_of_a_few_pictures_does_not_count() -> None:
    runs = _runs({3: [0.9000, 0.9000001], 4: [0.903, 0.9030001]})
    assert len(select(runs, [DEPTH], "y").tied) == 1
    # Five of 1,500 pictures: McNemar's exact p is 2^-4 at best; six of them make 2^-5.
    assert len(select(runs, [DEPTH], "y", images=1500).tied) == 2
    assert len(select(runs, [DEPTH], "y", images=3000).tied) == 1


#: Dunnett, C. W. (1964), Biometrics 20, 482-491: one-sided, 5 %, 1 to 9 comparisons.
DUNNETT = {
    5: [2.02, 2.44, 2.68, 2.85, 2.98, 3.08, 3.16, 3.24, 3.30],
    20: [1.72, 2.03, 2.19, 2.30, 2.39, 2.46, 2.51, 2.56, 2.60],
}


@pytest.mark.parametrize("df", DUNNETT)
def test_the_joint_critical_value_is_that_of_dunnett(df: int) -> None:
    found = [many_to_one(others, df, 0.05) for others in range(1, 10)]
    assert found == pytest.approx(DUNNETT[df], abs=0.0051)


@pytest.mark.parametrize(("df", "alpha"), [(1, 0.05), (3, 0.4), (30, 0.01), (10_000, 0.05)])
def test_one_comparison_is_a_t_test_and_more_are_stricter(df: int, alpha: float) -> None:
    assert many_to_one(1, df, alpha) == pytest.approx(student.isf(alpha, df), rel=1e-4)
    found = [many_to_one(others, df, alpha) for others in (1, 2, 5, 50, 500)]
    assert found == sorted(found)
    # Bonferroni's bound.
    assert all(
        c <= student.isf(alpha / k, df) for c, k in zip(found[1:], (2, 5, 50, 500), strict=True)
    )
    assert many_to_one(0, df, alpha) == 0


def test_the_joint_critical_value_agrees_with_scipy() -> None:
    rng = np.random.default_rng(2)
    sets = [rng.normal(size=5) for _ in range(6)]
    tested = dunnett(*sets[1:], control=sets[0], alternative="greater")
    value = float(np.max(tested.statistic))
    p = float(np.min(tested.pvalue))
    assert many_to_one(5, 24, p) == pytest.approx(value, abs=0.05)


def _optimism(true: list[float], experiments: int = 100) -> tuple[float, float]:
    """Return the mean excess of the best mean, and the mean of what is said about it."""
    rng = np.random.default_rng(5)
    factor = Factor("depth", 1, len(true), "integer")
    real, said = [], []
    for _ in range(experiments):
        runs = _runs({i + 1: rng.normal(mean, 0.01, 2).tolist() for i, mean in enumerate(true)})
        selection = select(runs, [factor], "y")
        best = selection.best["depth"]
        real.append(selection.row(selection.best)["mean"] - true[int(best) - 1])
        said.append(selection.optimism)
    return float(np.mean(real)), float(np.mean(said))


@pytest.mark.slow  # a simulation
def test_the_optimism_of_equal_cells_is_near_the_expected_maximum() -> None:
    # 1.42 standard errors of 0.01 / sqrt(2) is 0.0101.
    real, said = _optimism([0.9] * 8)
    assert real == pytest.approx(0.0101, abs=0.0012)
    assert 0.007 < said < 0.011


def test_a_cell_that_leads_owes_little_to_chance() -> None:
    # The expected maximum of as many equal cells is 0.0101.
    real, said = _optimism([0.93] + [0.9] * 7)
    assert real < 0.003
    assert said < 0.004


def test_the_optimism_of_one_cell_or_without_spread_is_zero() -> None:
    assert select(_runs({3: [0.9, 0.8]}), [DEPTH], "y").optimism == 0
    assert select(_runs({3: [0.9, 0.9], 4: [0.8, 0.8]}), [DEPTH], "y").optimism == 0


def test_collapsed_runs_count_in_the_mean_but_not_in_the_spread() -> None:
    runs = _runs({3: [0.90, 0.91], 4: [0.93, 0.50]})
    runs["collapsed"] = [False, False, False, True]
    selection = select(runs, [DEPTH], "y")
    assert selection.best == {"depth": 3}
    assert selection.standard_error == pytest.approx(math.sqrt(5e-5 / 2))
    assert selection.cells["collapsed"].tolist() == [0, 1]


def test_runs_without_a_response_are_an_error_with_a_remedy() -> None:
    with pytest.raises(DesignError, match="train again"):
        select(_runs({3: [math.nan]}), [DEPTH], "y")


@pytest.mark.parametrize(
    ("best", "domain", "edges"),
    [
        (4, None, ()),
        (6, None, ("depth",)),
        (3, None, ("depth",)),
        (3, (3, 16), ()),  # nothing lies beyond
    ],
)
def test_a_winner_on_the_edge_of_the_tried_levels_is_reported(
    best: int, domain: tuple[float, float] | None, edges: tuple[str, ...]
) -> None:
    factor = Factor("depth", 3, 6, "integer", domain)
    figures = {depth: [0.9, 0.91] if depth == best else [0.7, 0.71] for depth in (3, 4, 6)}
    selection = select(_runs(figures), [factor], "y")
    assert selection.edges == edges
    assert selection.chosen == {"depth": best}


def test_of_cells_that_are_all_equal_the_cheapest_comes_first_and_none_is_an_edge() -> None:
    runs = _runs({3: [1.0, 1.0], 4: [1.0, 1.0], 6: [1.0, 1.0]})
    runs["multiply_adds"] = [9, 9, 1, 1, 5, 5]
    selection = select(runs, [DEPTH], "y")
    assert selection.all_equal
    assert selection.chosen == {"depth": 4}
    assert selection.tied == ({"depth": 4}, {"depth": 6}, {"depth": 3})
    assert selection.edges == ()
    assert not select(_runs({3: [1.0], 4: [0.9]}), [DEPTH], "y").all_equal
    assert not select(_runs({3: [1.0, 1.0]}), [DEPTH], "y").all_equal


def test_a_study_in_which_every_run_collapsed_says_so() -> None:
    runs = _runs({3: [0.5], 4: [0.51]}, collapsed=[True, True])
    assert select(runs, [DEPTH], "y").all_collapsed
    assert not select(runs.assign(collapsed=[True, False]), [DEPTH], "y").all_collapsed


def test_a_factor_that_does_not_count_in_the_best_cell_is_at_no_edge() -> None:
    momentum = Factor("momentum", 0.5, 0.9, when=(("optimizer", ("sgd",)),), otherwise=0.0)
    factors = (Factor("optimizer", "adam", "sgd", "categorical"), momentum)
    cells = [("adam", 0.0), ("sgd", 0.5), ("sgd", 0.9)]
    runs = pd.DataFrame(cells * 2, columns=["optimizer", "momentum"])
    adam = select(runs.assign(y=[0.9, 0.5, 0.6, 0.91, 0.51, 0.61]), factors, "y")
    assert (adam.best["optimizer"], adam.edges) == ("adam", ())
    sgd = select(runs.assign(y=[0.5, 0.6, 0.9, 0.51, 0.61, 0.91]), factors, "y")
    assert sgd.edges == ("momentum",)
