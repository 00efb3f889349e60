"""Comparing tuners on a study's own cells, really trained, as one Prefect flow."""

from typing import Any, cast

from prefect import flow, runtime
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from tasks.builders import with_builder
from tasks.comparison import Comparison, conclude
from tasks.logs import open_log
from tasks.prepare import prepare_images
from tasks.progress import Progress
from tasks.racers import Asked, check, entrants, space_of
from tasks.racing import race
from tasks.settings import prepare_environment
from tasks.slots import warm_up
from tasks.story import on_failure
from tasks.study import Study
from tasks.tracking import Tracker
from tasks.train import open_workshop


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
    asked = Asked(budget, repetitions, fresh, tuple(tuners))
    check(asked)
    settings = prepare_environment().create()
    # What is wrong is said before anything is trained.
    entrants(study, space_of(study), asked.names)
    warm_up()
    open_log()
    study = with_builder(study, deployed=bool(runtime.deployment.id))
    with Progress().shown() as progress:
        tracker = Tracker.open(settings, tell=progress.waits)
        images = prepare_images(study, settings, progress)
        with open_workshop(tracker, study, images, progress, kind="comparison") as shop:
            return conclude(shop.execution, race(shop, study, asked), asked, target)
