"""Report section: the effects, with their test and figures."""

from typing import Any

from analysis.effects.least_squares import table_value
from analysis.effects.result import Effects
from analysis.factors import show
from analysis.plots import effects as effect_plots
from tasks.languages import Translate
from tasks.report.numbers import cell_words, number, p_value, percent, signed
from tasks.report.render import figure_as_data_url
from tasks.report.sections.grid import NAMED
from tasks.report.source import ReportSource

#: A longer table of terms shows main effects, two-way interactions and active terms.
MOST_TERMS = 31


def effects_section(source: ReportSource) -> dict[str, Any]:
    """Return the values of the template's `effects` section."""
    effects, say = source.outcome.effects, source.say
    text = say(
        "effects_text",
        response=effects.response_label,
        mean=number(table_value(effects.terms, "intercept", "coefficient")),
        r2=number(effects.r_squared),
        df=effects.residual_df,
        runs=len(effects.runs),
    )
    half = effects.working_level
    return {
        "text": text,
        **_judged(effects, say),
        "collapsed": _collapsed(effects, say),
        "cautions": [line for line in effects.warnings if " collapsed (" not in line],
        "half": half
        and {
            "title": say("half", factor=half.factor, level=show(half.level)),
            **_judged(half.effects, say),
        },
        "figures": _effect_figures(effects, say),
    }


def _judged(effects: Effects, say: Translate) -> dict[str, Any]:
    """Return a table of terms with the verdict on each, and the verdict in words."""
    alpha = percent(effects.alpha)
    names = ", ".join(effects.active)
    active = say("active_some", alpha=alpha, names=names) if names else ""
    return {
        "terms": [_term(effects, name, say) for name in _worth(effects)],
        "verdict": f"{active or say('active_none', alpha=alpha)} {_tested(effects, say)}",
    }


def _worth(effects: Effects) -> list[str]:
    """Return the terms to show, and the active ones that the model left to the residual."""
    fitted = [str(name) for name in effects.terms.index[1:]]
    if len(fitted) > MOST_TERMS:
        fitted = [name for name in fitted if name.count(":") <= 1 or name in effects.active]
    return [*fitted, *(name for name in effects.active if name not in fitted)]


def _term(effects: Effects, name: str, say: Translate) -> dict[str, Any]:
    row: Any = effects.terms.reindex([name]).iloc[0]
    effect = row["effect"] if name in effects.terms.index else effects.contrasts[name]
    verdict = "surely" if name in effects.verdict.surely else "active"
    return {
        "name": name.replace(":", " : "),
        "effect": signed(effect),
        # Of the effect, which is twice the coefficient.
        "std_error": number(2 * row["std_error"]),
        "t": number(row["t"], 2),
        "p": p_value(row["p"]),
        "active": name in effects.active,
        "verdict": say(verdict if name in effects.active else "quiet"),
    }


def _tested(effects: Effects, say: Translate) -> str:
    verdict, m = effects.verdict, len(effects.verdict.scores)
    return say(
        verdict.test,
        df=effects.residual_df,
        m=m,
        margin=number(verdict.margin),
        simultaneous=number(verdict.simultaneous),
        false=percent(1 - (1 - effects.alpha) ** m),
    )


def _collapsed(effects: Effects, say: Translate) -> str:
    runs = effects.runs
    fallen = runs[runs["collapsed"].astype(bool)] if "collapsed" in runs else runs[:0]
    if fallen.empty:
        return ""
    cells = fallen[[f.name for f in effects.factors]].drop_duplicates().to_dict("records")
    named = [cell_words(cell) for cell in cells[:NAMED]]
    more = [say("and_more", n=len(cells) - NAMED)] if len(cells) > NAMED else []
    return say("collapsed", n=len(fallen), runs=len(runs), cells="; ".join([*named, *more]))


def _effect_figures(effects: Effects, say: Translate) -> list[dict[str, str]]:
    names = ["pareto", "half_normal", "main_effects"]
    names += ["interactions"] if len(effects.factors) > 1 else []
    drawn = [(name, getattr(effect_plots, name)(effects)) for name in names]
    return [
        {"name": n, "image": figure_as_data_url(figure), "words": say(n)} for n, figure in drawn
    ]
