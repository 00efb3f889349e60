"""The screen: its replicates, and the effects that are fitted to its runs."""

from typing import Any

import pandas as pd

from analysis.effects.fit import fit_effects
from analysis.effects.result import Effects
from analysis.errors import AnalysisError
from analysis.plots.effects import effect_figures
from analysis.search import procedure
from tasks.errors import UserError
from tasks.languages import translator
from tasks.study.replicates import Planned, plan
from tasks.study.study_file import Study
from tasks.tracking.execution import Execution
from tasks.wording.effects import effects_as_text

COST = "train_seconds"


def plan_screen(study: Study, version: str) -> list[Planned]:
    """Return the replicates of the two-level design, full or a fraction, in random order."""
    return plan(study, version, "screen", procedure.screen_runs(study.rules))


def analyse_screen(execution: Execution) -> Effects:
    """Fit the effects model to the screen's runs in MLflow; log tables and figures.

    Raises
    ------
    UserError
        If no cell of the screen finished.
    """
    study = execution.study
    runs = execution.runs("screen")
    effects = analyse_runs(study, runs)
    execution.writer.log_text(execution.run_id, runs.to_csv(index=False), "screen/runs.csv")
    text = effects_as_text(effects, translator("en"))
    execution.writer.log_text(execution.run_id, text, "screen/effects.txt")
    execution.writer.log_text(execution.run_id, effects.terms.to_csv(), "screen/effects.csv")
    execution.writer.log_figures(execution.run_id, screen_figures(effects))
    execution.writer.log_text(execution.run_id, cost_as_text(study, runs), "screen/cost.txt")
    return effects


def cost_as_text(study: Study, runs: pd.DataFrame) -> str:
    """Return the effects on the seconds of training as text: cost is a response, too."""
    try:
        effects = fit_effects(runs, study.factor_list, COST, alpha=study.alpha)
    except AnalysisError as error:
        return f"no effects on {COST}: {error}"
    return effects_as_text(effects, translator("en"))


def analyse_runs(study: Study, runs: pd.DataFrame) -> Effects:
    """Fit the effects model to the replicates of a screen.

    Raises
    ------
    UserError
        If at most one of them finished.
    """
    finished = int(runs[study.response].notna().sum())
    if finished < 2:  # noqa: PLR2004 # two runs make a difference
        what = "only one cell" if finished else "no cell"
        raise UserError(
            f"study {study.name}: {what} of the screen has a finished run; read the descriptions "
            "of the failed runs in MLflow (`factorgrid ui`), correct the cause, and run it again"
        )
    return procedure.screen_effects(study.rules, runs)


def screen_figures(effects: Effects) -> dict[str, Any]:
    """Return the figures of the screen by artifact path.

    If a level of a factor always collapses, the runs at the other level have figures of their own.
    """
    return {f"screen/{name}.png": figure for name, figure in effect_figures(effects).items()}
