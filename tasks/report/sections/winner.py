"""Report section: the registered network and its accuracy on the test images."""

import io
from typing import Any

import numpy as np

from tasks.report.registered import promotion_verdict_as_text, registered_as_text
from tasks.report.source import ReportSource
from tasks.wording.values import percent_fixed


def winner_section(source: ReportSource) -> dict[str, Any] | None:
    """Return the winner; None if the study is not finished.

    Returns
    -------
    ``text``: a list of paragraphs; ``curve`` and ``worst``: its learning curve and its most
    confident mistakes as data: URLs, may be empty; ``confusion``: see `_confusion`.
    """
    registered = source.outcome.registered
    if registered is None:
        return None
    return {
        "text": [*registered_as_text(source.outcome, source.translate), *_verdict(source)],
        "curve": source.image(registered.run_id, "plots/learning_curve.png"),
        "worst": source.image(registered.run_id, "plots/worst.png"),
        "confusion": _confusion(source, registered.run_id),
    }


def _verdict(source: ReportSource) -> list[str]:
    registered = source.outcome.registered
    # An old record without a comparison has nothing but an English sentence.
    if registered is None or (registered.verdict.kind == "recorded" and not registered.against):
        return []
    return [promotion_verdict_as_text(registered, source.translate)]


def _confusion(source: ReportSource, run_id: str) -> dict[str, Any] | None:
    """Count the test images by true and predicted class; None if these were not logged.

    Returns
    -------
    ``classes``: the names of the columns; ``rows``: one per class, with ``name``, ``counts`` and
    ``right``, the share of right answers.
    """
    saved = source.execution.tracker.read(run_id, "model/predictions.npz")
    if source.pictures is None or saved is None:
        return None
    with np.load(io.BytesIO(saved)) as arrays:
        answers = arrays["test_probability"].argmax(axis=1)
    classes = source.pictures["classes"]
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(counts, (source.pictures["test_labels"], answers), 1)
    rows = [
        {
            "name": name,
            "counts": [f"{n:,}" for n in row],
            "right": percent_fixed(row[i] / row.sum()),
        }
        for i, (name, row) in enumerate(zip(classes, counts, strict=True))
    ]
    return {"classes": classes, "rows": rows}
