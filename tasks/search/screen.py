"""Reading a stage's runs back from MLflow, and what follows from them."""

from typing import Any

import pandas as pd

from analysis.effects.fit import fit_effects
from analysis.effects.result import Effects
from analysis.effects.text import effects_table
from analysis.errors import AnalysisError
from analysis.plots.effects import effect_figures
from analysis.search import procedure
from tasks.errors import UserError
from tasks.study.replicates import Planned, plan
from tasks.study.study_file import Study
from tasks.tracking.execution import Execution

COST = "train_seconds"


def plan_screen(study: Study, version: str) -> list[Planned]:
    """Return the replicates of the two-level design, full or a fraction, in random order."""
    return plan(study, version, "screen", procedure.screen_runs(study.rules))


def analyse_screen(execution: Execution) -> Effects:
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
    return procedure.screen_effects(study.rules, runs)


def screen_figures(effects: Effects) -> dict[str, Any]:
    """Draw the screen, and its working half where a level always collapses, by artifact path."""
    return {f"screen/{name}.png": figure for name, figure in effect_figures(effects).items()}
