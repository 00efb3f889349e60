"""The result of a validation: as text, as JSON, and as an HTML page."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from tasks.data.check_images import CheckedImages
from tasks.data.reason import (
    Reason,
    kind_as_text,
    reason_as_text,
    reasons_as_text,
)
from tasks.escaping import page_environment
from tasks.languages import translator
from tasks.wording.responses import imbalance_as_text

#: Files that are named for each kind of reason in the text.
EXAMPLES = 3
#: Files that are listed on the page, at most.
MAX_LISTED = 500
#: Classes that are named in the text, at most.
MAX_CLASSES = 30
RULE_TABLES = ("pictures", "set")
SETTING_TEXTS = {"min_value": "at least", "max_value": "at most", "value_set": "in"}


def validation_as_text(checked: CheckedImages, page: Path) -> str:
    """Return the result as text: classes and counts, reasons with examples, broken rules."""
    counts = checked.counts
    first = (
        f"{checked.description}: {counts['found']:,} files found, {counts['accepted']:,} accepted, "
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
    listed = [f"{name} ({n:,})" for name, n in list(classes.items())[:MAX_CLASSES]]
    if len(classes) > MAX_CLASSES:
        listed.append(f"and {len(classes) - MAX_CLASSES:,} more")
    return f"{len(classes):,} classes: {', '.join(listed)}" if listed else "0 classes"


def imbalance_note(classes: Mapping[str, int]) -> list[str]:
    """Return a note if the classes differ much in size: which response suits them."""
    return [f"note: {text}" for text in imbalance_as_text(classes, translator("en"))]


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


def validation_page(checked: CheckedImages, folder: Path) -> str:
    """Return a page that loads nothing from other hosts: counts, rules, reasons.

    Parameters
    ----------
    folder : the folder of the page, with Great Expectations' pages in it.
    """
    source = resources.files("tasks.validation") / "validation.html"
    template = page_environment().from_string(source.read_text(encoding="utf-8"))
    results, summary = checked.validation.result, checked.validation.result["summary"]
    content = {
        **checked.counts,
        "description": checked.description,
        "classes": checked.classes,
        "notes": [reason_as_text(note) for note in checked.notes],
        "faults": [reason_as_text(fault) for fault in checked.validation.faults],
        "most": MAX_LISTED,
        "reasons": [(path, reasons_as_text(own)) for path, own in checked.reasons.items()],
        "passed": [(path, reason_as_text(reason)) for path, reason in checked.passed_over.items()],
        "results": {
            name: [_rule_row(result, summary) for result in results[name]] for name in RULE_TABLES
        },
        "pages": _great_expectations_pages(folder),
    }
    page: str = template.render(content)
    return page


def _rule_row(result: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule's outcome, with its bounds and the figure of the set as text."""
    settings = {k: v for k, v in result["settings"].items() if k != "column"}
    value = summary.get(result["settings"].get("column"))
    bounds = ", ".join(f"{SETTING_TEXTS.get(k, k)} {setting}" for k, setting in settings.items())
    return {**result, "bounds": bounds, "figure": "none yet" if value is None else f"{value:.4g}"}


def _great_expectations_pages(folder: Path) -> list[str]:
    kinds = ("validations", "expectations")
    pages = [page for kind in kinds for page in (folder / "data_docs" / kind).rglob("*.html")]
    return [page.relative_to(folder).as_posix() for page in pages]


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
