"""A screen in which no network learned as text: what was found, and what to change."""

from tasks.languages import Translate
from tasks.search.nothing_learned import NothingLearned, Remedy


def stopped_as_text(found: NothingLearned, translate: Translate) -> str:
    """Return that the study was stopped after its screen, and why, as sentences."""
    text = translate(
        "stopped",
        runs=found.runs,
        best=f"{found.best:.4f}",
        chance=f"{found.chance:.4f}",
        images=f"{found.images:,}",
    )
    if not found.response:
        return text
    best = f"{found.best_response:.4f}"
    return f"{text} {translate('stopped_response', response=found.response, best=best)}"


def remedies_as_text(found: NothingLearned, translate: Translate) -> list[str]:
    """Return the changes that may help, one sentence each, the most promising first."""
    return [_remedy(remedy, translate) for remedy in found.remedies]


def _remedy(remedy: Remedy, translate: Translate) -> str:
    key = f"remedy_{remedy.kind}"
    match remedy.kind, remedy.proposed:
        case "learning_rate", ():
            return translate("remedy_learning_rate_usual", now=remedy.now)
        case "learning_rate", (low, high):
            return translate("remedy_learning_rate_range", now=remedy.now, low=low, high=high)
        case "pictures", () if not remedy.now:
            key = "remedy_pictures_all"
    return translate(key, now=remedy.now, proposed=", ".join(remedy.proposed))
