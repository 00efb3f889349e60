"""Validating pictures on their own, and logging the result to MLflow."""

import json
import shutil
from pathlib import Path

from tasks.data.dataset import Checked, check_images
from tasks.data.find_images import find_images
from tasks.data.measure import Readers
from tasks.data.metadata_store import Metadata, owner_of
from tasks.data.rules import read_rules
from tasks.data.source import Source, source_key
from tasks.progress import Progress
from tasks.settings import Settings
from tasks.tracking.tags import BROKEN
from tasks.tracking.tracker import Tracker
from tasks.validation.report import validation_page

#: The experiment of validations that belong to no study.
VALIDATION_EXPERIMENT = "validation"


def readers_for(path: Path | None, store: Metadata) -> Readers:
    """Return what reads pictures; where all of them are new, its processes start at once.

    They are ready by the time that the pictures are found.
    """
    readers = Readers()
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
) -> tuple[Checked, Path]:
    """Validate the pictures at a path, and log what was found to MLflow.

    Parameters
    ----------
    path : a folder or zip.
    rules : a file of rules instead of FactorGrid's own.
    accept : take this version for the one that drift is measured from, though it has drifted.
    experiment : MLflow's, by name.

    Returns
    -------
    What was found, and a page that shows it.

    Raises
    ------
    DataError
        If they cannot be found or read.
    """
    store = Metadata(settings.metadata, settings.locks)
    with readers_for(path, store) as readers:
        source = find_images(path, settings.unpacked, progress.show_count)
        checked = check_images(
            source, store, rules=read_rules(rules), readers=readers, progress=progress.show_count
        )
    if accept or not checked.validation.faults:
        store.accept(source, checked.profile)
    return checked, log_validation(
        checked, validation_folder(source, settings), Tracker.open(settings), experiment
    )


def validation_folder(source: Source, settings: Settings) -> Path:
    """Return where the pages of a source's last validation are kept."""
    return settings.validation / owner_of(source)


def log_validation(
    checked: Checked, folder: Path, tracker: Tracker, experiment: str, version: str = ""
) -> Path:
    """Log a validation to MLflow: results, reasons, metadata table, Data Docs; return its page."""
    shutil.rmtree(folder, ignore_errors=True)
    checked.validation.write_docs(folder / "data_docs")
    content = checked.to_json()
    _write(folder / "validation.json", {**content, "results": checked.validation.result})
    _write(folder / "reasons.json", checked.reasons)
    page = folder / "validation.html"
    page.write_text(validation_page(checked, folder), encoding="utf-8")
    table = checked.metadata.drop(columns="thumb")
    reasons = [("; ".join(checked.reasons.get(path, []))) for path in table["path"]]
    table.assign(quarantined=reasons).to_csv(folder / "metadata.csv.gz", index=False)
    summary = checked.validation.result["summary"]
    counts = {k: content[k] for k in ("found", "quarantined", "passed_over")}
    figures = {k: v for k, v in summary.items() if v is not None}
    tags = {
        "dataset_version": version,
        "source": checked.words,
        BROKEN: "; ".join(checked.validation.faults),
    }
    tracker.log_validation(experiment, {**counts, **figures}, tags, folder)
    return page


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
