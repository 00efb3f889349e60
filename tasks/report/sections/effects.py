"""Report section: the effects, with the verdict on them and their figures."""

from typing import Any

from analysis.effects.least_squares import table_value
from analysis.effects.model_matrix import INTERCEPT
from analysis.effects.result import Effects
from analysis.plots import effects as effect_plots
from tasks.languages import Translate
from tasks.report.render import figure_as_data_url
from tasks.report.source import ReportSource
from tasks.wording.cautions import caution_as_text
from tasks.wording.effects import (
    active_as_text,
    fit_as_text,
    half_title,
    shown_terms,
    term_verdict,
    unfitted_active_terms,
    verdict_as_text,
)
from tasks.wording.lengths import lengths_as_text
from tasks.wording.values import fixed, p_value, signed


def effects_section(source: ReportSource) -> dict[str, Any]:
    """Return the effects.

    Returns
    -------
    ``text``; ``terms`` and ``verdict``: see `_judged`; ``cautions``: a list of sentences;
    ``half``: None, or ``title``, ``terms`` and ``verdict`` of the effects at the level of a
    factor at which networks learn; ``figures``: each with ``name``, ``image`` (a data: URL) and
    ``caption``.
    """
    effects, translate = source.outcome.effects, source.translate
    mean = fixed(table_value(effects.terms, INTERCEPT, "coefficient"))
    about = translate("effects_text", response=effects.response_label, mean=mean)
    half = effects.working_level
    lengths = lengths_as_text(source.outcome.lengths, translate)
    return {
        "text": " ".join([about, *lengths, fit_as_text(effects, translate)]),
        **_judged(effects, translate),
        "cautions": [caution_as_text(caution, translate) for caution in effects.warnings],
        "half": half and {"title": half_title(half, translate), **_judged(half.effects, translate)},
        "figures": _figures(effects, translate),
    }


def _judged(effects: Effects, translate: Translate) -> dict[str, Any]:
    """Return ``terms``, one row per term, and ``verdict``, the verdict on all of them."""
    names = [*shown_terms(effects), *unfitted_active_terms(effects)]
    sentences = [active_as_text(effects, translate), *verdict_as_text(effects.verdict, translate)]
    return {
        "terms": [_term(effects, name, translate) for name in names],
        "verdict": " ".join(sentences),
    }


def _term(effects: Effects, name: str, translate: Translate) -> dict[str, Any]:
    row: Any = effects.terms.reindex([name]).iloc[0]
    effect = row["effect"] if name in effects.terms.index else effects.contrasts[name]
    return {
        "name": name.replace(":", " : "),
        "effect": signed(effect),
        # Of the effect, which is twice the coefficient.
        "std_error": fixed(2 * row["std_error"]),
        "t": fixed(row["t"], 2),
        "p": p_value(row["p"]),
        "active": name in effects.active,
        "verdict": term_verdict(effects, name, translate),
    }


def _figures(effects: Effects, translate: Translate) -> list[dict[str, str]]:
    names = ["pareto", "half_normal", "main_effects"]
    names += ["interactions"] if len(effects.factors) > 1 else []
    figures = {name: getattr(effect_plots, name)(effects) for name in names}
    return [
        {"name": name, "image": figure_as_data_url(figure), "caption": translate(name)}
        for name, figure in figures.items()
    ]
