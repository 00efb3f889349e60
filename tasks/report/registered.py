"""The registered winner as text."""

import math

from analysis.factors import cell_name
from analysis.runs.response import DEFAULT, Response, response_of
from analysis.search.best_cell import Selection
from tasks.languages import Translate
from tasks.registry.register import Registered, test_response
from tasks.registry.verdict import (
    constant_as_text,
    promotion_as_text,
    recipe_as_text,
    test_accuracy,
)
from tasks.report.outcome import Outcome
from tasks.tracking.final_training import FinalTraining


def registered_as_text(outcome: Outcome, translate: Translate) -> list[str]:
    """Return the winner's accuracy on the test images, and its registration, as sentences.

    Empty if the study is not finished.
    """
    registered = outcome.registered
    if registered is None:
        return []
    cell = cell_name(outcome.selection.chosen)
    model = translate(
        "registered" if registered.alias else "registered_without_alias",
        name=registered.name,
        version=registered.version,
        address=registered.address,
        **({"alias": registered.alias} if registered.alias else {}),
    )
    return [
        *final_as_text(outcome.final, outcome.study.measured, translate),
        translate("winner_text", cell=cell, **test_accuracy(registered.test)),
        *([recipe_as_text(registered.recipe, translate)] if registered.recipe else []),
        *_test_response(outcome.study.response, registered, translate),
        *([constant_as_text(registered.constant, translate)] if registered.constant else []),
        model,
    ]


def winner_in_short(
    selection: Selection, registered: Registered, final: FinalTraining | None, translate: Translate
) -> list[str]:
    """Return the winner and its accuracy, and how long it was trained if that was decided apart."""
    cell = cell_name(selection.chosen)
    sentences = [translate("short_winner", cell=cell, **test_accuracy(registered.test))]
    if final is not None and final.is_better:
        lengths = {"epochs": final.epochs, "usual": final.usual_epochs}
        sentences.append(translate("short_final", **lengths))
    return sentences


def final_as_text(
    final: FinalTraining | None, response: Response, translate: Translate
) -> list[str]:
    """Return what became of the final training; nothing if there was none."""
    if final is None:
        return []
    result = "failed" if math.isnan(final.value) else "better" if final.is_better else "not_better"
    figures = {"before": f"{final.best_before:.4f}", "response": response.title}
    if result != "failed":
        figures["value"] = f"{final.value:.4f}"
    lengths = {"epochs": final.epochs, "usual": final.usual_epochs}
    return [translate(f"final_{result}", **lengths, **figures)]


def _test_response(response: str, registered: Registered, translate: Translate) -> list[str]:
    """Return the response on the test images; nothing if it is the accuracy, or not known."""
    value = registered.test_metrics.get(test_response(response))
    if response == DEFAULT or value is None:
        return []
    name = response_of(response).title
    return [translate("test_response", response=name, value=f"{value:.4f}")]


def promotion_verdict_as_text(registered: Registered, translate: Translate) -> str:
    """Return why the network has its alias.

    Records of versions before 0.2 have an English sentence; if they have the comparison with the
    champion, that is worded instead.
    """
    verdict, against = registered.verdict, registered.against
    if verdict.kind != "recorded" or against is None:
        return promotion_as_text(verdict, translate)
    counts = {
        "n": f"{against.n:,}",
        "ours": f"{against.only_challenger:,}",
        "theirs": f"{against.only_champion:,}",
    }
    return translate("against", **counts, p=against.p_as_text)
