"""The comparison of tuners on the cells of a study, with real training, as one Prefect flow."""

from typing import Annotated, Any, cast

from prefect import flow
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from tasks import steps
from tasks.comparison.entrants import study_space, study_tuners
from tasks.comparison.race import race
from tasks.comparison.request import ComparisonOptions, check_options
from tasks.comparison.result import ComparisonResult
from tasks.report.prefect_artifacts import Help, on_failure, run_name
from tasks.session import open_session, open_training, with_default_response
from tasks.study.study_file import Study


@flow(
    name="compare",
    flow_run_name=run_name,
    task_runner=cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=8)),
    on_failure=[on_failure],
    on_crashed=[on_failure],
    on_cancellation=[on_failure],
)
def compare(
    study: Annotated[Study, Help("Its factors, training settings and images.")],
    budget: Annotated[int, Help("Trainings of each search.")],
    repetitions: Annotated[int, Help("Searches of each tuner, each with other seeds.")] = 3,
    fresh: Annotated[int, Help("Trainings of each delivered cell, with new seeds.")] = 2,
    tuners: Annotated[tuple[str, ...], Help("Names of the tuners; all if empty.")] = (),
    target: Annotated[float | None, Help("An accuracy to be reached.")] = None,
) -> ComparisonResult:
    """Compare the search of FactorGrid with other tuners on the cells of a study.

    Parameters
    ----------
    study : the levels of its factors, its training settings and its images.
    budget : runs of each search.
    repetitions : searches of each tuner, each with different seeds.
    fresh : trainings of each delivered cell, with seeds that no search used.
    tuners : names of the tuners; all available ones if empty.
    target : a response to be reached; None for one that half of the searches reach.

    Raises
    ------
    UserError
        If an option is out of range, or a requested tuner is not available.
    """
    options = ComparisonOptions(budget, repetitions, fresh, tuple(tuners))
    check_options(options)
    # An unknown tuner must be reported before anything is trained.
    study_tuners(study, study_space(study), options.tuners)
    with open_session(study) as opened:
        images = steps.prepare(opened)
        session = with_default_response(opened, images)
        with open_training(
            session, images, kind="comparison", remote_task=steps.train_there
        ) as context:
            result = race(context, options, steps.train_stage)
            return steps.conclude(context, result, options, target)
