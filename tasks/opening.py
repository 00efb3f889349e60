"""What every flow that trains opens first: settings, log, progress, MLflow, pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prefect import runtime

from tasks.builders import with_builder
from tasks.dataset import Prepared
from tasks.logs import open_log
from tasks.prepare import prepare_images
from tasks.progress import Progress
from tasks.settings import prepare_environment
from tasks.slots import warm_up
from tasks.study import Study
from tasks.tracking import Tracker


@dataclass(frozen=True)
class Opened:
    """A study that can be carried out.

    Attributes
    ----------
    study : with its builder's text, where it has one of its own.
    """

    study: Study
    tracker: Tracker
    images: Prepared
    progress: Progress


@contextmanager
def opened(study: Study) -> Iterator[Opened]:
    """Open what a study needs, its pictures validated and decoded; close it in turn.

    Raises
    ------
    UserError
        If its builder, its pictures or MLflow cannot be had.
    """
    settings = prepare_environment().create()
    warm_up()
    open_log()
    study = with_builder(study, deployed=bool(runtime.deployment.id))
    with Progress().shown() as progress:
        tracker = Tracker.open(settings, tell=progress.waits)
        yield Opened(study, tracker, prepare_images(study, settings, progress), progress)
