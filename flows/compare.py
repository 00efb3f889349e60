"""Comparing tuners on a study's own cells, really trained, as one Prefect flow."""

from typing import Any, cast

from prefect import flow
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from tasks.comparison import Comparison, conclude
from tasks.opening import opened
from tasks.racers import Asked, check, entrants, space_of
from tasks.racing import race
from tasks.story import on_failure
from tasks.study import Study
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
    # What is wrong is said before anything is trained.
    entrants(study, space_of(study), asked.names)
    with (
        opened(study) as there,
        open_workshop(
            there.tracker, there.study, there.images, there.progress, kind="comparison"
        ) as shop,
    ):
        return conclude(shop.execution, race(shop, there.study, asked), asked, target)
