"""What MLflow's own pages show of a finished study: its run, its replicates and its views."""

import math
from collections.abc import Iterable

from analysis.effects.result import Effects
from analysis.factors import show
from analysis.search.best_cell import is_cell
from analysis.search.procedure import full_length
from tasks.report.markdown import run_note
from tasks.report.outcome import Outcome
from tasks.tracking.execution import Execution
from tasks.tracking.tags import VERDICT
from tasks.tracking.views import prepare_views

#: Values of the tag `VERDICT`.
WINNER, TIED = "winner", "cannot be distinguished from the best"


def describe_in_mlflow(execution: Execution, outcome: Outcome) -> None:
    """Log a study's findings where MLflow's pages show them at the first look.

    Its parent run gets a description, the winner's levels as params and its figures as metrics; the
    replicates of the winner and of the cells that cannot be distinguished from the best get a tag;
    the chart of two factors gets those with the largest effects.
    """
    execution.writer.log(execution.run_id, tags={"mlflow.note.content": run_note(outcome)})
    if outcome.nothing_learned is None:
        _log_winner(execution, outcome)
        _tag_replicates(execution, outcome)
    leading = leading_factors(outcome)
    prepare_views(
        execution.tracker, execution.experiment, execution.run_id, execution.study, leading
    )


def leading_factors(outcome: Outcome) -> list[str]:
    """Return the names of the factors that do most: by their effects, or around the chosen cell."""
    if outcome.effects is not None:
        return largest_effects(outcome.effects)
    return _largest_first((change.factor, change.difference) for change in outcome.changes)


def largest_effects(effects: Effects) -> list[str]:
    """Return the names of the factors by the size of their main effects, the largest first."""
    names = {factor.name for factor in effects.factors}
    # The name of a contrast of a category begins with that of its factor.
    terms = ((str(term).partition("[")[0], size) for term, size in effects.terms["effect"].items())
    return _largest_first((name, x) for name, x in terms if name in names and math.isfinite(x))


def _largest_first(sizes: Iterable[tuple[str, float]]) -> list[str]:
    """Return names by the largest absolute value that each one has, the largest first."""
    largest: dict[str, float] = {}
    for name, size in sizes:
        largest[name] = max(largest.get(name, 0.0), abs(size))
    return sorted(largest, key=lambda name: -largest[name])


def _log_winner(execution: Execution, outcome: Outcome) -> None:
    """Log the winner's levels and figures to the parent run."""
    selection, response = outcome.selection, outcome.study.response
    row = selection.row(selection.chosen)
    figures = {response: row["mean"], "winner_runs": row["n"], "winner_sd": row["sd"]}
    # MLflow never changes a param: a study may have one of the name of a factor.
    given = execution.tracker.client.get_run(execution.run_id).data.params
    levels = {name: show(level) for name, level in selection.chosen.items()}
    execution.writer.log(
        execution.run_id,
        params={name: level for name, level in levels.items() if name not in given},
        metrics={name: float(x) for name, x in figures.items() if math.isfinite(x)},
    )


def _tag_replicates(execution: Execution, outcome: Outcome) -> None:
    """Tag the replicates of the winner, and of the cells that cannot be distinguished from it."""
    selection, children = outcome.selection, execution.children()
    table = execution.table(children)
    # Only trainings of full length were compared.
    compared = full_length(execution.study.rules, table)
    verdicts = dict.fromkeys(table["run_id"], "")
    for levels in compared.to_dict("records"):
        if is_cell(levels, selection.chosen):
            verdicts[levels["run_id"]] = WINNER
        elif any(is_cell(levels, cell) for cell in selection.tied):
            verdicts[levels["run_id"]] = TIED
    if outcome.final is not None and outcome.final.is_better:
        verdicts[outcome.final.run_id] = WINNER
    # A study that was resumed at its very end may have tags already.
    tagged = {run.info.run_id: run.data.tags.get(VERDICT, "") for run in children}
    for run_id, verdict in verdicts.items():
        if verdict != tagged[run_id]:
            execution.writer.log(run_id, tags={VERDICT: verdict})
