"""Comparing tuners on a study's own cells, really trained, as one Prefect flow."""

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
    """Let this procedure and its alternatives search a study's cells with the same budget.

    Parameters
    ----------
    study : its factors' levels, trainer and pictures.
    budget : runs of each search.
    repetitions : searches of each tuner, with seeds of their own.
    fresh : trainings of each delivered cell, with seeds that no search saw.
    tuners : by name; all that are at hand where none is named.
    target : a response that is to be reached; by default one that half of the searches reach.
    """
    options = ComparisonOptions(budget, repetitions, fresh, tuple(tuners))
    check_options(options)
    # What is wrong is said before anything is trained.
    entrants(study, space_of(study), options.names)
    with open_session(study) as session:
        images = steps.prepare(session)
        with open_training(
            session, images, kind="comparison", remote_task=steps.train_there
        ) as context:
            raced = race(context, options, steps.train_stage)
            return steps.conclude(context, raced, options, target)
