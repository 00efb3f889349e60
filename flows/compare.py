"""Comparing tuners on the cells of a study, which are trained, as one Prefect flow."""

from typing import Any, cast

from prefect import flow
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from tasks import steps
from tasks.comparison.entrants import entrants, space_of
from tasks.comparison.race import race
from tasks.comparison.request import ComparisonOptions, check_options
from tasks.comparison.result import Comparison
from tasks.report.prefect_artifacts import on_failure
from tasks.session import open_session, open_training
from tasks.study.study_file import Study


@flow(
    name="compare",
    task_runner=cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=8)),
    on_failure=[on_failure],
    on_crashed=[on_failure],
    on_cancellation=[on_failure],
)
def compare(
    study: Study,
    budget: int,
    repetitions: int = 3,
    fresh: int = 2,
    tuners: tuple[str, ...] = (),
    target: float | None = None,
) -> Comparison:
    """Let this procedure and other tuners search the cells of a study with the same budget.

    Parameters
    ----------
    study : the factors with their levels, the training settings and the pictures.
    budget : runs per search.
    repetitions : searches per tuner, with different seeds.
    fresh : trainings of each cell that is found, with seeds that no search has used.
    tuners : names of tuners; by default all that are installed.
    target : the response that a search is to reach; by default one that half of the searches reach.
    """
    options = ComparisonOptions(budget, repetitions, fresh, tuple(tuners))
    check_options(options)
    # Checked first, so that errors are reported before anything is trained.
    entrants(study, space_of(study), options.names)
    with open_session(study) as session:
        images = steps.prepare(session)
        with open_training(
            session, images, kind="comparison", remote_task=steps.train_there
        ) as context:
            raced = race(context, options, steps.train_stage)
            return steps.conclude(context, raced, options, target)
