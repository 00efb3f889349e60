"""The procedure of a study, as one Prefect flow.

Pilot, screen, fit, decide, refine, confirm, train the winner longer, register.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast

from prefect import flow
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic.json_schema import SkipJsonSchema

from analysis.search.procedure import NextCells
from tasks import steps
from tasks.planning.minutes import mean_lengths, resolve_size
from tasks.report.outcome import Outcome, outcome_of
from tasks.report.prefect_artifacts import Help, on_failure, run_name
from tasks.search.pilot import plan_pilot
from tasks.search.refine import plan_cells, stepwise_trained
from tasks.search.screen import plan_screen
from tasks.search.stages import stage_costs, study_as_line
from tasks.session import open_session, open_training, with_default_response
from tasks.study.study_file import Study
from tasks.tracking.execution import finished_execution
from tasks.training.context import TrainingContext
from tasks.training.devices import available_devices


# At most 8 threads: MLflow's database works well with 12 parallel writers, and badly with 16.
@flow(
    name="search",
    flow_run_name=run_name,
    task_runner=cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=8)),
    on_failure=[on_failure],
    on_crashed=[on_failure],
    on_cancellation=[on_failure],
)
def search(
    study: Annotated[Study, Help("What to vary, how to train, and on which images.")],
    elsewhere: SkipJsonSchema[Path | None] = None,
) -> Outcome:
    """Find the best cell of a study and register its network.

    Parameters
    ----------
    study : what to vary, how to train, and on which pictures.
    elsewhere : a folder by which another machine trains; see `tasks.training.handover`. Only the
        command line has it: the form of a deployment does not.
    """
    with open_session(study, elsewhere) as opened:
        opened.progress.print_line(study_as_line(opened.study))
        images = steps.prepare(opened)
        # A finished study stays as it is, whatever this version would take as its response.
        done = finished_execution(opened.tracker, opened.study, images.version)
        session = with_default_response(opened, images)
        done = done or finished_execution(session.tracker, session.study, images.version)
        if done is not None:
            done.end_dead_ones(watch=True)
            session.progress.print_line(f"nothing to train: run {done.run_id} has the whole study")
            outcome = outcome_of(done)
            steps.publish(done, outcome)
            return outcome
        sized = resolve_size(session.study, session.tracker, session.progress, images.version)
        with open_training(
            replace(session, study=sized),
            images,
            elsewhere=elsewhere,
            remote_task=steps.train_there,
        ) as context:
            _begin_progress(context)
            return procedure(context)


def _begin_progress(context: TrainingContext) -> None:
    """Tell the progress display how many trainings the study has, and how long they are."""
    study = context.study
    costs = stage_costs(study, study.rules)
    sizes = {cost.stage: cost.most for cost in costs}
    if "refine" in sizes:
        sizes["refine"] = max(sizes["refine"] - stepwise_trained(context.execution), 0)
    lengths = mean_lengths(costs, available_devices(study.parallel))
    context.progress.begin_study(sizes, study.response, lengths)


def procedure(context: TrainingContext) -> Outcome:
    """Carry out the stages of a study; each one reads the results of the ones before in MLflow."""
    steps.train_stage(context, plan_pilot(context.study, context.version))
    context = steps.narrow(context)

    steps.train_stage(context, plan_screen(context.study, context.version))
    effects = steps.analyse(context)
    decision = steps.decide(context, effects)
    # After short trainings it is too early to say; then it is asked after the refinement.
    short = context.study.rules.short is not None
    if not short:
        steps.stop_if_nothing_learned(context)

    found = steps.next_cells(context, decision)
    rounds = context.study.rules.steps
    while found.cells and rounds:
        steps.train_stage(context, plan_cells(context.study, context.version, found))
        rounds -= 1
        found = steps.next_cells(context, decision, found.cells) if rounds else NextCells()
    if short:
        steps.stop_if_nothing_learned(context)

    steps.train_stage(context, steps.cells_to_confirm(context))
    selection = steps.choose(context)
    steps.train_final(context, selection)

    steps.suspects(context)
    steps.register(context, selection)
    outcome = steps.report(context)
    steps.publish(context.execution, outcome)
    return outcome
