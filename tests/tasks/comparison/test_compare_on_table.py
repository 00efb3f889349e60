"""Tuners on a table of trained cells: what is asked, what is answered, what it comes to."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.small_study import factorgrid

from analysis.comparison.replay import Oracle, Table, play
from analysis.comparison.tuners import TUNERS
from analysis.designs.fractions import fraction_within
from analysis.factors import Factor
from analysis.search import pilot
from analysis.search.space import Space
from tasks.comparison.cell_table import read_cell_table
from tasks.comparison.entrants import tuners_at_hand
from tasks.comparison.replay import replay_tuners
from tasks.errors import UserError

FACTORS = (
    Factor("depth", 1, 5, "integer"),
    Factor("learning_rate", 1e-4, 1e-1, "log"),
    Factor("optimizer", "adam", "sgd", "categorical"),
)
RATES = tuple(float(f"{10**p:.6g}") for p in np.arange(-4, -0.9, 0.5))
SPACE = Space(FACTORS, ((1, 2, 3, 4, 5), RATES, ("adam", "sgd")))


def hills(seeds: int = 4) -> Table:
    """One good region; the highest learning rates learn nothing."""
    points = SPACE.points(list(SPACE.cells()))
    truth = 0.8 - 0.1 * (points[:, 0] - 0.5) ** 2 - 0.3 * (points[:, 1] + 0.3) ** 2
    truth = np.where(points[:, 1] > 0.6, 0.5, truth + 0.01 * points[:, 2])
    noise = np.random.default_rng(1).normal(0, 0.01, (len(truth), seeds))
    return Table("hills", SPACE, truth[:, None] + noise)


def test_a_cell_gives_each_of_its_seeds_once_in_an_order_that_no_tuner_changes() -> None:
    table = hills()
    oracle = Oracle(table, 7)
    cell = (2, 3, 0)
    first = [oracle.answer(cell) for _ in range(4)]
    assert sorted(first) == sorted(table.figures[table.row(cell)])
    other = Oracle(table, 7)
    other.answer((0, 0, 0))
    assert other.answer(cell) == first[0]
    assert Oracle(table, 7, asked=[cell, cell]).answer(cell) == first[2]
    assert oracle.answer(cell) == first[0]  # used up: nothing new


@pytest.mark.parametrize("name", [*TUNERS, "TPE"])
@pytest.mark.parametrize("budget", [8, 13, 20])
def test_a_tuner_keeps_to_its_budget_and_repeats_itself(name: str, budget: int) -> None:
    start = {**TUNERS, **tuners_at_hand()[0]}[name]
    ends = []
    for _ in range(2):
        ended = play(start(SPACE, budget, np.random.default_rng(5)), Oracle(hills(), 2).answer)
        ends.append(ended)
    assert ends[0] == ends[1]
    history, delivered = ends[0]
    assert len(history) == budget
    assert delivered in {cell for cell, _ in history}


def test_a_screen_by_budget_takes_resolution_five_first_then_less() -> None:
    names = list("abcde")
    found = {most: fraction_within(names, most) for most in (4, 8, 15, 16, 40)}
    sizes = {m: (f.n_runs, f.resolution) if f else None for m, f in found.items()}
    assert sizes == {4: None, 8: (8, 3), 15: (8, 3), 16: (16, 5), 40: (16, 5)}


def test_a_pilot_draws_the_levels_in_where_the_ends_learn_nothing() -> None:
    points = pilot.pilot_points(FACTORS)
    assert points == [[0, -1, -1], [0, 0, -1], [0, 1, -1]]
    found = {r.factor: r for r in pilot.screen_ranges(FACTORS, [0.65, 0.74, 0.5])}
    assert (found["learning_rate"].low, found["learning_rate"].high) == (-0.5, 0.5)
    assert "0.5 at its high end" in found["learning_rate"].words
    low = {r.factor: r for r in pilot.screen_ranges(FACTORS, [0.75, 0.5, 0.5])}["learning_rate"]
    assert (low.low, low.high) == (-1, -0.5)
    assert (found["depth"].low, found["optimizer"].high) == (-0.5, 1)


def test_only_a_learning_rate_is_looked_at() -> None:
    names = ("init_lr", "learning_rate_init", "lr", "lr_schedule", "weight_decay", "momentum")
    factors = [Factor(n, 0.001, 0.1, "log") for n in names if n != "lr_schedule"]
    factors.append(Factor("lr_schedule", "cosine", "const", "categorical"))
    assert [f.name for f in pilot.swept_factors(factors)] == ["init_lr", "learning_rate_init", "lr"]


def test_ours_beats_random_search_on_a_hill_with_a_cliff() -> None:
    names = ("random", "pilot + factorial + process + confirm")
    found = replay_tuners(hills(), {n: TUNERS[n] for n in names}, budgets=(20,), repetitions=30)
    regret = found.summary().set_index("tuner")["regret"]
    assert regret[names[1]] < regret["random + confirm"] < 0.5


def _write(path: Path) -> Path:
    table = hills()
    rows = [
        {**SPACE.natural(cell), "seed": seed, "val_accuracy": figure}
        for cell in SPACE.cells()
        for seed, figure in enumerate(table.figures[table.row(cell)])
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_a_table_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    table = read_cell_table(_write(tmp_path / "cells.csv"))
    assert table.space.levels == SPACE.levels
    assert [f.scale for f in table.space.factors] == ["integer", "log", "categorical"]
    np.testing.assert_allclose(table.figures, hills().figures)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ("nowhere.csv", "No such file", "name another")),
        ("a,b\n1,2\n", ("no column of numbers val_accuracy", "a, b", "--response")),
        ("a,val_accuracy\n1,0.5\n1,0.6\n", ("no column changes",)),
        ("a,b,accuracy\n1,1,0.5\n2,1,0.6\n1,2,0.7\n", ("1 of 4 cells have no accuracy",)),
        ("a,accuracy\nx,0.5\ny,0.6\nz,0.7\n", ("3 categories", "leave all but two out")),
    ],
)
def test_a_table_that_is_none_is_said_to_be(
    tmp_path: Path, content: str | None, words: tuple[str, ...]
) -> None:
    path = tmp_path / "nowhere.csv"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_cell_table(path)
    for word in words:
        assert word in str(error.value)


def test_the_command_compares_on_a_table(tmp_path: Path) -> None:
    cells = _write(tmp_path / "cells.csv")
    manual = tmp_path / "manual.csv"
    manual.write_text("depth,learning_rate,optimizer\n3,0.001,adam\n4,0.003,sgd\n", "utf-8")
    words: list[str | Path] = ["compare", "--table", cells, "--budget", "8", "--repetitions", "3"]
    more: list[str | Path] = ["--manual", manual, "--plots", tmp_path / "plots", "--json"]
    ended = factorgrid(*words, *more, home=tmp_path / "home")
    assert ended.returncode == 0, ended.stderr
    answer = json.loads(ended.stdout)
    assert answer["cells"] == 70
    named = {row["tuner"]: row for row in answer["tuners"]}
    assert {"manual", "random + confirm", *TUNERS} <= set(named)
    assert {row["n"] for row in named.values()} == {3}
    assert (tmp_path / "plots" / "compare.png").stat().st_size > 10_000
    bad = factorgrid("compare", "--table", cells, "--budget", "2", home=tmp_path / "home")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert "a budget of 4 runs or more" in bad.stderr
    assert bad.stderr.count("\n") == 1
