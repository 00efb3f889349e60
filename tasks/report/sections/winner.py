"""Report section: the chosen network and its test."""

import io
from typing import Any

import numpy as np

from analysis.factors import cell_name
from tasks.report.numbers import percent, share
from tasks.report.source import ReportSource
from tasks.tracking.artifact_paths import PICTURES


def winner_section(source: ReportSource) -> dict[str, Any] | None:
    """Return the values of the template's `winner` section."""
    registered, say = source.outcome.registered, source.say
    if registered is None:
        return None
    name, version, alias = registered.name, registered.version, registered.alias
    text = [
        say("winner_text", cell=cell_name(source.outcome.selection.chosen), **test_words(source)),
        say("registered", name=name, version=version, alias=alias),
    ]
    if registered.against is not None:
        text.append(say("against", **_paired(registered.against)))
    return {
        "text": text,
        "curve": source.picture(registered.run_id, "plots/learning_curve.png"),
        "worst": source.picture(registered.run_id, "plots/worst.png"),
        "confusion": _confusion(source, registered.run_id),
    }


def test_words(source: ReportSource) -> dict[str, str]:
    """Return accuracy on the test images, with its interval, as text."""
    test = source.outcome.registered.test  # type: ignore[union-attr] # asked only where there is one
    low, high = share(test.low), share(test.high)
    confidence = percent(1 - test.alpha)
    return {
        "value": share(test.value),
        "low": low,
        "high": high,
        "n": f"{test.n:,}",
        "confidence": confidence,
    }


def _paired(against: Any) -> dict[str, str]:
    return {
        "n": f"{against.n:,}",
        "ours": f"{against.only_challenger:,}",
        "theirs": f"{against.only_champion:,}",
        "p": against.p_as_text,
    }


def _confusion(source: ReportSource, run_id: str) -> dict[str, Any] | None:
    """Count the test images by truth and answer; None where the truth was not logged."""
    pictures = source.json(PICTURES)
    saved = source.execution.tracker.read(run_id, "model/predictions.npz")
    if pictures is None or saved is None:
        return None
    with np.load(io.BytesIO(saved)) as arrays:
        answers = arrays["test_probability"].argmax(axis=1)
    classes = pictures["classes"]
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(counts, (pictures["test_labels"], answers), 1)
    rows = [
        {"name": name, "counts": [f"{n:,}" for n in row], "right": share(row[i] / row.sum())}
        for i, (name, row) in enumerate(zip(classes, counts, strict=True))
    ]
    return {"classes": classes, "rows": rows}
