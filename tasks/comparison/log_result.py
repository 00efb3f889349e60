"""Logging the result of a comparison to MLflow, which then has all of it."""

import json
import math

from analysis.comparison import summary
from analysis.factors import show
from tasks.comparison.page import comparison_as_page, comparison_figures
from tasks.comparison.race import RaceResult
from tasks.comparison.request import ComparisonOptions
from tasks.comparison.result import (
    FOLDER,
    ComparisonResult,
    comparison_as_json,
)
from tasks.tracking.artifact_paths import PICTURES
from tasks.tracking.execution import Execution
from tasks.tracking.search_runs import log_search


def log_comparison(
    execution: Execution, race: RaceResult, options: ComparisonOptions, target: float | None
) -> ComparisonResult:
    """Log the searches of a comparison and its result to MLflow, and return the result.

    Parameters
    ----------
    execution : of the comparison.
    race : every run of every search, and the delivered cells.
    options : the size of the comparison.
    target : a response to be reached; None for one that half of the searches reached.
    """
    if target is not None:
        # The race has the negative of a loss.
        target *= execution.study.measured.sign
    else:
        target = summary.default_target(summary.curves(race.searches, execution.study.response))
    run_id = execution.run_id
    tracking = {"tracking_uri": execution.tracker.settings.tracking_uri, "run_id": run_id}
    pictures = execution.tracker.read_json(run_id, PICTURES)
    images = sum(sum(side) for side in pictures["counts"].values())
    result = ComparisonResult(execution.study, options, images, race, target, tracking)
    _log_searches(execution, result)
    texts = {
        "searches.csv": race.searches.to_csv(index=False),
        "delivered.csv": race.delivered.to_csv(index=False),
        "comparison.json": json.dumps(comparison_as_json(result), indent=1),
    }
    for name, text in texts.items():
        execution.writer.log_text(run_id, text, f"{FOLDER}/{name}")
    figures = comparison_figures(result)
    execution.writer.log_figures(run_id, {f"{FOLDER}/{name}.png": f for name, f in figures.items()})
    execution.writer.log_text(run_id, comparison_as_page(result), f"{FOLDER}/comparison.html")
    return result


def _log_searches(execution: Execution, result: ComparisonResult) -> None:
    """Log one MLflow run per search, with its curves."""
    factors = [f.name for f in result.study.factor_list]
    budget = result.options.budget
    searches = dict(iter(result.curve.groupby(["tuner", "repetition"], sort=False)))
    for delivered in result.race.delivered.to_dict("records"):
        tuner, repetition = delivered["tuner"], delivered["repetition"]
        rows = searches[(tuner, repetition)]
        params = {
            "tuner": tuner,
            "repetition": repetition,
            "budget": budget,
            "delivered": "/".join(show(delivered[name]) for name in factors),
        }
        curves = {
            "best_so_far": rows["best"].tolist(),
            "training_seconds": rows["seconds"].tolist(),
        }
        if not math.isnan(delivered["fresh"]):
            curves["fresh"] = [float(delivered["fresh"])]
        # The budget is in the name: a later comparison with another budget is another search.
        log_search(execution, f"{tuner}, {budget} runs #{repetition}", params, curves)
