"""Comparisons on a table of trained cells: the table, the tuners, their replays, the command."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.small_study import STUDY, factorgrid, write_study

from analysis.comparison.replay import SeedLookup, Table, run_search
from analysis.comparison.tuners import DEFAULT_TUNER, TUNERS, FactorGridTuner, budget_driven
from analysis.designs.fractions import fraction_within
from analysis.factors import Factor
from analysis.search import pilot
from analysis.search.budget import rules_for_budget
from analysis.search.procedure import SearchRules
from analysis.search.space import Space
from tasks.comparison.cell_table import read_cell_table
from tasks.comparison.compare_on_table import compare_on_table
from tasks.comparison.entrants import available_tuners
from tasks.comparison.replay import replay_tuners
from tasks.comparison.request import TableRequest
from tasks.errors import UserError
from tasks.study.study_file import load_study
from tasks.tables.reading import reading_as_json

FACTORS = (
    Factor("depth", 1, 5, "integer"),
    Factor("learning_rate", 1e-4, 1e-1, "log"),
    Factor("optimizer", "adam", "sgd", "categorical"),
)
RATES = tuple(float(f"{10**p:.6g}") for p in np.arange(-4, -0.9, 0.5))
SPACE = Space(FACTORS, ((1, 2, 3, 4, 5), RATES, ("adam", "sgd")))


def hills(seeds: int = 4) -> Table:
    """Return a table with one good region; with the highest learning rates nothing is learned."""
    points = SPACE.points(list(SPACE.cells()))
    truth = 0.8 - 0.1 * (points[:, 0] - 0.5) ** 2 - 0.3 * (points[:, 1] + 0.3) ** 2
    truth = np.where(points[:, 1] > 0.6, 0.5, truth + 0.01 * points[:, 2])
    noise = np.random.default_rng(1).normal(0, 0.01, (len(truth), seeds))
    return Table("hills", SPACE, truth[:, None] + noise)


def test_each_seed_of_a_cell_is_used_once_in_the_same_order_for_every_tuner() -> None:
    table = hills()
    lookup = SeedLookup(table, 7)
    cell = (2, 3, 0)
    first = [lookup.next_response(cell) for _ in range(4)]
    assert sorted(first) == sorted(table.responses[table.row(cell)])
    other = SeedLookup(table, 7)
    other.next_response((0, 0, 0))
    assert other.next_response(cell) == first[0]
    assert SeedLookup(table, 7, used=[cell, cell]).next_response(cell) == first[2]
    assert lookup.next_response(cell) == first[0]  # all seeds are used: it starts again


@pytest.mark.parametrize("name", [*TUNERS, "TPE"])
@pytest.mark.parametrize("budget", [8, 13, 20])
def test_a_tuner_keeps_to_its_budget_and_is_reproducible(name: str, budget: int) -> None:
    tuner = {**TUNERS, **available_tuners()[0]}[name]
    ends = []
    for _ in range(2):
        search = tuner(SPACE, budget, np.random.default_rng(5))
        ends.append(run_search(search, SeedLookup(hills(), 2).next_response))
    assert ends[0] == ends[1]
    history, delivered = ends[0]
    # A grid that need not move, or a surface without a better cell, ends before the budget is used.
    may_end_early = isinstance(tuner, FactorGridTuner) and tuner.method != "gp"
    assert 0 < len(history) <= budget
    assert len(history) == budget or may_end_early
    assert delivered in {cell for cell, _ in history}


def test_a_screen_has_resolution_five_if_the_budget_allows_it_and_less_otherwise() -> None:
    names = list("abcde")
    found = {most: fraction_within(names, most) for most in (4, 8, 15, 16, 40)}
    sizes = {m: (f.n_runs, f.resolution) if f else None for m, f in found.items()}
    assert sizes == {4: None, 8: (8, 3), 15: (8, 3), 16: (16, 5), 40: (16, 5)}


def test_a_pilot_narrows_the_levels_if_networks_at_the_ends_learn_nothing() -> None:
    points = pilot.pilot_points(FACTORS)
    assert points == [[0, -1, -1], [0, 0, -1], [0, 1, -1]]
    found = {r.factor: r for r in pilot.screen_ranges(FACTORS, [0.65, 0.74, 0.5])}
    assert (found["learning_rate"].low, found["learning_rate"].high) == (-0.5, 0.5)
    assert found["learning_rate"].figures == (0.65, 0.74, 0.5)
    low = {r.factor: r for r in pilot.screen_ranges(FACTORS, [0.75, 0.5, 0.5])}["learning_rate"]
    assert (low.low, low.high) == (-1, -0.5)
    assert (found["depth"].low, found["optimizer"].high) == (-1, 1)


def test_a_pilot_varies_only_the_learning_rate() -> None:
    names = ("init_lr", "learning_rate_init", "lr", "lr_schedule", "weight_decay", "momentum")
    factors = [Factor(n, 0.001, 0.1, "log") for n in names if n != "lr_schedule"]
    factors.append(Factor("lr_schedule", "cosine", "const", "categorical"))
    assert [f.name for f in pilot.swept_factors(factors)] == ["init_lr", "learning_rate_init", "lr"]


def test_a_pilot_and_a_gaussian_process_beat_random_search_on_a_hill_with_a_cliff() -> None:
    names = ("random", "pilot + factorial + Gaussian process + confirm")
    found = replay_tuners(hills(), {n: TUNERS[n] for n in names}, budgets=(20,), repetitions=30)
    regret = found.summary().set_index("tuner")["regret"]
    assert regret[names[1]] < regret["random + confirm"] < 0.5


def test_the_default_tuner_has_the_rules_of_a_study_with_this_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = STUDY[: STUDY.index("[refine]")].splitlines()
    content = "\n".join(["budget = 20", *(x for x in lines if not x.startswith("replicates"))])
    study = load_study(str(write_study(tmp_path, content))).rules
    assert study.space is not None
    drawn: list[SearchRules] = []

    def keep(*args: Any, **kwargs: Any) -> SearchRules:
        drawn.append(rules_for_budget(*args, **{**kwargs, "seed": study.seed}))
        return drawn[-1]

    monkeypatch.setattr("analysis.comparison.tuners.rules_for_budget", keep)
    assert TUNERS[DEFAULT_TUNER] is budget_driven
    assert next(budget_driven(study.space, 20, np.random.default_rng(1)))
    # The names of the response differ, and the domains, which a space does not need.
    same: Any = {"factors": (), "space": None, "response": ""}
    assert replace(drawn[0], **same) == replace(study, **same)


def _write(path: Path) -> Path:
    table = hills()
    rows = [
        {**SPACE.natural(cell), "seed": seed, "val_accuracy": response}
        for cell in SPACE.cells()
        for seed, response in enumerate(table.responses[table.row(cell)])
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_a_table_that_was_written_is_read_with_the_same_levels_and_responses(
    tmp_path: Path,
) -> None:
    table, _ = read_cell_table(_write(tmp_path / "cells.csv"))
    assert table.space.levels == SPACE.levels
    assert [f.scale for f in table.space.factors] == ["integer", "log", "categorical"]
    np.testing.assert_allclose(table.responses, hills().responses)


def test_a_table_of_another_program_is_read_as_analyze_reads_it(tmp_path: Path) -> None:
    rows = [
        f"{run};{rate};{norm};{y};{state}"
        for run, (rate, norm, y, state) in enumerate(
            [
                ("0,001", "None", "0,8", "FINISHED"),
                ("0,1", "None", "0,6", "FINISHED"),
                ("0,001", "batch", "0,9", "FINISHED"),
                ("0,1", "batch", "0,1", "FAILED"),
                ("0,1", "Batch ", "0,7", "FINISHED"),
                ("0,1", "batch", "-inf", "FINISHED"),
            ]
        )
    ]
    path = tmp_path / "cells.csv"
    path.write_text("\n".join([";lr ;norm;val_accuracy;State", *rows]))
    table, reading = read_cell_table(path)
    assert table.space.levels == ((0.001, 0.1), ("batch", "None"))
    assert table.truth.tolist() == [0.9, 0.8, 0.7, 0.6]
    content = reading_as_json(reading)
    assert (content["separator"], content["without_response"]) == (";", 2)
    assert content["status"]["failed"] == {"FAILED": 1}


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("a,accuracy\n1,0.5\n2,-inf\n", ("1 of 2 cells have no accuracy", "a=2")),
        ("a,a,accuracy\n1,1,0.5\n", ("'a' occurs twice",)),
        (None, ("nowhere.csv", "no such file", "correct the path")),
        ("a,b\n1,2\n", ("no column of numbers val_accuracy", "a, b", "--response")),
        ("a,val_accuracy\n1,0.5\n1,0.6\n", ("no column changes", "at least two levels")),
        ("a,b,accuracy\n1,1,0.5\n2,1,0.6\n1,2,0.7\n", ("1 of 4 cells have no accuracy",)),
        ("a,accuracy\nx:1,0.5\ny,0.6\nz,0.7\n", ("'x:1' has a colon", "rename it")),
        ("a,b,accuracy\nx,1,0.5\ny,1,0.6\nz,2,0.7\n", ("3 of 6 cells have no accuracy",)),
    ],
)
def test_an_unusable_table_is_refused_with_the_reason(
    tmp_path: Path, content: str | None, texts: tuple[str, ...]
) -> None:
    path = tmp_path / "nowhere.csv"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_cell_table(path)
    for text in texts:
        assert text in str(error.value)


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
    assert [row["tuner"] for row in answer["tuners"] if row["default"]] == [DEFAULT_TUNER]
    assert {row["default"] for row in answer["tuners"]} == {True, False}
    assert (tmp_path / "plots" / "compare.png").stat().st_size > 10_000
    bad = factorgrid("compare", "--table", cells, "--budget", "2", home=tmp_path / "home")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert "a budget of 4 runs or more" in bad.stderr
    assert bad.stderr.count("\n") == 1


def test_a_loss_is_compared_by_its_negative_and_it_is_said(tmp_path: Path) -> None:
    rows = ["a,b,val_loss"]
    rows += [f"{a},{b},{0.1 * a + b}" for a in (1, 2, 3) for b in (1, 2, 3) for _ in range(2)]
    path = tmp_path / "loss.csv"
    path.write_text("\n".join(rows))
    request = TableRequest(path, "val_loss", (4,), 2, ("random",), None, None)
    result = compare_on_table(request)
    assert result.table.truth.max() == pytest.approx(-1.1)
    assert result.notes[0].startswith("a lower val_loss is taken to be better")


def test_every_tuner_searches_a_table_with_three_categories(tmp_path: Path) -> None:
    best = {"adam": 0.7, "rmsprop": 0.6, "sgd": 0.8}
    rows = ["optimizer,batch_size,dropout,accuracy"]
    rows += [
        f"{name},{batch},{drop},{best[name] - batch / 1000 - drop / 10}"
        for name in best
        for batch in (16, 32, 64, 128)
        for drop in (0.1, 0.2, 0.3)
    ]
    path = tmp_path / "cells.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    result = compare_on_table(TableRequest(path, None, (12,), 2, (), None, None))
    assert result.table.space.n_cells == 36
    assert result.table.space.factors[0].levels == ("adam", "rmsprop", "sgd")
    assert set(result.delivered["tuner"]) >= set(TUNERS)
    assert result.delivered["truth"].notna().all()
