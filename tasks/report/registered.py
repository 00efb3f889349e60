"""The registered winner as text."""

from analysis.factors import cell_name
from analysis.mcnemar import Proportion, p_as_text
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
        "registered" if registered.alias else "registered_without_alias",
        name=registered.name,
        version=registered.version,
        address=registered.address,
        **({"alias": registered.alias} if registered.alias else {}),
    )
    return [
        translate("winner_text", cell=cell, **test_accuracy(registered.test)),
        *constant_as_text(registered, translate),
        model,
    ]


def constant_as_text(registered: Registered, translate: Translate) -> list[str]:
    """Return whether the network beats the constant answer; empty if that was not recorded."""
    found = registered.constant
    if found is None:
        return []
    return [
        translate(
            "constant_beaten" if found.network_is_better else "constant_not_beaten",
            right=f"{found.right:,}",
            constant=f"{found.constant_right:,}",
            ours=f"{found.only_network:,}",
            theirs=f"{found.only_constant:,}",
            n=f"{found.n:,}",
            p=p_as_text(found.p),
        )
    ]


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
