"""Report section: the pictures, and those in quarantine."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from tasks.data.reason import Reason, kind_as_text
from tasks.languages import Translate
from tasks.report.source import ReportSource
from tasks.tracking.artifact_paths import PICTURES, SAMPLES
from tasks.tracking.execution import Execution
from tasks.tracking.tags import KIND, PREFIX

#: Reasons of a quarantine that are listed.
MOST_REASONS = 8
#: Files that are named for each reason.
EXAMPLES = 2


def data_section(source: ReportSource) -> dict[str, Any]:
    """Return the values of the template's `data` section."""
    execution, say = source.execution, source.say
    pictures = source.json(PICTURES)
    return {
        "text": say(
            "data_text",
            words=execution.facts.pictures,
            version=execution.version,
            size=source.study.data.image_size,
        ),
        "sides": _sides(pictures),
        "samples": source.picture(execution.run_id, SAMPLES),
        **_quarantine(source),
    }


def _sides(pictures: Mapping[str, Any] | None) -> list[list[str]]:
    """Return a row a class, and one of sums: its name, and how many pictures a side."""
    if pictures is None:
        return []
    counts = np.array([pictures["counts"][side] for side in ("training", "validation", "test")]).T
    rows = [*zip(pictures["classes"], counts, strict=True), ("", counts.sum(axis=0))]
    return [[name, *(f"{n:,}" for n in row), f"{row.sum():,}"] for name, row in rows]


def _quarantine(source: ReportSource) -> dict[str, Any]:
    """Return what the validation of this dataset version left out, by kind of reason."""
    checked = _validation(source.execution)
    if checked is None:
        return {"found": "", "reasons": []}
    counts = {k: checked[k] for k in ("found", "accepted", "quarantined", "passed_over")}
    words = [source.say("found", **{k: f"{n:,}" for k, n in counts.items()})]
    per_class = source.study.data.per_class
    words += [source.say("sampled", per_class=f"{per_class:,}")] if per_class else []
    left_out = {path: reasons[0] for path, reasons in checked["reasons"].items()}
    left_out |= checked["passed_over_reasons"]
    return {"found": " ".join(words), "reasons": _by_kind(left_out, source.say)}


def _validation(execution: Execution) -> Any:
    """Read the last validation of the execution's dataset version; None where there is none."""
    condition = f"tags.`{KIND}` = 'validation' and tags.`{PREFIX}dataset_version` = "
    tracker = execution.tracker
    runs = tracker.search([execution.experiment], f"{condition}'{execution.version}'", limit=1)
    return tracker.read_json(runs[0].info.run_id, "validation.json") if runs else None


def _by_kind(
    reasons: Mapping[str, str | Mapping[str, Any]], say: Translate
) -> list[dict[str, Any]]:
    """Return one row per kind of reason, most frequent first, each with a few files.

    Parameters
    ----------
    reasons : file -> its first reason: as data, or a sentence that an earlier version logged.
    """
    kinds = {
        path: _kind_of_old_sentence(reason)
        if isinstance(reason, str)
        else kind_as_text(Reason.from_json(reason), say)
        for path, reason in reasons.items()
    }
    return [
        {
            "kind": kind,
            "n": f"{count:,}",
            "examples": [path for path, own in kinds.items() if own == kind][:EXAMPLES],
        }
        for kind, count in Counter(kinds.values()).most_common(MOST_REASONS)
    ]


def _kind_of_old_sentence(sentence: str) -> str:
    """Return the kind of a reason that a version before 0.2 logged as an English sentence."""
    return sentence.partition(": ")[0].partition(" of ")[0]
