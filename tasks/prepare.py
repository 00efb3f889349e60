"""From a study's pictures, real or drawn, to arrays that can be trusted."""

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.dataset import Checked, Prepared, check, prepare
from tasks.ingest import Source, draw_images, find_images, key_of
from tasks.measure import Readers
from tasks.metadata import Metadata, owner_of
from tasks.objects import OnProgress
from tasks.progress import Progress
from tasks.settings import Settings
from tasks.study import DataPart, Study
from tasks.tags import BROKEN
from tasks.tracking import Tracker
from tasks.validate import read_rules

#: Pictures drawn where a study names neither a source nor a number.
DRAWN = 2000
#: The experiment of validations that belong to no study.
EXPERIMENT = "validation"
#: Files that are named for each reason, at a terminal.
EXAMPLES = 3
#: Files that a page lists.
LISTED = 500
RULED = ("pictures", "set")
WORDS = {"min_value": "at least", "max_value": "at most", "value_set": "in"}


def open_source(data: DataPart, settings: Settings, progress: OnProgress | None = None) -> Source:
    """Find a study's pictures: its source, or drawn ones, which are said to be drawn.

    Raises
    ------
    DataError
        If the source is missing, or nothing that has pictures of classes.
    """
    if data.source is not None:
        return find_images(data.source, settings.unpacked, progress)
    return draw_images(data.drawn or DRAWN, data.image_size, data.seed)


def readers_for(path: Path | None, store: Metadata) -> Readers:
    """Return what reads pictures; where all of them are new, its processes start at once.

    They are ready by the time that the pictures are found.
    """
    readers = Readers()
    if path is not None and not store.knows(key_of(path)):
        readers.start()
    return readers


@task(name="prepare", cache_policy=NO_CACHE, persist_result=False)
def prepare_images(study: Study, settings: Settings, progress: Progress) -> Prepared:
    """Find or draw the pictures, validate, quarantine, split and decode them once.

    The validation goes to MLflow as a run of its own, whether it passed or not.

    Raises
    ------
    DataError
        If the pictures cannot be found, or break a rule for the whole set.
    """
    data = study.data
    store = Metadata(settings.metadata, settings.locks)
    with readers_for(data.source, store) as readers:
        source = open_source(data, settings, progress.counted)
        folder = folder_of(source, settings)

        def record(checked: Checked, version: str) -> None:
            page = log_validation(checked, folder, settings, study.name, version)
            if checked.validation.faults:
                progress.say(f"every reason and rule: {page}")
            if checked.not_found:
                progress.say(f"excluded, but not there: {', '.join(checked.not_found)}")

        prepared = prepare(
            source,
            store,
            image_size=data.image_size,
            cache=settings.cache,
            rules=read_rules(data.rules),
            exclude=data.exclude,
            per_class=data.per_class,
            seed=data.seed,
            training=data.training,
            validation=data.validation,
            on_checked=record,
            readers=readers,
            progress=progress.counted,
        )
    progress.say(
        f"pictures: {prepared.words}; {len(prepared.quarantined):,} in quarantine, "
        f"{prepared.passed_over:,} files passed over"
    )
    return prepared


def validate_pictures(
    path: Path,
    settings: Settings,
    progress: Progress,
    *,
    rules: Path | None = None,
    accept: bool = False,
    experiment: str = EXPERIMENT,
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
        source = find_images(path, settings.unpacked, progress.counted)
        checked = check(
            source, store, rules=read_rules(rules), readers=readers, progress=progress.counted
        )
    if accept or not checked.validation.faults:
        store.accept(source, checked.profile)
    return checked, log_validation(checked, folder_of(source, settings), settings, experiment)


def folder_of(source: Source, settings: Settings) -> Path:
    """Return where the pages of a source's last validation are kept."""
    return settings.validation / owner_of(source)


def log_validation(
    checked: Checked, folder: Path, settings: Settings, experiment: str, version: str = ""
) -> Path:
    """Log a validation to MLflow: results, reasons, metadata table, Data Docs; return its page."""
    shutil.rmtree(folder, ignore_errors=True)
    checked.validation.write_docs(folder / "data_docs")
    content = checked.to_json()
    _write(folder / "validation.json", {**content, "results": checked.validation.result})
    _write(folder / "reasons.json", checked.reasons)
    page = folder / "validation.html"
    page.write_text(page_of(checked, folder), encoding="utf-8")
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
    Tracker.open(settings).log_validation(experiment, {**counts, **figures}, tags, folder)
    return page


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


def in_words(checked: Checked, page: Path) -> str:
    """Return what a validation found, in words: counts, reasons with examples, broken rules."""
    counts = checked.to_json()
    first = (
        f"{checked.words}: {counts['found']:,} files found, {counts['accepted']:,} accepted, "
        f"{counts['quarantined']:,} in quarantine, {counts['passed_over']:,} passed over"
    )
    quarantined = {path: "; ".join(reasons) for path, reasons in checked.reasons.items()}
    lines = [first, *_grouped("quarantined", quarantined)]
    lines += _grouped("passed over", checked.passed_over)
    lines += [f"excluded, but not there: {name}" for name in checked.not_found]
    lines += [f"broken rule: {fault}" for fault in checked.validation.faults]
    lines.append(f"every reason and rule: {page}")
    return "\n".join(lines)


def page_of(checked: Checked, folder: Path) -> str:
    """Return a page for people that needs nothing from elsewhere: counts, rules, reasons."""
    import jinja2

    source = resources.files("tasks") / "templates" / "validation.html"
    template = jinja2.Template(source.read_text(encoding="utf-8"), autoescape=True)
    results, summary = checked.validation.result, checked.validation.result["summary"]
    content = {
        **checked.to_json(),
        "words": checked.words,
        "most": LISTED,
        "reasons": list(checked.reasons.items()),
        "passed": list(checked.passed_over.items()),
        "results": {name: [_shown(r, summary) for r in results[name]] for name in RULED},
        "pages": _pages(folder),
    }
    page: str = template.render(content)
    return page


def _shown(result: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule's outcome with its bounds and the set's figure in words."""
    settings = {k: v for k, v in result["settings"].items() if k != "column"}
    value = summary.get(result["settings"].get("column"))
    bounds = ", ".join(f"{WORDS.get(k, k)} {setting}" for k, setting in settings.items())
    return {**result, "bounds": bounds, "figure": "none yet" if value is None else f"{value:.4g}"}


def _pages(folder: Path) -> list[str]:
    kinds = ("validations", "expectations")
    pages = [page for kind in kinds for page in (folder / "data_docs" / kind).rglob("*.html")]
    return [page.relative_to(folder).as_posix() for page in pages]


def _grouped(title: str, reasons: dict[str, str]) -> list[str]:
    """Return a line a kind of reason, most frequent first, with the first few files."""
    kinds = {path: why.split(": ")[0].split(" of ")[0] for path, why in reasons.items()}
    lines = []
    for kind, count in Counter(kinds.values()).most_common():
        files = [path for path, own in kinds.items() if own == kind]
        lines.append(f"  {title}: {count:,} {kind}")
        lines += [f"      {path}: {reasons[path]}" for path in files[:EXAMPLES]]
        if count > EXAMPLES:
            lines.append(f"      and {count - EXAMPLES:,} more")
    return lines
