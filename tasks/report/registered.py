"""The registered winner as text."""

from analysis.factors import cell_name
from analysis.mcnemar import Proportion
from tasks.languages import Translate
from tasks.report.outcome import Outcome
from tasks.wording.values import percent, percent_fixed


def registered_as_text(outcome: Outcome, translate: Translate) -> list[str]:
    """Return the winner's accuracy on the test images, and its registration, as sentences.

    Empty if the study is not finished.
    """
    registered = outcome.registered
    if registered is None:
        return []
    cell = cell_name(outcome.selection.chosen)
    model = translate(
        "registered",
        name=registered.name,
        version=registered.version,
        alias=registered.alias,
        address=f"models:/{registered.name}@{registered.alias}",
    )
    sentences = [translate("winner_text", cell=cell, **test_accuracy(registered.test)), model]
    against = registered.against
    if against is not None:
        counts = {
            "n": f"{against.n:,}",
            "ours": f"{against.only_challenger:,}",
            "theirs": f"{against.only_champion:,}",
        }
        sentences.append(translate("against", **counts, p=against.relation))
    return sentences


def test_accuracy(test: Proportion) -> dict[str, str]:
    """Return an accuracy on the test images with its interval, as the values of a sentence."""
    return {
        "value": percent_fixed(test.value),
        "low": percent_fixed(test.low),
        "high": percent_fixed(test.high),
        "n": f"{test.n:,}",
        "confidence": percent(1 - test.alpha),
    }
