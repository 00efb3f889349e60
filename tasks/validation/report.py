"""The result of a validation as text and as an HTML page."""

from collections import Counter
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from tasks.data.dataset import Checked

#: Files that are named for each reason, at a terminal.
EXAMPLES = 3
#: Files that a page lists.
LISTED = 500
RULED = ("pictures", "set")
WORDS = {"min_value": "at least", "max_value": "at most", "value_set": "in"}


def validation_as_text(checked: Checked, page: Path) -> str:
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


def validation_page(checked: Checked, folder: Path) -> str:
    """Return a page for people that needs nothing from elsewhere: counts, rules, reasons."""
    import jinja2

    source = resources.files("tasks.report") / "templates" / "validation.html"
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
