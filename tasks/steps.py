"""Every Prefect task of the flows: one short function each.

What a step does is in the rooms; here it gets its name in Prefect's pages, its retries, and nothing
else. MLflow remembers what was done, so that no step is cached or stored by Prefect: its caches
would point at files that are no longer there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from prefect import task, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from analysis.effects.result import Effects
from analysis.search.best_cell import Selection
from analysis.search.procedure import NextCells
from analysis.search.refined_grid import Decision
from tasks.comparison.log_result import log_comparison
from tasks.comparison.race import RaceResult
from tasks.comparison.request import ComparisonOptions
from tasks.comparison.result import ComparisonResult, rows_as_json
from tasks.data.dataset import Prepared
from tasks.errors import RetryableError
from tasks.languages import counted
from tasks.registry.register import Registered, register_winner
from tasks.report.mlflow_pages import describe_in_mlflow
from tasks.report.outcome import Outcome
from tasks.report.prefect_artifacts import publish_artifacts, publish_screen, publish_table
from tasks.report.publish import log_outcome
from tasks.report.stop_study import log_nothing_learned, nothing_learned_error
from tasks.report.text import screen_as_text
from tasks.search.confirm import choose_cell, plan_confirm
from tasks.search.final import plan_final
from tasks.search.pilot import narrow_levels
from tasks.search.prepare import prepare_images
from tasks.search.refine import Cells, log_decision, next_refined_cells, stored_first
from tasks.search.screen import analyse_screen
from tasks.search.stages import refined_at_once
from tasks.search.suspects import Suspects, find_suspects
from tasks.session import Session, with_all_cores
from tasks.study.replicates import Planned
from tasks.tracking.execution import Execution
from tasks.training.cluster import ExecutionDescription, train_for_execution
from tasks.training.context import TrainingContext
from tasks.training.train_replicate import train_replicate, training_cost
from tasks.wording.terminal import text_width


@task(name="prepare", cache_policy=NO_CACHE, persist_result=False)
def prepare(session: Session) -> Prepared:
    """Find or draw the pictures, validate them, and decode them once."""
    what = "drawing" if session.study.data.source is None else "preparing"
    session.progress.print_line(f"{what} the pictures")
    return prepare_images(session.study, session.tracker, session.progress)


def worth_a_retry(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failure may pass by itself: the process died, not the training."""
    return isinstance(state.result(raise_on_failure=False), RetryableError)


@task(
    name="train",
    task_run_name="{planned.name}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_condition_fn=worth_a_retry,
)
def train(planned: Planned, context: TrainingContext) -> str | None:
    """Train one replicate on this machine and return its run's id; None if its cell failed."""
    return train_replicate(planned, context)


@task(
    name="train",
    task_run_name="{planned.name}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_condition_fn=worth_a_retry,
)
def train_there(planned: Planned, description: ExecutionDescription) -> str | None:
    """Train one replicate on a machine of the cluster, and return its run's id."""
    return train_for_execution(planned, description)


def train_stage(context: TrainingContext, planned: Iterable[Planned]) -> list[str]:
    """Train a stage's replicates in parallel, longest first; return the ids of the finished runs.

    A replicate that failed has no id; the analysis names its cell.
    """
    todo = sorted({p.key: p for p in planned}.values(), key=training_cost, reverse=True)
    if not todo:
        return []
    at_once = refined_at_once(context.study.rules) if todo[0].stage == "refine" else None
    context.progress.stage(todo[0].stage, len(todo), at_once=at_once)
    batches = [todo]
    if todo[0].stage == "refine" and context.study.refine.prune:
        # The median of early stopping counts stored replicates, from the first epoch trained here.
        batches = stored_first(context.execution, todo)
    trained = [run_id for batch in batches if batch for run_id in _train_together(context, batch)]
    if context.handover is not None:
        context.handover.write_jobs(context.images.arrays_folder)
    return trained


def _train_together(context: TrainingContext, todo: Sequence[Planned]) -> list[str]:
    if context.remote is not None:
        return context.remote.train(todo, context)
    futures = train.map(todo, unmapped(context))
    return [run_id for future in futures if (run_id := future.result()) is not None]


