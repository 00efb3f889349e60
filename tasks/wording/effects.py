"""The effects of a screen, and the verdict on them, as text."""

import pandas as pd

from analysis.effects.box_meyer import ALPHA, K_RANGE, K
from analysis.effects.least_squares import CATEGORY, table_value
from analysis.effects.model_matrix import INTERCEPT
from analysis.effects.result import OF_TESTS, Collapse, Effects
from analysis.effects.verdict import Verdict
from analysis.factors import show
from tasks.languages import Translate
from tasks.wording.cautions import caution_as_text
from tasks.wording.terminal import fitting_table, wrapped
from tasks.wording.values import fixed, percent, table_number

#: A longer table shows main effects, two-way interactions and active terms only.
MOST_TERMS = 31
#: Columns of `Effects.terms` that a terminal shows.
COLUMNS = ["coefficient", "effect", "std_error", "t", "p"]
#: Those of them that are left out where a line has no room for them, the last one first.
OPTIONAL = ["P(active)", "coefficient", "std_error", "t"]
#: Sources of the analysis of variance that are tested.
TESTED = ("curvature", "lack of fit", "blocks")
#: An effect is named if its probability to be active is higher than this for some k.
LIKELY = 0.5


def effects_as_text(effects: Effects, translate: Translate) -> str:
    """Return what a terminal prints: the table of terms, the verdict and the cautions.

    If some runs collapsed, the chance of that and the effects on the other runs follow.
    """
    notes = [translate("note", text=caution_as_text(c, translate)) for c in effects.warnings]
    sentences = [
        *fit_as_text(effects, translate),
        *_judged(effects, translate),
        *notes,
    ]
    parts = [terms_table(effects, translate), "", *map(wrapped, sentences)]
    if effects.collapse is not None:
        parts += ["", f"{translate('collapse')}:", "", _collapse_table(effects.collapse, translate)]
        parts += ["", *map(wrapped, collapse_as_text(effects.collapse, translate))]
        if effects.collapse.learned is not None:
            title = f"{learned_title(effects.collapse, translate)}:"
            parts += ["", title, "", effects_as_text(effects.collapse.learned, translate)]
    return "\n".join(parts)


def effects_in_brief(effects: Effects, translate: Translate) -> str:
    """Return the terms and which of them are active, for a search that goes on.

    If some runs collapsed, what is known of that and of the effects on the other runs follows.
    """
    collapse = effects.collapse
    parts = [terms_table(effects, translate), "", wrapped(answer_as_text(effects, translate))]
    if collapse is not None:
        parts += ["", *map(wrapped, collapse_as_text(collapse, translate))]
        if collapse.learned is not None:
            title = f"{learned_title(collapse, translate)}:"
            parts += ["", title, "", effects_in_brief(collapse.learned, translate)]
    return "\n".join(parts)


def answer_as_text(effects: Effects, translate: Translate) -> str:
    """Return which effects are active, or that they are not tested because some runs collapsed."""
    if effects.verdict.collapsed:
        return " ".join(verdict_as_text(effects.verdict, translate))
    return active_as_text(effects, translate)


def judged_as_text(effects: Effects, translate: Translate) -> str:
    """Return which effects are active, and by which test they were judged."""
    return " ".join(_judged(effects, translate))


def _judged(effects: Effects, translate: Translate) -> list[str]:
    """Return which effects are active, if they were tested, and what is known about the test."""
    verdict = " ".join(verdict_as_text(effects.verdict, translate))
    if effects.verdict.collapsed:
        return [verdict]
    return [active_as_text(effects, translate), verdict, *posterior_as_text(effects, translate)]


def posterior_as_text(effects: Effects, translate: Translate) -> list[str]:
    """Return which effects are probably active by Box and Meyer's method, and what it assumes."""
    if effects.posterior is None:
        return []
    low, high = (f"{k:.0f}" for k in K_RANGE)
    ranked = effects.posterior.sort_values("probability", ascending=False, kind="stable")
    likely = [
        translate(
            "posterior_of",
            name=str(name),
            p=f"{row['probability']:.2f}",
            low=f"{row['low']:.2f}",
            high=f"{row['high']:.2f}",
        )
        for name, row in ranked.iterrows()
        if row["high"] > LIKELY
    ]
    key = "posterior" if likely else "posterior_none"
    texts = {"names": ", ".join(likely), "limit": percent(LIKELY), "share": percent(ALPHA)}
    return [translate(key, **texts, k=f"{K:.0f}", low=low, high=high)]


