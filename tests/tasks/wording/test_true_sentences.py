"""What is said about the chosen cell, checked against the runs that it was chosen from.

The tables are drawn: collapsed runs, single seeds, equal means, seeds that confirm only some cells,
costs that are known of all, some or no runs. Each sentence that makes a claim is read back from the
text, and the claim is computed again from the runs, without the code that made the sentence.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from analysis.factors import Factor
from analysis.search.best_cell import Pick, Selection, many_to_one, select
from analysis.search.lead import Lead
from tasks.languages import LANGUAGES, translator
from tasks.wording.over_pictures import OverPictures, active_over_pictures_as_text
from tasks.wording.selection import lead_as_text, selection_as_text, shown_cells

DEPTH = Factor("depth", 1, 60, "integer")
FIGURES = st.sampled_from([0.5, 0.55, 0.5625, 0.575, 0.58, 0.9, 0.91])
COSTS = st.sampled_from([math.nan, 1000.0, 2000.0, 2001.0])


@st.composite
def selections(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame | None, Selection]:
    """Draw a table of runs, the cells that were confirmed (None: all), and the selection."""
    known = draw(st.sampled_from([True, True, False]))
    rows = []
    for depth in range(1, draw(st.integers(1, 6)) + 1):
        costs = {"multiply_adds": draw(COSTS), "parameters": draw(COSTS)} if known else {}
        for _ in range(draw(st.integers(1, 3))):
            collapsed = draw(st.sampled_from([False, False, False, True]))
            rows.append({"depth": depth, "y": draw(FIGURES), "collapsed": collapsed, **costs})
    runs = pd.DataFrame(rows)
    confirmed = draw(st.sets(st.sampled_from(sorted(set(runs["depth"]))))) or None
    among = runs[runs["depth"].isin(confirmed)] if confirmed else None
    images = draw(st.sampled_from([None, 80, 2000]))
    return runs, among, select(runs, [DEPTH], "y", among=among, images=images)


def cells_of(runs: pd.DataFrame, among: pd.DataFrame | None) -> dict[int, dict[str, Any]]:
    """Return the cells by their depth, computed without the code under test."""
    cells: dict[int, dict[str, Any]] = {}
    for depth, own in runs.groupby("depth"):
        row: dict[str, Any] = {
            "n": len(own),
            "mean": own["y"].mean(),
            "collapsed": int(own["collapsed"].sum()),
        }
        row["learned"] = own.loc[~own["collapsed"], "y"].to_numpy()
        row["confirmed"] = among is None or bool(among["depth"].eq(depth).any())
        for cost in ("multiply_adds", "parameters"):
            row[cost] = float(own[cost].iloc[0]) if cost in own else math.nan
        cells[int(str(depth))] = row
    steady = any(row["confirmed"] and not row["collapsed"] for row in cells.values())
    for row in cells.values():
        row["candidate"] = row["confirmed"] and not (steady and row["collapsed"])
    return cells


def margin(cells: dict[int, dict[str, Any]], selection: Selection, depth: int) -> float:
    """Return by how much a cell must be below the best to be distinguished from it."""
    learned = [row["learned"] for row in cells.values() if len(row["learned"]) > 1]
    df = sum(len(own) - 1 for own in learned)
    spread = math.sqrt(sum(float(((own - own.mean()) ** 2).sum()) for own in learned) / df)
    others = sum(row["candidate"] for row in cells.values()) - 1
    error = math.sqrt(1 / cells[int(selection.best["depth"])]["n"] + 1 / cells[depth]["n"])
    return max(many_to_one(others, df, 0.05) * spread * error, selection.least_lead)


@dataclass(frozen=True)
class Claim:
    """A sentence, and the runs that it is checked against."""

    line: str
    cells: dict[int, dict[str, Any]]
    selection: Selection

    @property
    def candidates(self) -> set[int]:
        return {depth for depth, row in self.cells.items() if row["candidate"]}

    @property
    def best(self) -> int:
        return int(self.selection.best["depth"])

    @property
    def chosen(self) -> int:
        return int(self.selection.chosen["depth"])

    @property
    def top(self) -> float:
        return self.mean(self.best)

    def mean(self, depth: int) -> float:
        return float(self.cells[depth]["mean"])

    def cost(self, depth: int, names: Iterable[str]) -> tuple[float, ...]:
        return tuple(self.cells[depth][name] for name in names)

    @property
    def depths(self) -> list[int]:
        return [int(found) for found in re.findall(r"depth=(\d+)", self.line)]

    def margin(self, depth: int) -> float:
        return margin(self.cells, self.selection, depth)


def check_best(claim: Claim, match: re.Match[str]) -> None:
    (depth,) = claim.depths
    candidates = claim.candidates
    assert int(match[1]) == len(candidates) if match[1] else candidates == set(claim.cells)
    assert claim.mean(depth) >= max(map(claim.mean, candidates)) - 1e-9
    assert f", {claim.mean(depth):.4f} over n = {claim.cells[depth]['n']}." in claim.line


def check_left_out(claim: Claim, match: re.Match[str]) -> None:
    left = {depth: row for depth, row in claim.cells.items() if not row["candidate"]}
    steady = not any(claim.cells[depth]["collapsed"] for depth in claim.candidates)
    collapsed = {depth for depth, row in left.items() if row["collapsed"] and steady}
    if "collapsed" in match[1]:
        own = collapsed
    else:
        own = {depth for depth, row in left.items() if not row["confirmed"]} - collapsed
    assert int(match[2]) == len(own)
    (depth,) = claim.depths
    assert depth in own
    assert claim.mean(depth) >= max(map(claim.mean, own)) - 1e-9


def check_unreliable(claim: Claim, match: re.Match[str]) -> None:
    row = claim.cells[claim.depths[0]]
    assert (int(match[1]), int(match[2])) == (row["collapsed"], row["n"])
    assert 0 < row["collapsed"] < row["n"]


def check_no_spread(claim: Claim, _: re.Match[str]) -> None:
    assert all(len(row["learned"]) < 2 for row in claim.cells.values())


def check_worse(claim: Claim, match: re.Match[str]) -> None:
    if match[0].startswith("Every"):
        assert claim.candidates == set(claim.cells)
    assert len(claim.candidates) > 1
    for depth in claim.candidates - {claim.best}:
        assert claim.top - claim.mean(depth) >= claim.margin(depth) - 1e-9


def check_tied(claim: Claim, match: re.Match[str]) -> None:
    assert int(match[1]) == len(claim.candidates)
    equal = [d for d in claim.candidates if claim.top - claim.mean(d) < claim.margin(d) + 1e-12]
    assert int(match[2]) == len(equal) > 1


def check_tied_unconfirmed(claim: Claim, match: re.Match[str]) -> None:
    steady = not any(claim.cells[depth]["collapsed"] for depth in claim.candidates)
    others = {
        depth
        for depth, row in claim.cells.items()
        if not row["confirmed"] and not (steady and row["collapsed"])
    }
    # One comparison for each cell that could be the best, confirmed or not.
    compared = {
        depth: {**row, "candidate": depth in claim.candidates | others}
        for depth, row in claim.cells.items()
    }
    equal = {
        depth
        for depth in others
        if claim.top - claim.mean(depth) < margin(compared, claim.selection, depth) + 1e-12
    }
    assert int(match[1]) == len(equal)
    assert claim.depths
    assert set(claim.depths) <= equal


def check_all_equal(claim: Claim, match: re.Match[str]) -> None:
    assert int(match[1]) == len(claim.cells)
    assert np.ptp([claim.mean(depth) for depth in claim.cells]) < 1e-9


def check_nothing_learned(claim: Claim, match: re.Match[str]) -> None:
    assert all(row["collapsed"] == row["n"] for row in claim.cells.values())
    assert int(match[1]) == sum(row["n"] for row in claim.cells.values())


def check_edge(claim: Claim, match: re.Match[str]) -> None:
    assert int(match[1]) == claim.chosen == {"lowest": min, "highest": max}[match[2]](claim.cells)


def check_choice(claim: Claim, _: re.Match[str]) -> None:
    line, selection, cells, chosen = claim.line, claim.selection, claim.cells, claim.chosen
    assert claim.depths == [chosen]
    limit = claim.top - (selection.standard_error if selection.error_df else 0) - 1e-12
    near = {depth for depth in claim.candidates if claim.mean(depth) >= limit}
    if match := re.search(r"the (\d+) cells (?:within one|with the best)", line):
        assert int(match[1]) == len(near) > 1
    known = [
        name
        for name in ("multiply_adds", "parameters")
        if all(not math.isnan(cells[depth][name]) for depth in near)
    ]
    costs = [claim.cost(depth, known) for depth in near]
    assert claim.cost(chosen, known) == min(costs)
    assert ("the cheapest of" in line) == (len(set(costs)) > 1)
    assert ("not known of all" in line) == (not known and len(near) > 1)
    if "the best cell" in line or "the best of the" in line:
        assert claim.mean(chosen) >= max(map(claim.mean, near)) - 1e-9
    for text, name in (("multiply-adds", "multiply_adds"), ("parameters", "parameters")):
        if match := re.search(rf"([\d,]+) {text}", line):
            assert float(match[1].replace(",", "")) == cells[chosen][name]


def check_passed_over(claim: Claim, _: re.Match[str]) -> None:
    line, compared = claim.line, claim.selection.compared
    for depth in claim.depths:
        row, mean = claim.cells[depth], claim.mean(depth)
        assert claim.cost(depth, compared) < claim.cost(claim.chosen, compared)
        assert f"mean {mean:.4f}" in line
        if claim.selection.error_df:
            assert claim.top - mean < claim.margin(depth) + 1e-9
        if "because a run collapsed" in line:
            assert row["collapsed"]
        if "not confirmed" in line:
            assert not row["confirmed"]
        if "more than one standard error" in line:
            assert mean < claim.top - claim.selection.standard_error + 1e-12
        if "the mean is worse" in line:
            assert mean < claim.top


Check = Callable[[Claim, re.Match[str]], None]
#: How each sentence begins, and how its claims are checked; the last two have none but a figure.
CHECKS: dict[str, Check | None] = {
    r"Best mean(?: of the (\d+) cells that can be chosen)?: ": check_best,
    r"Cells that cannot be chosen because (.*): (\d+)\. ": check_left_out,
    r"Not reliable: .* where (\d+) of (\d+) runs collapsed": check_unreliable,
    r"No cell has two runs that learned": check_no_spread,
    r"Every other cell is worse": check_worse,
    r"Of the cells that can be chosen, every other one is worse": check_worse,
    r"Of the (\d+) cells that can be chosen, (\d+), including the best, cannot": check_tied,
    r"Not confirmed with new seeds, but not distinguished .*: (\d+) \(": check_tied_unconfirmed,
    r"All (\d+) cells have the same mean": check_all_equal,
    r"Nothing was learned: in none of the (\d+) runs": check_nothing_learned,
    r"An optimum .* depth=(\d+), the (lowest|highest) level tried": check_edge,
    r"Chosen: ": check_choice,
    r"Cheaper": check_passed_over,
    r"The standard error of the best mean over seeds is": None,
    r"Differences below": None,
}


@given(selections())
def test_every_claim_about_the_choice_is_true_of_the_runs(
    drawn: tuple[pd.DataFrame, pd.DataFrame | None, Selection],
) -> None:
    runs, among, selection = drawn
    cells = cells_of(runs, among)
    lines = selection_as_text(selection, translator("en"))
    for line in lines:
        ((match, check),) = (
            (found, check)
            for pattern, check in CHECKS.items()
            if (found := re.match(pattern, line))
        )
        if check is not None:
            check(Claim(line, cells, selection), match)
    # The other way round: a cell with a higher mean that was left out is not passed over silently.
    text, claim = " ".join(lines), Claim("", cells, selection)
    assert f"Chosen: the best cell, depth={claim.chosen}." in text or "Chosen: depth=" in text
    for depth in set(cells) - claim.candidates:
        if claim.mean(depth) > claim.top + 1e-9:
            assert "cannot be chosen because" in text


@given(selections())
def test_every_language_says_it_with_the_same_numbers_and_cells(
    drawn: tuple[pd.DataFrame, pd.DataFrame | None, Selection],
) -> None:
    numbers = re.compile(r"\d+\.\d{3,}|depth=\d+|\d{1,3}(?:,\d{3})+")
    found = [
        [sorted(numbers.findall(line)) for line in selection_as_text(drawn[2], translator(name))]
        for name in LANGUAGES
    ]
    assert all(lines == found[0] for lines in found)


@given(selections())
def test_the_table_of_cells_has_the_winner_and_all_of_its_runs(
    drawn: tuple[pd.DataFrame, pd.DataFrame | None, Selection],
) -> None:
    runs, _, selection = drawn
    shown = shown_cells(selection).set_index("depth")
    assert {int(selection.best["depth"]), int(selection.chosen["depth"])} <= set(shown.index)
    for depth, n, mean in zip(shown.index, shown["n"], shown["mean"], strict=True):
        own = runs[runs["depth"].eq(int(depth))]
        assert n == len(own)
        assert math.isclose(mean, own["y"].mean(), rel_tol=1e-9)


def test_a_winner_beyond_the_first_rows_of_the_table_is_still_shown() -> None:
    rows = [{"depth": depth, "y": 1 - depth / 100, "collapsed": depth < 40} for depth in range(60)]
    selection = select(pd.DataFrame(rows), [DEPTH], "y")
    shown = shown_cells(selection)
    assert selection.chosen == {"depth": 40}
    assert 40 in set(shown["depth"])
    assert len(shown) < len(selection.cells)


def test_a_cell_that_was_left_out_is_not_called_worse() -> None:
    # Seen: 0.5750 with a collapsed run, beside "every other cell is worse than that spread".
    rows = [(1, 0.5625, False), (1, 0.5625, False), (2, 0.65, False), (2, 0.5, True)]
    runs = pd.DataFrame([*rows, (3, 0.3, False), (3, 0.31, False)], columns=["depth", "y", "c"])
    selection = select(runs.rename(columns={"c": "collapsed"}), [DEPTH], "y")
    text = " ".join(selection_as_text(selection, translator("en")))
    assert "Best mean of the 2 cells that can be chosen: depth=1, 0.5625" in text
    assert "because a run collapsed: 1. The best mean of these: depth=2, 0.5750 over n = 2." in text
    assert "Every other cell" not in text
    assert "Of the cells that can be chosen, every other one is worse" in text


@given(st.data())
def test_the_rule_of_a_study_chooses_what_the_text_says(data: st.DataObject) -> None:
    sizes = st.sampled_from([math.nan, 1000.0, 2000.0, 3000.0])
    rows = [
        {"depth": depth, "val_loss": data.draw(FIGURES), "parameters": data.draw(sizes)}
        for depth in range(1, data.draw(st.integers(1, 6)) + 1)
    ]
    within = data.draw(st.sampled_from([None, 0.01, 0.1]))
    pick = Pick("parameters", within, None if within else data.draw(st.sampled_from([999, 2000])))
    selection = select(pd.DataFrame(rows), [DEPTH], "val_loss", pick=pick)
    text = " ".join(selection_as_text(selection, translator("en")))
    loss = {row["depth"]: float(row["val_loss"]) for row in rows}
    size = {row["depth"]: float(row["parameters"]) for row in rows}
    chosen, lowest = int(selection.chosen["depth"]), min(loss.values())
    if within:
        allowed = [depth for depth in loss if loss[depth] <= lowest + within + 1e-9]
        assert "Chosen by the rule of the study: " in text
    else:
        allowed = [depth for depth in size if size[depth] <= (pick.at_most or 0)]
        assert ("No cell that can be chosen has parameters of at most" in text) == (not allowed)
        out = len(loss) - len(allowed)
        left_out = f"above the limit of the study, or not known: {out}." in text
        assert left_out == bool(allowed and out)
    if within or not allowed:
        known = [size[depth] for depth in allowed or size if not math.isnan(size[depth])]
        assert not known or size[chosen] == min(known)
    else:
        assert loss[chosen] == min(loss[depth] for depth in allowed)
    assert f"depth={chosen}" in text
    assert f"mean {loss[chosen]:.4f}" in text


@given(
    st.floats(-0.3, 0.3),
    st.floats(0, 0.05),
    st.one_of(st.just(math.nan), st.floats(0.0001, 0.05)),
    st.integers(2, 20_000),
    st.sampled_from(LANGUAGES),
)
def test_the_lead_is_said_with_the_figures_that_are_known(
    size: float, pictures: float, seeds: float, n: int, language: str
) -> None:
    both = math.hypot(seeds, pictures)
    low, high = size - 2 * both, size + 2 * both
    lead = Lead({"depth": 3}, size, seeds, pictures, both, 5.0, low, high, n, 0.05)
    (text,) = lead_as_text(lead, translator(language))
    assert "depth=3" in text
    assert f"{n:,}" in text
    said = f"{abs(size):.4f}"
    # A lead that is 0 in all decimals that are shown is neither ahead nor behind.
    assert (said in text) or float(said) == 0
    if language == "en":
        ahead, behind = " above that of " in text, " below that of " in text
        assert (ahead, behind) == ((False, False) if float(said) == 0 else (size > 0, size < 0))
        assert ("over seeds it is unknown" in text) == math.isnan(seeds)
    assert "nan" not in text
    assert (f"{both:.4f}" in text) or math.isnan(seeds)


def test_without_stored_answers_nothing_is_said_of_other_pictures() -> None:
    assert lead_as_text(None, translator("en")) == []
    assert active_over_pictures_as_text(None, ("depth",), translator("en")) == []


def test_active_effects_have_both_of_their_standard_errors() -> None:
    columns = ["effect", "seeds", "pictures", "both", "df", "ci_low", "ci_high"]
    rows = [[0.05, 0.01, 0.008, 0.0125, 9, 0.02, 0.08], [-0.09, 0.01, 0.007, 0.0118, 9, 0, 0]]
    terms = pd.DataFrame(rows, index=["depth", "rate"], columns=columns)
    found = OverPictures(terms, 1499, 16, 0.05, trained_twice=True)
    say = translator("en")
    (text,) = active_over_pictures_as_text(found, ("depth", "depth:rate"), say)
    assert text.endswith("other seeds they are: depth 0.0125 instead of 0.0100.")
    assert "these 1,499 validation images" in text
    # Nothing is active: the largest effect.
    (text,) = active_over_pictures_as_text(found, (), say)
    assert text.endswith("they are: rate 0.0118 instead of 0.0100.")
    unknown = replace(found, terms=terms.assign(seeds=math.nan, both=math.nan))
    # Seen: 0.0018 "over seeds", from one degree of freedom of a screen without replicates.
    for unreplicated in (unknown, replace(found, tested=False)):
        (text,) = active_over_pictures_as_text(unreplicated, ("rate",), say)
        assert text.endswith("over other images of the same kind are: rate 0.0070.")
