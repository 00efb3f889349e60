"""Reading a stage's runs back from MLflow, and what follows from them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from analysis import plots
from analysis.decision import Decision, decide, explain, move_outward
from analysis.design import fractional_factorial, full_factorial
from analysis.effects import Effects, fit_effects
from analysis.errors import AnalysisError
from analysis.report import effects_table
from analysis.selection import Selection, select
from models.spec import Scalar
from tasks.errors import UserError
from tasks.plan import Planned, grid_cells, plan, planned
from tasks.process import propose, star_cells, step_uphill
from tasks.study import Study
from tasks.tracking import Execution

COST = "train_seconds"
Cells = Sequence[Mapping[str, Scalar]]


def plan_screen(study: Study, version: str) -> list[Planned]:
    """Return the replicates of the two-level design, whole or a fraction, in random order."""
    factors, chosen = study.factor_list, study.design
    # A function each: of one or two factors there is no fraction to ask for.
    build = partial(fractional_factorial, runs=chosen.n_runs) if chosen.p else full_factorial
    design = build(
        factors,
        replicates=study.replicates,
        centre_points=study.centre_points,
        seed=study.seed,
    )
    names = [factor.name for factor in study.factor_list]
    return [
        planned(
            study,
            version,
            "screen",
            {name: row[name] for name in names},
            int(row["replicate"]),
            centre=bool(row["centre"]),
        )
        for row in design.cells.to_dict("records")
    ]


def plan_cells(study: Study, version: str, cells: Cells) -> list[Planned]:
    """Return the replicates of refining cells; those of the screen's cells are trained already."""
    replicates = study.refine.replicates or study.replicates
    return plan(study, version, "refine", cells, range(1, replicates + 1))


def plan_confirm(study: Study, version: str, selection: Selection) -> list[Planned]:
    """Return fresh seeds for the cells that cannot be told apart; none where one cell leads."""
    cells = candidates(selection, study)
    first = 1 + max(study.replicates, study.refine.replicates or 0)
    numbers = range(first, first + study.confirm.replicates)
    return plan(study, version, "confirm", cells, numbers) if len(cells) > 1 else []


def candidates(selection: Selection, study: Study) -> list[dict[str, Scalar]]:
    """Return the best cells that cannot be told apart, at most as many as the study confirms."""
    return [dict(cell) for cell in selection.tied[: study.confirm.cells]]


@task(name="analyse", cache_policy=NO_CACHE, persist_result=False)
def analyse(execution: Execution) -> Effects:
    """Fit the effects model to the screen, as MLflow has it; log table and plots.

    Raises
    ------
    UserError
        If no cell of the screen finished.
    """
    study = execution.study
    runs = execution.runs("screen")
    effects = analyse_runs(study, runs)
    execution.log_text(execution.run_id, runs.to_csv(index=False), "screen/runs.csv")
    execution.log_text(execution.run_id, effects_table(effects), "screen/effects.txt")
    execution.log_text(execution.run_id, effects.terms.to_csv(), "screen/effects.csv")
    execution.log_figures(execution.run_id, screen_figures(effects))
    execution.log_text(execution.run_id, cost_in_words(study, runs), "screen/cost.txt")
    return effects


def cost_in_words(study: Study, runs: pd.DataFrame) -> str:
    """Return what the factors do to the seconds of training: cost is a response too."""
    try:
        effects = fit_effects(runs, study.factor_list, COST, alpha=study.alpha)
    except AnalysisError as error:
        return f"no effects on {COST}: {error}"
    return effects_table(effects)


def analyse_runs(study: Study, runs: pd.DataFrame) -> Effects:
    """Fit the effects model to replicates of a screen.

    Raises
    ------
    UserError
        If none of them finished.
    """
    if runs[study.response].notna().sum() == 0:
        raise UserError(
            f"study {study.name}: no cell of the screen has a finished run; look at the failed "
            "runs' descriptions in MLflow (`factorgrid ui`), mend, and run the command again"
        )
    return fit_effects(runs, study.factor_list, study.response, alpha=study.alpha)


def screen_figures(effects: Effects) -> dict[str, Any]:
    """Draw the screen, and its working half where a level always collapses, by artifact path."""
    return {f"screen/{name}.png": figure for name, figure in plots.figures(effects).items()}


@task(name="decide", cache_policy=NO_CACHE, persist_result=False)
def decide_grid(execution: Execution, effects: Effects) -> Decision:
    """Decide the refined grid; log it with its reasons, as data and in words."""
    decision = decide(effects, budget=execution.study.refine.grid_budget)
    execution.log_text(execution.run_id, to_json(decision), "decision.json")
    words = "\n".join(explained(execution.study, decision))
    execution.log_text(execution.run_id, words, "decision.txt")
    return decision


def explained(study: Study, decision: Decision) -> list[str]:
    """Return a decision in words, with how its neighbourhood is searched."""
    n = study.refine.budget
    where = "from the screen's levels and what lies around the better ones"
    match study.refine.method:
        case "gp":
            how = f"a Gaussian process on the runs so far chooses {n} cells, one at a time, {where}"
        case "surface":
            how = (
                f"{n} cells {where}: the centre and the axial points of that region, then one at a "
                "time where a second-order model of the runs so far is highest"
            )
        case _:
            return explain(decision)
    return [*explain(decision)[:-1], how]


@task(name="first", cache_policy=NO_CACHE, persist_result=False)
def first_cells(execution: Execution, decision: Decision) -> Cells:
    """Return the decided grid's cells, the process's first one, or the surface's star."""
    match execution.study.refine.method:
        case "gp":
            return propose(execution, decision)
        case "surface":
            return star_cells(execution.study, decision)
        case _:
            return grid_cells(decision.grid)


@task(name="move", cache_policy=NO_CACHE, persist_result=False)
def next_cells(execution: Execution, decision: Decision, last: Cells) -> Cells:
    """Return the grid moved outward, where its best cell lies on an edge; or the next cell.

    Nothing where the search is at its end.
    """
    study = execution.study
    match study.refine.method:
        case "gp":
            return propose(execution, decision)
        case "surface":
            return step_uphill(execution, decision)
        case _:
            best = select(execution.runs("refine"), study.factor_list, study.response).best
            grid = {name: tuple(dict.fromkeys(cell[name] for cell in last)) for name in last[0]}
            moved = move_outward(grid, best, study.factor_list)
            return grid_cells(moved) if moved else []


@task(name="choose", cache_policy=NO_CACHE, persist_result=False)
def choose(execution: Execution) -> Selection:
    """Choose a cell as cheap as any within one standard error of the best; log why."""
    runs = execution.runs()
    selection = selection_of(execution.study, runs, execution.facts.validation_images)
    execution.log_text(execution.run_id, runs.to_csv(index=False), "runs.csv")
    execution.log_text(execution.run_id, selection.cells.to_csv(index=False), "cells.csv")
    return selection


def selection_of(study: Study, runs: pd.DataFrame, images: int | None = None) -> Selection:
    """Choose among the cells that were confirmed on fresh seeds; before that, among all."""
    confirmed = runs[runs["stage"] == "confirm"]
    return select(
        runs,
        study.factor_list,
        study.response,
        alpha=study.alpha,
        among=confirmed if len(confirmed) else None,
        images=images,
    )


def to_json(value: object) -> str:
    """Return a decision, or any data of ours, as JSON text that reads well."""
    return json.dumps(value, default=_plain, indent=2, ensure_ascii=False)


def _plain(value: Any) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
