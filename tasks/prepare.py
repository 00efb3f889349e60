"""From a study's pictures, real or drawn, to arrays that can be trusted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from models.drawn import draw
from tasks.dataset import Checked, Prepared, check, prepare
from tasks.ingest import DrawnSource, Source, find_images
from tasks.progress import Progress
from tasks.settings import Settings
from tasks.study import DataPart, Study

#: Pictures drawn where a study names neither a source nor a number.
DRAWN = 2000


@contextmanager
def open_source(data: DataPart) -> Iterator[Source]:
    """Open a study's pictures: its source, or drawn ones, which are said to be drawn.

    Raises
    ------
    DataError
        If the source is missing, or nothing that has pictures of classes.
    """
    if data.source is not None:
        with find_images(data.source) as source:
            yield source
        return
    number = data.drawn or DRAWN
    images, labels, classes = draw(number, data.image_size, data.seed)
    words = f"drawn cats and dogs (seed {data.seed}; no photographs)"
    yield DrawnSource(images, labels, classes, words)


@task(name="prepare", cache_policy=NO_CACHE, persist_result=False)
def prepare_images(study: Study, settings: Settings, progress: Progress) -> Prepared:
    """Find or draw the pictures, validate, quarantine, split and decode them once.

    Raises
    ------
    DataError
        If the pictures cannot be found, or break a rule for the whole set.
    """
    data = study.data
    with open_source(data) as source:
        prepared = prepare(
            source,
            image_size=data.image_size,
            cache=settings.cache,
            per_class=data.per_class,
            seed=data.seed,
            exclude=data.exclude,
            training=data.training,
            validation=data.validation,
        )
    progress.say(
        f"pictures: {prepared.words}; {len(prepared.quarantined)} in quarantine, "
        f"{prepared.passed_over} files passed over"
    )
    return prepared


def check_pictures(path: Path) -> Checked:
    """Validate the pictures at a path, for `factorgrid validate`.

    Raises
    ------
    DataError
        If they cannot be found or read.
    """
    with find_images(path) as source:
        return check(source)
