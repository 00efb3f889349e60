"""The procedure of a study, as one Prefect flow.

Pilot, screen, fit, decide, refine, confirm, register.
"""

from pathlib import Path
from typing import Any, cast

from prefect import flow
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from tasks.dataset import Prepared
from tasks.decide import (
    analyse,
    choose,
    decide_grid,
    first_cells,
    next_cells,
    plan_cells,
    plan_confirm,
    plan_screen,
)
from tasks.opening import opened
from tasks.piloting import draw_in, plan_pilot
from tasks.register import register
from tasks.report import Outcome, outcome_of, report
from tasks.story import on_failure, tell
from tasks.study import Study
from tasks.suspects import find_suspects
from tasks.train import Workshop, open_workshop, train_stage


# The bound on threads keeps MLflow's database, which takes 12 writers well and 16 badly.
@flow(
    name="search",
    task_runner=cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=8)),
    on_failure=[on_failure],
    on_crashed=[on_failure],
    on_cancellation=[on_failure],
)
def search(study: Study, elsewhere: Path | None = None) -> Outcome:
    """Find the best cell of a study and register its network.

    Parameters
    ----------
    study : what to vary, how to train, on which pictures.
    elsewhere : a folder that takes the training to another machine; see `tasks.elsewhere`.
    """
    with opened(study) as there:
        study, images = there.study, there.images
        done = there.tracker.finished(study, images.version)
        if done is not None:
            there.progress.say(f"nothing to train: run {done.run_id} has all of this study")
            outcome = outcome_of(done)
            tell(done, outcome)
            return outcome
        with open_workshop(there.tracker, study, images, there.progress, elsewhere) as shop:
            return procedure(study, images, shop)


def procedure(study: Study, images: Prepared, shop: Workshop) -> Outcome:
    """Carry out the stages of a study, each judged by what MLflow has of the one before."""
    train_stage(shop, plan_pilot(study, images.version))
    study = draw_in(shop.execution)

    train_stage(shop, plan_screen(study, images.version))
    effects = analyse(shop.execution)
    decision = decide_grid(shop.execution, effects)

    cells = first_cells(shop.execution, decision)
    rounds = study.refine.steps
    while cells and rounds:
        train_stage(shop, plan_cells(study, images.version, cells))
        rounds -= 1
        cells = next_cells(shop.execution, decision, cells) if rounds else []

    selection = choose(shop.execution)
    if train_stage(shop, plan_confirm(study, images.version, selection)):
        selection = choose(shop.execution)

    find_suspects(shop)
    register(shop, selection)
    outcome = report(shop.execution)
    tell(shop.execution, outcome)
    return outcome