@task(name="narrow levels", cache_policy=NO_CACHE, persist_result=False)
def narrow(context: TrainingContext) -> TrainingContext:
    """Put the screen's levels where the pilot found that networks learn."""
    study = narrow_levels(context.execution)
    return replace(context, execution=replace(context.execution, study=study))


@task(name="analyse", cache_policy=NO_CACHE, persist_result=False)
def analyse(context: TrainingContext) -> Effects | None:
    """Fit the effects model to the screen, as MLflow has it; None without a two-level one."""
    return None if context.study.rules.design is None else analyse_screen(context.execution)


@task(name="decide", cache_policy=NO_CACHE, persist_result=False)
def decide(context: TrainingContext, effects: Effects | None) -> Decision | None:
    """Decide the refined grid, if there are effects; show them and the decision at once."""
    if effects is None:
        return None
    decision = log_decision(context.execution, effects)
    with text_width(context.progress.columns):
        text = screen_as_text(effects, decision, context.study)
    context.progress.print_text(text)
    publish_screen(context.study, effects, decision)
    return decision


@task(name="stop if nothing learned", cache_policy=NO_CACHE, persist_result=False)
def stop_if_nothing_learned(context: TrainingContext) -> None:
    """End a study in which no network learned so far, with what to change; else do nothing."""
    outcome = log_nothing_learned(context.execution)
    if outcome is not None and outcome.nothing_learned is not None:
        publish_artifacts(context.execution, outcome)
        raise nothing_learned_error(outcome, outcome.nothing_learned)


@task(name="next cells", cache_policy=NO_CACHE, persist_result=False)
def next_cells(context: TrainingContext, decision: Decision | None, last: Cells = ()) -> NextCells:
    """Return the next cells of the refinement; none where it has ended."""
    return next_refined_cells(context.execution, decision, last)


@task(name="cells to confirm", cache_policy=NO_CACHE, persist_result=False)
def cells_to_confirm(context: TrainingContext) -> list[Planned]:
    """Plan fresh seeds for the cells that the search could not distinguish."""
    return plan_confirm(context.execution)


@task(name="choose", cache_policy=NO_CACHE, persist_result=False)
def choose(context: TrainingContext) -> Selection:
    """Choose the best cell, and name those that cannot be distinguished from it."""
    return choose_cell(context.execution)


def train_final(context: TrainingContext, selection: Selection) -> None:
    """Train the chosen cell once more with more epochs, if the study asks for it."""
    planned = plan_final(context.execution, selection)
    if planned:
        with with_all_cores(context) as whole:
            train_stage(whole, planned)


@task(name="suspects", cache_policy=NO_CACHE, persist_result=False)
def suspects(context: TrainingContext) -> Suspects | None:
    """Rank the pictures whose label may be wrong."""
    found = find_suspects(context.execution, context.arrays)
    if found is not None:
        context.progress.print_line(
            f"suspects: {counted(len(found.found), 'picture')} that several good cells classify "
            "wrongly with a high probability; see suspects/ of the study's run"
        )
    return found


@task(name="register", cache_policy=NO_CACHE, persist_result=False)
def register(context: TrainingContext, selection: Selection) -> Registered:
    """Register the winner's network, and make it champion if it beats today's."""
    context.progress.print_line("registering the winner's network")
    return register_winner(context.execution, context.arrays, selection)


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def report(context: TrainingContext) -> Outcome:
    """Gather the findings from MLflow, and log them as text and as a page."""
    context.progress.print_line("writing the report")
    return log_outcome(context.execution)


@task(name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish(execution: Execution, outcome: Outcome) -> None:
    """Leave effects, decision and winner in Prefect's pages; a stored study gets its views."""
    if not execution.has_views:
        describe_in_mlflow(execution, outcome)
    publish_artifacts(execution, outcome)


@task(name="conclude", cache_policy=NO_CACHE, persist_result=False)
def conclude(
    context: TrainingContext, race: RaceResult, options: ComparisonOptions, target: float | None
) -> ComparisonResult:
    """Log the result of a comparison, and publish its table in Prefect's pages."""
    result = log_comparison(context.execution, race, options, target)
    about = f"Tuners on the same cells, {options.budget} runs each."
    publish_table(result.study.name, "comparison", rows_as_json(result.summary), about)
    return result
