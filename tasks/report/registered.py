"""The registered winner as text."""

from analysis.factors import cell_name
from analysis.mcnemar import Proportion
from tasks.languages import Translate
from tasks.registry.register import Registered
from tasks.registry.verdict import promotion_as_text
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
    return [translate("winner_text", cell=cell, **test_accuracy(registered.test)), model]


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


def test_accuracy(test: Proportion) -> dict[str, str]:
    """Return an accuracy on the test images with its interval, as the values of a sentence."""
    return {
        "value": percent_fixed(test.value),
        "low": percent_fixed(test.low),
        "high": percent_fixed(test.high),
        "n": f"{test.n:,}",
        "confidence": percent(1 - test.alpha),
    }
