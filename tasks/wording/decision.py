"""The decision after the screen as text."""

import math

from analysis.factors import show
from analysis.search.procedure import SearchRules
from analysis.search.refined_grid import Decision, LevelReason
from tasks.languages import Translate
from tasks.wording.values import cell_as_text


def decision_as_text(
    decision: Decision, translate: Translate, rules: SearchRules | None = None
) -> list[str]:
    """Return a decision with its reasons: one line per factor, and which cells are searched.

    Parameters
    ----------
    decision : the refined levels of each factor.
    translate : see `tasks.languages.translator`.
    rules : how the study searches; by default these levels as a grid.
    """
    reasons = [level_reason_as_text(reason, translate, rules) for reason in decision.reasons]
    return [*reasons, method_as_text(decision, translate, rules)]


def level_reason_as_text(
    reason: LevelReason, translate: Translate, rules: SearchRules | None = None
) -> str:
    """Return why a factor has its refined levels, or its better one if all ranges are searched."""
    end = "_whole_space" if searches_whole_space(rules) else ""
    values = {
        "factor": reason.factor,
        "why": why_as_text(reason, translate),
        "levels": ", ".join(map(show, reason.levels)),
    }
    if reason.code == "conditional":
        return translate("decision_conditional", factor=reason.factor, cell=cell_as_text(reason.at))
    at = translate("decision_at", cell=cell_as_text(reason.at)) if reason.at else ""
    if math.isnan(reason.effect):
        key = "decision_unknown_budget" if reason.code == "budget" else f"decision_unknown{end}"
        return translate(key, **values, at=at)
    low, high = map(show, reason.between)
    effect = {"effect": f"{reason.effect:+.4f}", "low": low, "high": high, "at": at}
    key = "decision_factor" if reason.effect or reason.terms else "decision_no_effect"
    return translate(key + end, **values, **effect, level=show(reason.level))


def searches_whole_space(rules: SearchRules | None) -> bool:
    """Return whether the refinement searches the whole ranges, and not around the better levels."""
    return rules is not None and rules.trainings is not None


def why_as_text(reason: LevelReason, translate: Translate) -> str:
    """Return the code of a reason as text, with the active interactions of the factor.

    For a factor whose effect is unknown, or one of whose levels is, the terms that it cannot be
    distinguished from.
    """
    if math.isnan(reason.effect) and reason.code not in {"collapsed", "conditional"}:
        terms = ", ".join(reason.terms) or translate("why_constant")
        return translate("why_unknown", terms=terms)
    if reason.code == "unknown":
        return translate("why_partly_unknown", terms=", ".join(reason.terms))
    why = translate(f"why_{reason.code}")
    interacts = reason.code == "active" and any(":" in term for term in reason.terms)
    return f"{why} ({', '.join(reason.terms)})" if interacts else why


def method_as_text(
    decision: Decision, translate: Translate, rules: SearchRules | None = None
) -> str:
    """Return which cells are searched, and how: a grid, a Gaussian process or a surface."""
    if rules is None or rules.method == "grid":
        return translate("grid_cells", n=decision.n_cells)
    if searches_whole_space(rules):
        names = {"n": rules.budget, "at_once": at_once_as_text(rules, translate)}
        if short := rules.short:
            lengths = {"epochs": short.epochs, "full": short.full}
            return translate("whole_space_cells_two_lengths", **names, **lengths)
        return translate("whole_space_cells" if rules.budget else "no_more_cells", **names)
    return translate(f"{rules.method}_cells", n=rules.budget)


def at_once_as_text(rules: SearchRules, translate: Translate) -> str:
    """Return how many cells are chosen at once."""
    most = min(rules.parallel, rules.budget + (rules.short.number if rules.short else 0))
    if most <= 1:
        return translate("one_at_a_time")
    return translate("several_at_a_time", n=most)
