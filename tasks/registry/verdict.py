"""The verdict on a challenger: data, and its wording by one function.

The verdict of a study's winner is stored in its `registered.json`. Records of versions before 0.2
have a sentence instead; it is kept as a verdict of the kind ``recorded``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from analysis.mcnemar import ConstantComparison, McNemarResult, Proportion, p_as_text
from tasks.wording.values import percent, percent_fixed

PromotionKind = Literal[
    "first",  # the model has no champion
    "better",  # the challenger beat the champion
    "not_better",  # it did not
    "not_learned",  # on the test images it does not beat the constant answer
    "same_network",  # both versions are of one run
    "won_again",  # a study chose the champion's network again
    "other_images",  # the two were tested on different images
    "not_compared",  # an answer is missing; `reason` says which
    "was_rolled_back",  # the challenger was champion before and was rolled back
    "no_challenger",  # no version has the alias
    "forced",  # a person makes it champion; `reason` is theirs
    "rolled_back",  # the champion is rolled back to `challenger`
    "recorded",  # of an old record: `reason` is its sentence
]
#: The kinds with which the alias of the champion moves.
EARNED = {"first", "better", "forced", "rolled_back"}


@dataclass(frozen=True)
class PromotionVerdict:
    """Whether a challenger becomes champion, and why.

    Attributes
    ----------
    kind : what was found.
    challenger : the version that was judged; empty if there was none.
    champion : the version that was champion then; empty if there was none.
    comparison : McNemar's test on the same test images; None if the two were not compared.
    challenger_dataset, champion_dataset : their dataset versions, if they differ.
    reason : text of a person or of an error, see `PromotionKind`; empty if there is none.
    """

    kind: PromotionKind
    challenger: str = ""
    champion: str = ""
    comparison: McNemarResult | None = None
    challenger_dataset: str = ""
    champion_dataset: str = ""
    reason: str = ""

    @property
    def earned(self) -> bool:
        """Whether the challenger may become champion."""
        return self.kind in EARNED

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> "PromotionVerdict":
        """Read a verdict back from plain JSON types."""
        comparison = content["comparison"]
        return cls(**{**content, "comparison": comparison and McNemarResult(**comparison)})


def promotion_as_text(verdict: PromotionVerdict, translate: Callable[..., str]) -> str:
    """Return a verdict as text.

    Parameters
    ----------
    translate : returns the sentence of a key; see `tasks.languages.translator`.
    """
    text = translate(
        f"promotion_{verdict.kind}",
        challenger=verdict.challenger,
        champion=verdict.champion,
        challenger_dataset=verdict.challenger_dataset or "-",
        champion_dataset=verdict.champion_dataset or "-",
        reason=verdict.reason,
        comparison=_comparison_as_text(verdict.comparison, translate),
    )
    if verdict.kind == "rolled_back" and verdict.reason:
        return f"{text} {translate('promotion_reason', reason=verdict.reason)}"
    return text


def _comparison_as_text(comparison: McNemarResult | None, translate: Callable[..., str]) -> str:
    if comparison is None:
        return ""
    return translate(
        "promotion_comparison",
        n=f"{comparison.n:,}",
        challenger=f"{comparison.only_challenger:,}",
        champion=f"{comparison.only_champion:,}",
        p=comparison.p_as_text,
    )


def constant_as_text(found: ConstantComparison, translate: Callable[..., str]) -> str:
    """Return whether a network beats the constant answer, as a sentence."""
    return translate(
        "constant_beaten" if found.network_is_better else "constant_not_beaten",
        right=f"{found.right:,}",
        constant=f"{found.constant_right:,}",
        ours=f"{found.only_network:,}",
        theirs=f"{found.only_constant:,}",
        n=f"{found.n:,}",
        p=p_as_text(found.p),
    )


def test_accuracy(test: Proportion) -> dict[str, str]:
    """Return an accuracy on the test images with its interval, as the values of a sentence."""
    return {
        "value": percent_fixed(test.value),
        "low": percent_fixed(test.low),
        "high": percent_fixed(test.high),
        "n": f"{test.n:,}",
        "confidence": percent(1 - test.alpha),
    }