def collapse_as_text(collapse: Collapse, translate: Translate) -> list[str]:
    """Return what is shown about the chance of collapse, as sentences."""
    smallest = str(collapse.p.idxmin())
    key = "collapse_active" if collapse.active else "collapse_not_shown"
    names, alpha = ", ".join(collapse.active), percent(collapse.alpha)
    sentences = [
        translate(key, names=names, alpha=alpha, factor=smallest, p=f"{collapse.p[smallest]:.2g}")
    ]
    if collapse.learned is None:
        sentences.append(translate("learned_too_few"))
    return sentences


def collapse_rows(collapse: Collapse, translate: Translate) -> list[dict[str, str]]:
    """Return one row per factor and level: ``level``, ``collapsed`` and its exact ``interval``."""
    return [
        {
            "level": f"{row['factor']} = {show(row['level'])}",
            "collapsed": translate("n_of", n=row["collapsed"], total=row["runs"]),
            "interval": f"{percent(row['low'])} - {percent(row['high'])}",
        }
        for row in collapse.levels.to_dict("records")
    ]


def _collapse_table(collapse: Collapse, translate: Translate) -> str:
    rows = collapse_rows(collapse, translate)
    width, middle = (max(len(row[name]) for row in rows) for name in ("level", "collapsed"))
    interval = translate("collapse_interval", confidence=percent(1 - collapse.alpha))
    return "\n".join(
        f"{row['level']:<{width}}  {row['collapsed']:>{middle}}  {interval} {row['interval']}"
        for row in rows
    )


def learned_title(collapse: Collapse, translate: Translate) -> str:
    """Return the title of the effects on the runs that learned."""
    if collapse.working_level is not None:
        return translate("half", factor=collapse.strongest, level=show(collapse.working_level))
    return translate("learned", n=len(collapse.learned.runs) if collapse.learned else 0)


def fit_as_text(effects: Effects, translate: Translate) -> list[str]:
    """Return how well the model fits: R², degrees of freedom, and the tests of the whole model.

    Nothing is said of a fit to all runs if some of them collapsed: see `Effects.tested_terms`.
    """
    if effects.verdict.collapsed:
        return []
    df = effects.residual_df
    parts = [translate("fit", r2=fixed(effects.r_squared), df=df, runs=len(effects.runs))]
    if pd.notna(effects.r_squared_adjusted):
        parts.append(translate("fit_adjusted", r2=f"{effects.r_squared_adjusted:.4f}"))
    if pd.notna(effects.r_squared_predicted):
        predicted, press = f"{effects.r_squared_predicted:.4f}", f"{effects.press:.4g}"
        parts.append(translate("fit_predicted", r2=predicted, press=press))
    categories = [str(row) for row in effects.anova.index if str(row).startswith(CATEGORY)]
    for source in (*TESTED, *categories):
        f, p = (table_value(effects.anova, source, column) for column in ("f", "p"))
        if p >= 0:
            name = (
                source.removeprefix(CATEGORY)
                if source in categories
                else translate(f"source_{source.replace(' ', '_')}")
            )
            parts.append(translate("fit_test", source=name, f=f"{f:.2f}", p=f"{p:.3f}"))
    return [f"{'; '.join(parts)}."]


def active_as_text(effects: Effects, translate: Translate) -> str:
    """Return which effects the verdict calls active."""
    alpha, names = percent(effects.alpha), ", ".join(effects.active)
    if not names:
        return translate("active_none", alpha=alpha)
    return translate("active_some", alpha=alpha, names=names)


def verdict_as_text(verdict: Verdict, translate: Translate) -> list[str]:
    """Return by which test the effects were judged, and what it cannot show, as sentences."""
    match verdict.test:
        case "pooled":
            return _pooled(verdict, translate)
        case "welch":
            return _welch(verdict, translate)
        case "lenth":
            return _lenth(verdict, translate)
        case "none":
            if verdict.collapsed:
                return [translate("verdict_collapsed", n=verdict.collapsed)]
            key = "verdict_exact" if verdict.exact else "verdict_none"
            return [translate(key, df=verdict.error_df)]


def _pooled(verdict: Verdict, translate: Translate) -> list[str]:
    sentences = [
        translate(
            "verdict_pooled",
            df=verdict.error_df,
            origin=_origin_of_error(verdict, translate),
            margin=f"{verdict.margin:.4g}",
        ),
        translate(
            "verdict_false_alarms", m=len(verdict.scores), rate=percent(verdict.false_alarm_rate)
        ),
        _jointly(verdict, translate),
    ]
    if not verdict.pure_df and verdict.lenth is not None:
        margin = f"{verdict.lenth.me:.4g}"
        sentences.append(translate("verdict_without_replicates", margin=margin))
    return sentences


