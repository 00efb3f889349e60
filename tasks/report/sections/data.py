"""Report section: the images, and the files that were left out."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from tasks.data.reason import Reason, kind_as_text, reason_as_text
from tasks.languages import Translate
from tasks.report.source import ReportSource
from tasks.tracking.artifact_paths import SAMPLES
from tasks.tracking.execution import Execution
from tasks.tracking.tags import KIND, PREFIX
from tasks.wording.pictures import pictures_as_text

SIDES = ("training", "validation", "test")
#: Reasons that are listed, the most frequent ones.
MOST_REASONS = 8
#: Files that are named for each reason.
EXAMPLES = 2


def data_section(source: ReportSource) -> dict[str, Any]:
    """Return what the images were.

    Returns
    -------
    ``text``; ``sides``: one row per class and one of totals, each the name (empty for the totals)
    and the images in training, validation, test and together; empty if not logged; ``samples``: a
    picture of some images as a data: URL, may be empty; ``found``: how many files were accepted,
    may be empty; ``reasons``: see `_by_kind`.
    """
    execution, translate = source.execution, source.translate
    return {
        "text": translate(
            "data_text",
            words=_pictures(source),
            version=execution.version,
            size=source.study.data.image_size,
        ),
        "sides": _sides(source),
        "samples": source.image(execution.run_id, SAMPLES),
        **_left_out(source),
    }


def _pictures(source: ReportSource) -> str:
    """Return the number and source of the images; in old executions only as a logged text."""
    if source.pictures is None:
        return source.execution.facts.pictures
    total = sum(sum(source.pictures["counts"][side]) for side in SIDES)
    return pictures_as_text(source.study.data, total, source.translate)


def _sides(source: ReportSource) -> list[list[str]]:
    if source.pictures is None:
        return []
    counts = np.array([source.pictures["counts"][side] for side in SIDES]).T
    classes = source.pictures["classes"]
    rows = [*zip(classes, counts, strict=True), ("", counts.sum(axis=0))]
    return [[name, *(f"{n:,}" for n in row), f"{row.sum():,}"] for name, row in rows]


def _left_out(source: ReportSource) -> dict[str, Any]:
    """Return how many files the validation of this dataset version accepted, and why not more."""
    validation = _last_validation(source.execution)
    if validation is None:
        return {"found": "", "reasons": []}
    counts = {k: validation[k] for k in ("found", "accepted", "quarantined", "passed_over")}
    sentences = [source.translate("found", **{k: f"{n:,}" for k, n in counts.items()})]
    per_class = source.study.data.per_class
    if per_class and _is_a_sample(source, counts["accepted"]):
        sentences.append(source.translate("sampled", per_class=f"{per_class:,}"))
    sentences += _notes(validation, source.translate)
    left_out = {path: reasons[0] for path, reasons in validation["reasons"].items()}
    left_out |= validation["passed_over_reasons"]
    return {"found": " ".join(sentences), "reasons": _by_kind(left_out, source.translate)}


def _is_a_sample(source: ReportSource, accepted: int) -> bool:
    """Whether fewer images were used than accepted; executions of old versions do not say."""
    if source.pictures is None:
        return True
    return sum(sum(counts) for counts in source.pictures["counts"].values()) < accepted


def _notes(validation: Mapping[str, Any], translate: Translate) -> list[str]:
    """Return the notes of a validation as sentences; versions up to 0.2 logged none."""
    texts = (
        reason_as_text(Reason.from_json(note), translate) for note in validation.get("notes", ())
    )
    return [f"{text[:1].upper()}{text[1:]}." for text in texts]


def _last_validation(execution: Execution) -> Any:
    """Return the last validation of the execution's dataset version; None if there is none."""
    condition = f"tags.`{KIND}` = 'validation' and tags.`{PREFIX}dataset_version` = "
    tracker = execution.tracker
    runs = tracker.search([execution.experiment], f"{condition}'{execution.version}'", limit=1)
    return tracker.read_json(runs[0].info.run_id, "validation.json") if runs else None


def _by_kind(
    reasons: Mapping[str, str | Mapping[str, Any]], translate: Translate
) -> list[dict[str, Any]]:
    """Return the kinds of reason, most frequent first: ``kind``, ``n`` files and ``examples``.

    Parameters
    ----------
    reasons : file -> its first reason: as data, or a sentence that an earlier version logged.
    """
    kinds = {
        path: _kind_of_old_sentence(reason)
        if isinstance(reason, str)
        else kind_as_text(Reason.from_json(reason), translate)
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
