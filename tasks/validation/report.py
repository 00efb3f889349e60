"""The result of a validation: as text, as JSON, and as an HTML page."""

from collections.abc import Mapping
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

from tasks.data.check_images import CheckedImages
from tasks.data.reason import (
    Reason,
    kind_as_text,
    reason_as_text,
    reasons_as_text,
)
from tasks.data.rule_text import figure_as_text, rule_as_text
from tasks.data.rules import data_docs_pages
from tasks.escaping import page_environment
from tasks.languages import Translate, counted, translator
from tasks.wording.responses import imbalance_as_text

#: Files that are named for each kind of reason in the text.
EXAMPLES = 3
#: Files that are listed on the page, at most.
MAX_LISTED = 500
#: Classes that are named in the text, at most.
MAX_CLASSES = 30
#: The sections of the page: name -> the key of the title.
PAGE_SECTIONS = {
    "data": "data",
    "set": "validation_set",
    "pictures": "validation_pictures",
    "quarantine": "validation_quarantine",
    "passed_over": "validation_passed_over",
    "details": "validation_details",
}
#: The counts of files.
COUNTS = ("found", "accepted", "quarantined", "passed_over")
#: Folder of Great Expectations' pages, beside the page.
DOCS = "data_docs"


def validation_as_text(checked: CheckedImages, page: Path) -> str:
    """Return the result as text: classes and counts, reasons with examples, broken rules."""
    counts = checked.counts
    first = (
        f"{checked.description}: {counted(counts['found'], 'file')} found, "
        f"{counts['accepted']:,} accepted, "
        f"{counts['quarantined']:,} in quarantine, {counts['passed_over']:,} passed over"
    )
    passed_over = {path: [reason] for path, reason in checked.passed_over.items()}
    lines = [classes_as_text(checked.classes), *imbalance_note(checked.classes), first]
    lines += [f"note: {reason_as_text(note)}" for note in checked.notes]
    lines += _grouped("quarantined", checked.reasons)
    lines += _grouped("passed over", passed_over)
    lines += [f"excluded, but not found: {name}" for name in checked.not_found]
    lines += [f"broken rule: {reason_as_text(fault)}" for fault in checked.validation.faults]
    lines.append(f"every reason and rule: {page}")
    return "\n".join(lines)


def classes_as_text(classes: Mapping[str, int]) -> str:
    """Return the classes with the numbers of their accepted pictures, on one line."""
    return f"{len(classes):,} classes: {_listed(classes)}" if classes else "0 classes"


def _listed(classes: Mapping[str, int]) -> str:
    listed = [f"{name} ({n:,})" for name, n in list(classes.items())[:MAX_CLASSES]]
    if len(classes) > MAX_CLASSES:
        listed.append(f"and {len(classes) - MAX_CLASSES:,} more")
    return ", ".join(listed)


def imbalance_note(classes: Mapping[str, int]) -> list[str]:
    """Return a note if the classes differ much in size: which response suits them."""
    return [f"note: {text}" for text in imbalance_as_text(classes, translator("en"))]


def sample_note(classes: Mapping[str, int], per_class: int | None) -> list[str]:
    """Return a note if classes have fewer images than a sample of each is to have."""
    smaller = {name: n for name, n in classes.items() if n < (per_class or 0)}
    if not smaller:
        return []
    text = (
        f"note: per_class = {per_class:,} is more than these classes have, so all of their images "
        f"are used: {_listed(smaller)}"
    )
    return [text]


def validation_as_json(checked: CheckedImages) -> dict[str, Any]:
    """Return the result for programs: counts, and reasons as kinds and as English text."""
    faults = checked.validation.faults
    return {
        "classes": checked.classes,
        **checked.counts,
        "notes": [reason_as_text(note) for note in checked.notes],
        "note_kinds": [note.kind for note in checked.notes],
        "reasons": {
            path: [reason_as_text(reason) for reason in own]
            for path, own in checked.reasons.items()
        },
        "reason_kinds": {
            path: [reason.kind for reason in own] for path, own in checked.reasons.items()
        },
        "passed_over_reasons": {
            path: reason_as_text(reason) for path, reason in checked.passed_over.items()
        },
        "passed_over_kinds": {path: reason.kind for path, reason in checked.passed_over.items()},
        "success": not faults,
        "faults": [reason_as_text(fault) for fault in faults],
        "fault_kinds": [fault.kind for fault in faults],
        "excluded_not_found": list(checked.not_found),
        "read": checked.read,
    }


