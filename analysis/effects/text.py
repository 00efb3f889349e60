"""The effects in words, for a terminal."""

import textwrap

import pandas as pd

from analysis.effects.least_squares import table_value
from analysis.effects.result import Effects
from analysis.factors import show

COLUMNS = ["coefficient", "effect", "std_error", "t", "p"]
#: A longer table of terms shows main effects, two-way interactions and active terms.
LONGEST = 31
WIDTH = 100


def effects_table(effects: Effects) -> str:
    """Return the table of terms, with the verdict and what bears on it in words below.

    Where a factor's level always collapses, the same follows for the runs at its other level.
    """
    words = [_fit_in_words(effects), *_verdict_in_words(effects)]
    words += [f"Note: {line}." for line in effects.warnings]
    parts = [_table(effects), "", *map(wrapped, words)]
    if effects.working_level is not None:
        half = effects.working_level
        title = f"At {half.factor} = {show(half.level)} alone, where networks learn:"
        parts += ["", title, "", effects_table(half.effects)]
    return "\n".join(parts)


def _table(effects: Effects) -> str:
    table = effects.terms[COLUMNS]
    shown = table if len(table) <= LONGEST + 1 else table[_worth(effects)]
    marked = shown.copy()
    marked[""] = [_mark(effects, str(name)) for name in shown.index]
    marked.index.name = None
    text = str(marked.to_string(float_format=number, na_rep="-"))
    hidden = len(table) - len(shown)
    note = f"\n({hidden} more terms of higher order, none of them active)" if hidden else ""
    return text + note + _only_contrasts(effects)


def number(x: float) -> str:
    """Return a number with four decimals, or three significant digits if large or small."""
    return f"{x:.4f}" if 1e-3 <= abs(x) < 1e5 or x == 0 else f"{x:.3g}"  # noqa: PLR2004 # four places tell


def _worth(effects: Effects) -> list[bool]:
    names = effects.terms.index.astype(str)
    return [name.count(":") <= 1 or name in effects.active for name in names]


def _mark(effects: Effects, name: str) -> str:
    if name in effects.verdict.surely:
        return "active (surely)"
    return "active" if name in effects.active else ""


def _only_contrasts(effects: Effects) -> str:
    """Give the active terms that the model left to the residual, and Lenth's method judged."""
    names = [name for name in effects.active if name not in effects.terms.index]
    lines = [
        f"{name}: effect {effects.contrasts[name]:.4f}, left to the residual" for name in names
    ]
    return "".join(f"\n{line}" for line in lines)


def _fit_in_words(effects: Effects) -> str:
    df, predicted = effects.residual_df, effects.r_squared_predicted
    words = (
        f"R^2 = {effects.r_squared:.4f}, {df} residual degree{'s' * (df != 1)} of freedom, "
        f"{len(effects.runs)} runs"
    )
    if df:
        words += f"; adjusted {effects.r_squared_adjusted:.4f}"
    if pd.notna(predicted):
        words += f", of prediction {predicted:.4f} (PRESS {effects.press:.4g})"
    tests = [_tested(effects, name) for name in ("curvature", "lack of fit", "blocks")]
    return ". ".join([words, *filter(None, tests)]) + "."


def _tested(effects: Effects, source: str) -> str:
    f, p = (table_value(effects.anova, source, column) for column in ("f", "p"))
    return f"{source}: F = {f:.2f}, p = {p:.3f}" if p >= 0 else ""


def _verdict_in_words(effects: Effects) -> list[str]:
    return [f"Active: {', '.join(effects.active) or 'none'}.", effects.verdict.words]


def wrapped(line: str) -> str:
    """Return a line broken for a terminal, its continuations indented; names stay whole."""
    return textwrap.fill(
        line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
