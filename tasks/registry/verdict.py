"""The verdict on a challenger: data, and its wording by one function.

The verdict of a study's winner is stored in its `registered.json`. Records of versions before 0.2
have a sentence instead; it is kept as a verdict of the kind ``recorded``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from analysis.mcnemar import (
    ConstantComparison,
    Look,
    McNemarResult,
    Proportion,
    RecipeAccuracy,
    p_as_text,
)
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
    look : which look at these test images the comparison is; None without a comparison, and in
        records of versions before 0.3.
    """

    kind: PromotionKind
    challenger: str = ""
    champion: str = ""
    comparison: McNemarResult | None = None
    challenger_dataset: str = ""
    champion_dataset: str = ""
    reason: str = ""
    look: Look | None = None

    @property
    def earned(self) -> bool:
        """Whether the challenger may become champion."""
        return self.kind in EARNED

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> "PromotionVerdict":
        """Read a verdict back from plain JSON types."""
        comparison, look = content["comparison"], content.get("look")
        found = {"comparison": comparison and McNemarResult(**comparison)}
        return cls(**{**content, **found, "look": look and Look(**look)})


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
    return text if verdict.look is None else f"{text} {_look_as_text(verdict.look, translate)}"


def _look_as_text(look: Look, translate: Callable[..., str]) -> str:
    spent = {"spent": percent_fixed(look.spent), "alpha": percent(look.alpha)}
    text = translate("promotion_look", number=look.number, level=f"{look.level:.2g}", **spent)
    return f"{text} {translate('promotion_used_up')}" if look.used_up else text


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


def recipe_as_text(recipe: RecipeAccuracy, translate: Callable[..., str]) -> str:
    """Return what the interval of a network covers, and the accuracy of all trainings."""
    return translate(
        "winner_recipe",
        value=percent_fixed(recipe.value),
        low=percent_fixed(recipe.low),
        high=percent_fixed(recipe.high),
        confidence=percent(1 - recipe.alpha),
        trainings=recipe.trainings,
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
