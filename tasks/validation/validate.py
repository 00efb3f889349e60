"""Validating pictures on their own, and logging the result to MLflow."""

import json
import shutil
from pathlib import Path

from tasks.data.check_images import CheckedImages, check_images
from tasks.data.find_images import find_images
from tasks.data.measure import ReaderPool
from tasks.data.metadata_store import MetadataStore, short_name
from tasks.data.reason import reasons_as_text
from tasks.data.rules import read_rules
from tasks.data.source import Source, source_key
from tasks.progress import Progress
from tasks.settings import Settings
from tasks.tracking.tags import BROKEN
from tasks.tracking.tracker import Tracker
from tasks.validation.report import DOCS, reasons_record, validation_page, validation_record

#: The MLflow experiment of validations that belong to no study.
VALIDATION_EXPERIMENT = "validation"


def validation_experiment(study: str) -> str:
    """Return the name of the MLflow experiment of a study's validations.

    It is another one than the study's: MLflow charts every metric of an experiment, and counts of
    images have nothing to do with the accuracies of replicates.
    """
    return f"{study} images"


def open_reader_pool(path: Path | None, store: MetadataStore) -> ReaderPool:
    """Return the processes that read pictures, already started if all pictures are new.

    They are then ready when the pictures have been found.

    Parameters
    ----------
    path : the source; None if the pictures are drawn.
    """
    readers = ReaderPool()
    if path is not None and not store.knows(source_key(path)):
        readers.start()
    return readers


def validate_pictures(
    path: Path,
    settings: Settings,
    progress: Progress,
    *,
    rules: Path | None = None,
    accept: bool = False,
    experiment: str = VALIDATION_EXPERIMENT,
    language: str = "en",
) -> tuple[CheckedImages, Path]:
    """Validate the pictures at a path, and log the result to MLflow.

    Parameters
    ----------
    path : a folder or zip.
    rules : a file of rules instead of FactorGrid's.
    accept : measure drift from this version from now on, even if it has drifted.
    experiment : the name of the MLflow experiment.
    language : of the page; one of `tasks.languages.LANGUAGES`.

    Returns
    -------
    The result, and a page that shows it.

    Raises
    ------
    DataError
        If the pictures cannot be found or read.
    """
    store = MetadataStore(settings.metadata, settings.locks)
    with open_reader_pool(path, store) as readers:
        source = find_images(path, settings.unpacked, progress.show_count)
        checked = check_images(
            source, store, rules=read_rules(rules), readers=readers, progress=progress.show_count
        )
    if accept or not checked.validation.faults:
        store.accept(source, checked.profile)
    folder = validation_folder(source, settings)
    tracker = Tracker.open(settings)
    return checked, log_validation(checked, folder, tracker, experiment, language=language)


def validation_folder(source: Source, settings: Settings) -> Path:
    """Return the folder with the pages of a source's last validation."""
    return settings.validation / short_name(source)


def log_validation(
    checked: CheckedImages,
    folder: Path,
    tracker: Tracker,
    experiment: str,
    version: str = "",
    language: str = "en",
) -> Path:
    """Log a validation to MLflow: results, reasons, metadata table, Data Docs.

    Parameters
    ----------
    checked : the result.
    folder : gets the files; its former content is removed.
    experiment : the name of the MLflow experiment.
    version : the dataset version.
    language : of the page; one of `tasks.languages.LANGUAGES`.

    Returns
    -------
    The page that shows the result.
    """
    shutil.rmtree(folder, ignore_errors=True)
    checked.validation.write_docs(folder / DOCS)
    _write_json(folder / "validation.json", validation_record(checked))
    _write_json(folder / "reasons.json", reasons_record(checked))
    page = folder / "validation.html"
    page.write_text(validation_page(checked, folder, language), encoding="utf-8")
    table = checked.metadata.drop(columns="thumb")
    reasons = [reasons_as_text(checked.reasons.get(path, [])) for path in table["path"]]
    table.assign(quarantined=reasons).to_csv(folder / "metadata.csv.gz", index=False)
    counts = {k: v for k, v in checked.counts.items() if k != "accepted"}
    figures = {k: v for k, v in checked.validation.result["summary"].items() if v is not None}
    tags = {
        "dataset_version": version,
        "source": checked.description,
        BROKEN: reasons_as_text(checked.validation.faults),
    }
    tracker.log_validation(experiment, {**counts, **figures}, tags, folder)
    return page


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
