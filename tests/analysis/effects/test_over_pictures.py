"""Standard errors over pictures and seeds, against known variances and a crossed bootstrap."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from analysis.effects.fit import fit_effects
from analysis.effects.over_pictures import effects_over_pictures, trained_twice
from analysis.effects.result import Effects
from analysis.errors import AnalysisError
from analysis.factors import Factor

FACTORS = [Factor("a", -1, 1), Factor("b", -1, 1)]
CELLS = list(product((-1, 1), repeat=2))
Scores = NDArray[np.float64]


def experiment(
    rng: np.random.Generator,
    seeds: int,
    pictures: int,
    *,
    of_seeds: float,
    of_pictures: float,
    common: float,
) -> tuple[Effects, Scores]:
    """Return an experiment whose variances are known, and the scores (R, P) of its runs.

    A score is the sum of a part of the cell and picture, a part of the network, and a part of
    both, with these standard deviations. All true effects are zero.
    """
    runs = pd.DataFrame([cell for cell in CELLS for _ in range(seeds)], columns=["a", "b"])
    cell_part = np.repeat(rng.normal(0, of_pictures, (len(CELLS), pictures)), seeds, axis=0)
    scores = (
        cell_part
        + rng.normal(0, of_seeds, (len(runs), 1))
        + rng.normal(0, common, (len(runs), pictures))
    )
    runs["y"] = scores.mean(axis=1)
    return fit_effects(runs, FACTORS, "y", order=2, equal_spread=True), scores


@pytest.mark.parametrize(
    ("of_seeds", "of_pictures", "common"),
    [
        (0.05, 0.4, 0.4),
        pytest.param(0.2, 0.1, 0.3, marks=pytest.mark.slow),
        pytest.param(0.01, 0.5, 0.1, marks=pytest.mark.slow),
    ],
)
def test_the_standard_error_is_that_of_known_variances(
    of_seeds: float, of_pictures: float, common: float
) -> None:
    rng = np.random.default_rng(5)
    seeds, pictures, repetitions = 3, 60, 120
    squares, effects, covered = [], [], []
    for _ in range(repetitions):
        found = effects_over_pictures(
            *experiment(
                rng, seeds, pictures, of_seeds=of_seeds, of_pictures=of_pictures, common=common
            )
        ).to_dict("index")["a"]
        squares.append({name: found[name] ** 2 for name in ("seeds", "both")})
        effects.append(found["effect"])
        covered.append(found["ci_low"] <= 0 <= found["ci_high"])
    # An effect is the difference of two means of two cells each: the sum of 4 weights of 1/4.
    seeds_variance = (of_seeds**2 + common**2 / pictures) / seeds
    true = seeds_variance + of_pictures**2 / pictures
    mean = pd.DataFrame(squares).mean()
    assert mean["seeds"] == pytest.approx(seeds_variance, rel=0.15)
    assert mean["both"] == pytest.approx(true, rel=0.15)
    assert np.var(effects) == pytest.approx(true, rel=0.4)
    # Three standard errors of a share of 0.95.
    assert np.mean(covered) == pytest.approx(0.95, abs=0.06)


def test_a_crossed_bootstrap_without_its_double_counting_agrees() -> None:
    rng = np.random.default_rng(1)
    seeds, pictures = 12, 400
    ability = rng.normal(0.8, 0.3, (len(CELLS), pictures))
    chance = np.clip(np.repeat(ability, seeds, axis=0) + rng.normal(0, 0.03, (48, 1)), 0, 1)
    correct = rng.random((48, pictures)) < chance
    runs = pd.DataFrame([cell for cell in CELLS for _ in range(seeds)], columns=["a", "b"])
    runs["y"] = correct.mean(axis=1)
    found = effects_over_pictures(fit_effects(runs, FACTORS, "y", equal_spread=True), correct)
    # The effect of a: signs of the runs over 24; pictures and, in each cell, seeds are drawn.
    signs = runs["a"].to_numpy() / 24
    drawn = []
    for _ in range(2000):
        rows = np.concatenate([12 * cell + rng.integers(0, 12, 12) for cell in range(4)])
        weights = np.bincount(rng.integers(0, pictures, pictures), minlength=pictures) / pictures
        drawn.append(signs @ (correct[rows] @ weights))
    # It has the common part once more; that is small beside the others here.
    row = found.loc["a"].to_dict()
    assert row["both"] == pytest.approx(float(np.std(drawn)), rel=0.1)
    assert row["seeds"] < row["both"] < float(np.std(drawn))


def test_pictures_that_all_networks_answer_alike_add_nothing() -> None:
    runs = pd.DataFrame([cell for cell in CELLS for _ in range(2)], columns=["a", "b"])
    offset = np.array([0.1, 0.12, 0.3, 0.29, 0.2, 0.23, 0.5, 0.46])
    scores = offset[:, None] + np.random.default_rng(0).random(50)
    runs["y"] = scores.mean(axis=1)
    found = effects_over_pictures(fit_effects(runs, FACTORS, "y", equal_spread=True), scores)
    assert found["pictures"].to_numpy() == pytest.approx(0, abs=1e-9)
    assert found["both"].to_numpy() == pytest.approx(found["seeds"].to_numpy())
    assert found["df"].to_numpy() == pytest.approx(4)


def test_without_an_error_only_the_pictures_are_known() -> None:
    effects, scores = experiment(
        np.random.default_rng(3), 1, 40, of_seeds=0.1, of_pictures=0.4, common=0.1
    )
    assert not trained_twice(effects)
    found = effects_over_pictures(effects, scores)
    assert (found["pictures"] > 0).all()
    assert found[["seeds", "both", "ci_low", "ci_high"]].isna().all(axis=None)


def test_unequal_spread_keeps_its_own_degrees_of_freedom() -> None:
    rng = np.random.default_rng(2)
    runs = pd.DataFrame([cell for cell in CELLS for _ in range(5)], columns=["a", "b"])
    spread = np.repeat([0.3, 0.001, 0.001, 0.001], 5)
    scores = np.tile(rng.normal(0, spread)[:, None], (1, 30))
    runs["y"] = scores.mean(axis=1)
    effects = fit_effects(runs, FACTORS, "y")
    assert effects.verdict.test == "welch"
    found = effects_over_pictures(effects, scores)
    assert found["df"].to_numpy() == pytest.approx(4, rel=0.05)
    interval = 2 * effects.terms.loc["a", ["ci_low", "ci_high"]].to_numpy(dtype=float)
    assert found.loc["a", ["ci_low", "ci_high"]].to_numpy(dtype=float) == pytest.approx(
        interval, rel=0.01
    )


def test_the_answers_are_of_the_runs_and_of_two_pictures() -> None:
    effects, scores = experiment(
        np.random.default_rng(3), 2, 40, of_seeds=0.1, of_pictures=0.4, common=0.1
    )
    for wrong in (scores[1:], scores[:, :1]):
        with pytest.raises(AnalysisError, match="the same two or more pictures"):
            effects_over_pictures(effects, wrong)
