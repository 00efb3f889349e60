"""The pictures of a study, real or drawn: found, validated, split and decoded."""

from tasks.data.check_images import CheckedImages
from tasks.data.dataset import (
    DatasetRequest,
    Prepared,
    SplitShares,
    prepare_dataset,
)
from tasks.data.drawn_images import draw_images
from tasks.data.find_images import find_images
from tasks.data.metadata_store import MetadataStore
from tasks.data.on_progress import OnProgress
from tasks.data.reason import reason_as_text
from tasks.data.rules import read_rules
from tasks.data.source import Source
from tasks.languages import counted
from tasks.progress import Progress
from tasks.settings import Settings
from tasks.study.study_file import DataPart, Study
from tasks.tracking.tracker import Tracker
from tasks.validation.report import classes_as_text, imbalance_note, sample_note
from tasks.validation.validate import (
    log_validation,
    open_reader_pool,
    validation_experiment,
    validation_folder,
)

#: Number of drawn pictures if a study gives neither a source nor a number.
DRAWN = 2000


def open_source(data: DataPart, settings: Settings, progress: OnProgress | None = None) -> Source:
    """Find the pictures of a study's source; without a source, pictures are drawn.

    Raises
    ------
    DataError
        If the source is missing, or has no pictures of at least two classes.
    """
    if data.source_place is not None:
        return find_images(data.source_place, settings.unpacked, progress)
    return draw_images(data.drawn or DRAWN, data.image_size, data.seed)


def prepare_images(study: Study, tracker: Tracker, progress: Progress) -> Prepared:
    """Find or draw the pictures; validate, quarantine, split and decode them once.

    The validation is logged to MLflow as a separate run, whether it passed or not.

    Raises
    ------
    DataError
        If the pictures cannot be found, or break a rule for the whole set.
    """
    data, settings = study.data, tracker.settings
    store = MetadataStore(settings.metadata, settings.locks)
    with open_reader_pool(data.source_place, store) as readers:
        source = open_source(data, settings, progress.show_count)
        folder = validation_folder(source, settings)

        def record(checked: CheckedImages, version: str) -> None:
            experiment = validation_experiment(study.name)
            page = log_validation(checked, folder, tracker, experiment, version)
            progress.print_line(classes_as_text(checked.classes))
            classes = checked.classes
            for text in (*imbalance_note(classes), *sample_note(classes, data.per_class)):
                progress.print_line(text)
            for note in checked.notes:
                progress.print_line(f"note: {reason_as_text(note)}")
            if checked.validation.faults:
                progress.print_line(f"every reason and rule: {page}")
            if checked.not_found:
                progress.print_line(f"excluded, but not found: {', '.join(checked.not_found)}")

        prepared = prepare_dataset(
            source,
            _request(data),
            store,
            settings.cache,
            on_checked=record,
            readers=readers,
            progress=progress.show_count,
        )
    progress.print_line(
        f"pictures: {prepared.description}; {prepared.quarantined:,} in quarantine, "
        f"{counted(prepared.passed_over, 'file')} passed over"
    )
    return prepared


def _request(data: DataPart) -> DatasetRequest:
    """Return what a study requests of its dataset version."""
    return DatasetRequest(
        data.image_size,
        SplitShares(data.training, data.validation),
        read_rules(data.rules_place),
        data.exclude,
        data.per_class,
        data.seed,
    )
