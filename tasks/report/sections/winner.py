"""Report section: the registered network and its accuracy on the test images."""

from typing import Any

import numpy as np

from analysis.plots.learning_curve import learning_curve
from tasks.report.registered import promotion_verdict_as_text, registered_as_text
from tasks.report.source import ReportSource
from tasks.report.svg import figure_for_page
from tasks.tracking.metric_history import metric_history
from tasks.tracking.predictions import stored_probability
from tasks.wording.values import percent_fixed

#: The metrics of a learning curve.
CURVES = ("train_accuracy", "val_accuracy", "train_loss", "val_loss")


def winner_section(source: ReportSource) -> dict[str, Any] | None:
    """Return the winner; None if the study is not finished.

    Returns
    -------
    ``text``: a list of paragraphs; ``curve``: its learning curve as SVG elements, and ``worst``:
    its most confident mistakes as a data: URL, may be empty; ``confusion``: see `_confusion`.
    """
    registered = source.outcome.registered
    if registered is None:
        return None
    return {
        "text": [*registered_as_text(source.outcome, source.translate), *_verdict(source)],
        "curve": _curve(source, registered.run_id),
        "worst": source.image(registered.run_id, "plots/worst.png"),
        "confusion": _confusion(source, registered.run_id),
    }


def _curve(source: ReportSource, run_id: str) -> str:
    """Draw the metrics of a run by epoch; empty if one was not logged."""
    tracker, translate = source.execution.tracker, source.translate
    # A run that was reused has no epochs.
    run_id = tracker.trained_by(run_id)
    by_name = {name: metric_history(tracker, run_id, name) for name in CURVES}
    epochs = min(map(len, by_name.values()))
    if not epochs:
        return ""
    history = [
        {"epoch": i + 1, **{name: values[i] for name, values in by_name.items()}}
        for i in range(epochs)
    ]
    return figure_for_page(
        lambda width: learning_curve(history, "", translate, width), "curve", translate("curve")
    )


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
    probability = stored_probability(source.execution.tracker, run_id, "test")
    if source.pictures is None or probability is None:
        return None
    answers = probability.argmax(axis=1)
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