def validation_record(checked: CheckedImages) -> dict[str, Any]:
    """Return what MLflow keeps of the result, with reasons as data: a report words them."""
    faults = checked.validation.faults
    return {
        "classes": checked.classes,
        **checked.counts,
        "notes": [note.as_json() for note in checked.notes],
        "reasons": reasons_record(checked),
        "passed_over_reasons": {
            path: reason.as_json() for path, reason in checked.passed_over.items()
        },
        "success": not faults,
        "faults": [fault.as_json() for fault in faults],
        "excluded_not_found": list(checked.not_found),
        "read": checked.read,
        "results": checked.validation.result,
    }


def reasons_record(checked: CheckedImages) -> dict[str, list[dict[str, Any]]]:
    """Return file -> why it is quarantined, as data."""
    return {path: [reason.as_json() for reason in own] for path, own in checked.reasons.items()}


def validation_page(checked: CheckedImages, folder: Path, language: str = "en") -> str:
    """Return a page that loads nothing from other hosts: counts, rules, reasons.

    Parameters
    ----------
    folder : the folder of the page, with Great Expectations' pages in it.
    language : one of `tasks.languages.LANGUAGES`.

    Raises
    ------
    UserError
        If the language is not supported.
    """
    source = resources.files("tasks.validation") / "validation.html"
    environment = page_environment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(source.read_text(encoding="utf-8"))
    say, counts, results = translator(language), checked.counts, checked.validation.result
    sections = {name: say(key) for name, key in PAGE_SECTIONS.items()}
    page: str = template.render(
        lang=language,
        say=say,
        title=say("validation_title", source=checked.description),
        contents=sections.items(),
        found=say("found", **{name: f"{counts[name]:,}" for name in COUNTS}),
        classes=checked.classes,
        notes=[
            *imbalance_as_text(checked.classes, say),
            *(_as_sentence(reason_as_text(note, say)) for note in checked.notes),
        ],
        faults=[_as_sentence(reason_as_text(fault, say)) for fault in checked.validation.faults],
        set=[_rule_of_the_set(rule, results["summary"], say) for rule in results["set"]],
        pictures=[_rule_of_images(rule, say) for rule in results["pictures"]],
        most=MAX_LISTED,
        reasons=[
            (path, reasons_as_text(own, say))
            for path, own in islice(checked.reasons.items(), MAX_LISTED)
        ],
        n_reasons=len(checked.reasons),
        passed=[
            (path, reason_as_text(reason, say))
            for path, reason in islice(checked.passed_over.items(), MAX_LISTED)
        ],
        n_passed=len(checked.passed_over),
        pages=[(title, f"{DOCS}/{page}") for page, title in data_docs_pages(folder / DOCS)],
    )
    return page


def _as_sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _rule_of_the_set(
    rule: Mapping[str, Any], summary: Mapping[str, Any], say: Translate
) -> dict[str, Any]:
    """Return a rule for the whole set in words, the figure that it judges, and its outcome."""
    column = rule["settings"].get("column", "")
    return {
        **_rule_in_words(rule, say),
        "figure": figure_as_text(column, summary.get(column), say),
        "kept": rule["success"],
    }


def _rule_of_images(rule: Mapping[str, Any], say: Translate) -> dict[str, Any]:
    """Return a rule for each image in words, and how many images break it."""
    broken_by = rule["result"].get("unexpected_count") or 0
    return {**_rule_in_words(rule, say), "broken_by": f"{broken_by:,}"}


def _rule_in_words(rule: Mapping[str, Any], say: Translate) -> dict[str, str]:
    return {
        "rule": rule_as_text(rule["expectation"], rule["settings"], say),
        "own": rule["own_text"],
    }


def _grouped(title: str, reasons: Mapping[str, list[Reason]]) -> list[str]:
    """Return one line per kind of reason, most frequent first, and its first few files."""
    groups: dict[str, list[str]] = {}
    for path, own in reasons.items():
        groups.setdefault(kind_as_text(own[0]), []).append(path)
    lines = []
    for kind, files in sorted(groups.items(), key=lambda group: -len(group[1])):
        lines.append(f"  {title}: {len(files):,} {kind}")
        lines += [f"      {path}: {reasons_as_text(reasons[path])}" for path in files[:EXAMPLES]]
        if len(files) > EXAMPLES:
            lines.append(f"      and {len(files) - EXAMPLES:,} more")
    return lines
