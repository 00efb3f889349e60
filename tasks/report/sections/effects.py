"""Report section: the effects, with the verdict on them and their figures."""

from collections.abc import Sequence
from typing import Any

from analysis.effects.least_squares import table_value
from analysis.effects.model_matrix import INTERCEPT
from analysis.effects.result import Effects
from analysis.plots import effects as effect_plots
from tasks.languages import Translate
from tasks.report.source import ReportSource
from tasks.report.svg import figure_for_page
from tasks.wording.cautions import caution_as_text
from tasks.wording.effects import (
    collapse_as_text,
    collapse_rows,
    fit_as_text,
    judged_as_text,
    learned_title,
    probability,
    shown_terms,
    term_verdict,
    unfitted_active_terms,
)
from tasks.wording.lengths import lengths_as_text
from tasks.wording.over_pictures import active_over_pictures_as_text
from tasks.wording.responses import direction_as_text
from tasks.wording.values import fixed, p_value, signed


def effects_section(source: ReportSource) -> dict[str, Any] | None:
    """Return the effects; None without a two-level screen.

    Returns
    -------
    ``text``; ``terms`` and ``verdict``: see `_judged`; ``cautions``: a list of sentences;
    ``collapse``: None, or ``levels`` and ``text`` of the chance of collapse; ``half``: None, or
    ``title``, ``terms``, ``verdict`` and ``figures`` of the effects on the runs that learned;
    ``figures``: each with ``name``, ``image`` (SVG elements) and ``caption``.
    """
    effects, translate = source.outcome.effects, source.translate
    if effects is None:
        return None
    mean = fixed(table_value(effects.terms, INTERCEPT, "coefficient"))
    about = translate("effects_text", response=effects.response_label, mean=mean)
    direction = direction_as_text(source.study.measured, translate)
    lengths = [*direction, *lengths_as_text(source.outcome.lengths, translate)]
    collapse = effects.collapse
    learned = collapse and collapse.learned
    over = active_over_pictures_as_text(
        source.outcome.over_pictures, effects.judged.active, translate
    )
    return {
        "text": " ".join([about, *lengths, *fit_as_text(effects, translate)]),
        # With collapsed runs, the effects that have standard errors are those of the others.
        **_judged(effects, translate, [] if learned else over),
        "cautions": [caution_as_text(caution, translate) for caution in effects.warnings],
        "collapse": collapse
        and {
            "levels": collapse_rows(collapse, translate),
            "text": " ".join(collapse_as_text(collapse, translate)),
        },
        "half": collapse
        and learned
        and {
            "title": learned_title(collapse, translate),
            **_judged(learned, translate, over),
            "figures": _figures(learned, translate, "learned_"),
        },
        "figures": _figures(effects, translate),
    }


def _judged(effects: Effects, translate: Translate, over: Sequence[str]) -> dict[str, Any]:
    """Return ``terms``, one row per term, and ``verdict``, the verdict on all of them.

    `over` are sentences about other pictures, which follow the verdict.
    """
    names = [*shown_terms(effects), *unfitted_active_terms(effects)]
    return {
        "terms": [_term(effects, name, translate) for name in names],
        "verdict": " ".join([judged_as_text(effects, translate), *over]),
    }


def _term(effects: Effects, name: str, translate: Translate) -> dict[str, Any]:
    row: Any = effects.tested_terms.reindex([name]).iloc[0]
    effect = row["effect"] if name in effects.terms.index else effects.contrasts[name]
    return {
        "name": name.replace(":", " : "),
        "effect": signed(effect),
        # Of the effect, which is twice the coefficient.
        "std_error": fixed(2 * row["std_error"]),
        "t": fixed(row["t"], 2),
        "p": p_value(row["p"]),
        "tested": not effects.verdict.collapsed,
        # Of all terms or of none.
        "probability": "" if effects.posterior is None else probability(effects, name),
        "active": name in effects.active,
        "verdict": term_verdict(effects, name, translate),
    }


def _figures(effects: Effects, translate: Translate, prefix: str = "") -> list[dict[str, str]]:
    names = ["pareto", "half_normal", "main_effects"]
    names += ["interactions"] if len(effects.factors) > 1 else []
    if not prefix and effects.collapse and effects.collapse.learned:
        # What these show of all runs is the collapse; the effects are those of the others.
        names = ["main_effects"]
    return [_figure(effects, name, translate, prefix) for name in names]


def _figure(effects: Effects, name: str, translate: Translate, prefix: str) -> dict[str, str]:
    function, caption = getattr(effect_plots, name), translate(name)
    partly = any(caution.kind == "shares_of_interactions" for caution in effects.warnings)
    if name == "interactions" and partly:
        caption = f"{caption} {translate('interactions_partly')}"
    image = figure_for_page(
        lambda width: function(effects, translate, width), f"{prefix}{name}", caption
    )
    return {"name": name, "image": image, "caption": caption}
