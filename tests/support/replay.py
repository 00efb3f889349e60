"""A replay of a study's search on the figures that its flow had."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.comparison.replay import run_search
from analysis.comparison.tuners import RESPONSE, carry_out
from analysis.search.space import Cell, Space
from tasks.search.confirm import select_cell
from tasks.study.study_file import Study
from tasks.tracking.execution import Execution

STAGES = ("pilot", "screen", "refine", "confirm")
#: What a study knows of its runs besides the response.
KNOWN = ["collapsed", "train_seconds", "parameters", "multiply_adds"]


def check_replay(study: Study, execution: Execution) -> None:
    """Check that a replay asks for the flow's cells, stage by stage, and selects the same one.

    Parameters
    ----------
    study : as its file has it, with the pilot that the execution has behind it.
    """
    runs = execution.runs()
    names = list(study.factors)
    levels = {name: sorted(set(runs[name])) for name in names}
    space = Space(study.factor_list, tuple(tuple(own) for own in levels.values()))
    keys = [*names, "replicate"]
    figures = {tuple(row[keys]): row[study.response] for _, row in runs.iterrows()}
    asked: Counter[Cell] = Counter()

    def answer(cell: Cell) -> float:
        asked[cell] += 1
        # Another cell or seed than the flow's has no figure: a KeyError fails the test.
        return float(figures[(*space.natural(cell).values(), asked[cell])])

    def complete(table: pd.DataFrame) -> pd.DataFrame:
        return table.merge(runs[[*keys, *KNOWN]], on=keys, how="left")

    rules = replace(study.rules, response=RESPONSE)
    history, delivered = run_search(carry_out(rules, space, len(runs), complete), answer)
    assert len(history) == len(runs)
    start = 0
    for stage in STAGES:
        own = runs[runs["stage"] == stage]
        rows: list[Any] = own[names].to_dict("records")
        cells = Counter(cell for cell, _ in history[start : start + len(own)])
        assert cells == Counter(space.cell(row) for row in rows), stage
        start += len(own)
    assert start == len(runs)
    chosen = select_cell(study, runs, execution.facts.validation_images).chosen
    assert space.natural(delivered) == chosen
