import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import dunnett

from analysis.errors import DesignError
from analysis.factors import Factor
from analysis.search.best_cell import many_to_one, select

DEPTH = Factor("depth", 3, 6, "integer")


def _runs(cells: dict[int, list[float]], **columns: list[float]) -> pd.DataFrame:
    rows = [(depth, y) for depth, figures in cells.items() for y in figures]
    return pd.DataFrame(rows, columns=["depth", "y"]).assign(**columns)


def test_the_cheapest_within_one_standard_error_is_chosen() -> None:
    runs = _runs({3: [0.900, 0.904], 4: [0.901, 0.905], 6: [0.80, 0.81]})
    runs["train_seconds"] = [1, 1, 9, 9, 1, 1]
    selection = select(runs, [DEPTH], "y")
    assert selection.best == {"depth": 4}
    assert selection.chosen == {"depth": 3}
    assert selection.tied == ({"depth": 4}, {"depth": 3})
    # Pooled variance of three cells: (8 + 8 + 50) e-6 / 3; over n = 2.
    assert selection.standard_error == pytest.approx(math.sqrt(66e-6 / 3 / 2))
    assert selection.error_df == 3


def test_of_equally_cheap_cells_the_one_with_the_best_mean_is_chosen() -> None:
    runs = _runs({3: [0.900, 0.904], 4: [0.901, 0.905], 6: [0.80, 0.81]})
    runs["train_seconds"] = [1.00, 1.00, 1.09, 1.09, 5, 5]  # within a tenth
    assert select(runs, [DEPTH], "y").chosen == {"depth": 4}
    runs["train_seconds"] = [1.00, 1.00, 1.11, 1.11, 5, 5]
    assert select(runs, [DEPTH], "y").chosen == {"depth": 3}
    # On a busy machine seconds vary twofold: the log's spread is 0.49, twice its error 0.98.
    runs["train_seconds"] = [1, 2, 1.5, 3, 5, 10]
    assert select(runs, [DEPTH], "y").chosen == {"depth": 4}
    runs["train_seconds"] = [1, 2, 3, 6, 5, 10]
    assert select(runs, [DEPTH], "y").chosen == {"depth": 3}


def test_missing_seconds_count_as_the_most_expensive() -> None:
    runs = _runs({3: [0.900, 0.904], 4: [0.901, 0.905]})
    runs["train_seconds"] = [9, 9, math.nan, math.nan]
    assert select(runs, [DEPTH], "y").chosen == {"depth": 3}
    runs["train_seconds"] = math.nan
    assert select(runs, [DEPTH], "y").chosen == {"depth": 4}


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


def test_the_joint_critical_value_is_that_of_dunnett() -> None:
    # Dunnett (1955), table 1a: one-sided, 5 %, 20 degrees of freedom, 1 and 5 comparisons.
    assert many_to_one(1, 20, 0.05) == pytest.approx(1.72, abs=0.02)
    assert many_to_one(5, 20, 0.05) == pytest.approx(2.39, abs=0.02)
    rng = np.random.default_rng(2)
    sets = [rng.normal(size=5) for _ in range(6)]
    tested = dunnett(*sets[1:], control=sets[0], alternative="greater")
    value = float(np.max(tested.statistic))
    p = float(np.min(tested.pvalue))
    assert many_to_one(5, 24, p) == pytest.approx(value, abs=0.05)


def test_the_optimism_of_equal_cells_is_the_expected_maximum() -> None:
    rng = np.random.default_rng(5)
    runs = _runs({depth: rng.normal(0.9, 0.01, 4).tolist() for depth in range(1, 9)})
    selection = select(runs, [Factor("depth", 1, 8, "integer")], "y")
    assert len(selection.tied) == 8
    assert selection.optimism == pytest.approx(1.4236 * selection.standard_error, rel=1e-4)


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
    runs["train_seconds"] = [9, 9, 1, 1, 5, 5]
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