def _welch(verdict: Verdict, translate: Translate) -> list[str]:
    return [
        translate(
            "verdict_welch",
            p=f"{verdict.spread_p:.2g}",
            df=f"{verdict.welch_df:.1f}",
            pooled=verdict.error_df,
            margin=f"{verdict.margin:.4g}",
        ),
        translate(
            "verdict_false_alarms", m=len(verdict.scores), rate=percent(verdict.false_alarm_rate)
        ),
        _jointly(verdict, translate),
    ]


def _origin_of_error(verdict: Verdict, translate: Translate) -> str:
    model_df = verdict.error_df - verdict.pure_df
    if not model_df:
        return translate("error_from_replicates")
    if not verdict.pure_df:
        return translate("error_from_model")
    return translate("error_from_both", pure=verdict.pure_df, model=model_df)


def _lenth(verdict: Verdict, translate: Translate) -> list[str]:
    margins = verdict.lenth
    sentences = _t_tests(verdict, translate)
    if margins is not None:
        sentences.append(
            translate(
                "verdict_lenth",
                m=margins.m,
                margin=f"{margins.me:.4g}",
                margin_t=f"{margins.me_t:.4g}",
                jointly_t=f"{margins.sme_t:.4g}",
            )
        )
    sentences.append(_jointly(verdict, translate))
    sentences.append(translate("verdict_lenth_limits"))
    if verdict.mostly_zero:
        sentences.append(translate("verdict_mostly_zero"))
    return sentences


def _t_tests(verdict: Verdict, translate: Translate) -> list[str]:
    """Return what t-tests show on few error degrees of freedom, or without any error."""
    if verdict.exact:
        return [translate("verdict_exact")]
    if not verdict.error_df:
        return [translate("verdict_no_t_test")]
    limit = f"{verdict.t_limit:.1f}"
    sentences = [translate("verdict_t_limit", df=verdict.error_df, limit=limit)]
    if verdict.active_by_t:
        sentences.append(translate("verdict_t_active", names=", ".join(verdict.active_by_t)))
    return sentences


def _jointly(verdict: Verdict, translate: Translate) -> str:
    margin, names = f"{verdict.simultaneous:.4g}", ", ".join(verdict.active_jointly)
    if not names:
        return translate("verdict_jointly_none", margin=margin)
    return translate("verdict_jointly", margin=margin, names=names)


def shown_terms(effects: Effects) -> list[str]:
    """Return the terms that a table shows, without the intercept.

    All of them; in a large model the main effects, two-way interactions and active terms.
    """
    names = [str(name) for name in effects.terms.index if name != INTERCEPT]
    if len(names) <= MOST_TERMS:
        return names
    return [name for name in names if name.count(":") <= 1 or name in effects.active]


def unfitted_active_terms(effects: Effects) -> list[str]:
    """Return active terms that Lenth's method judged and the model leaves to the residual."""
    return [name for name in effects.active if name not in effects.terms.index]


def term_verdict(effects: Effects, name: str, translate: Translate) -> str:
    """Return the verdict on one term."""
    if name in effects.verdict.active_jointly:
        return translate("active_jointly")
    if effects.verdict.collapsed:
        return translate("not_tested")
    return translate("active" if name in effects.active else "not_shown")


def probability(effects: Effects, name: str) -> str:
    """Return the probability that a term is active, with two decimals; a dash if it has none."""
    if effects.posterior is None or name not in effects.posterior.index:
        return "-"
    return f"{table_value(effects.posterior, name, 'probability'):.2f}"


def terms_table(effects: Effects, translate: Translate) -> str:
    """Return the table of terms; columns that do not fit into a line are left out."""
    names = [INTERCEPT, *shown_terms(effects)]
    terms = effects.tested_terms.loc[names]
    columns: dict[str, list[str]] = {"": _flush_left(names)}
    for column in COLUMNS:
        if effects.verdict.collapsed and column in OF_TESTS:
            continue
        columns[column] = ["-" if pd.isna(x) else table_number(x) for x in terms[column]]
    if effects.posterior is not None:
        columns["P(active)"] = [probability(effects, name) for name in names]
    verdicts = [
        term_verdict(effects, name, translate) if name in effects.active else "" for name in names
    ]
    columns[" "] = verdicts
    lines = [fitting_table(columns, OPTIONAL)]
    hidden = len(effects.terms) - len(names)
    if hidden:
        lines.append(f"({translate('hidden_terms', n=hidden)})")
    lines += [
        translate("unfitted_term", term=name, effect=f"{effects.contrasts[name]:.4f}")
        for name in unfitted_active_terms(effects)
    ]
    return "\n".join(lines)


def _flush_left(texts: list[str]) -> list[str]:
    width = max(map(len, texts))
    return [text.ljust(width) for text in texts]
