"""Effects with a random effect of whole plots, as text and as JSON."""

from typing import Any

import pandas as pd

from analysis.effects.result import Effects
from analysis.effects.whole_plots import WholePlots
from tasks.languages import Translate
from tasks.wording.terminal import fitting_table, wrapped
from tasks.wording.values import table_as_json, table_number

#: Columns of the table in a terminal, and those that are left out where a line has no room.
COLUMNS = ["coefficient", "effect", "std_error", "df", "t", "p", "ci_low", "ci_high"]
OPTIONAL = ["ci_high", "ci_low", "t"]


def whole_plots_as_json(found: WholePlots) -> dict[str, Any]:
    """Return the effects as plain JSON types; what is unknown is null."""
    return {
        "column": found.column,
        "whole_plots": found.plots,
        "runs": found.runs,
        "sd_between": found.between,
        "sd_within": found.within,
        "terms": table_as_json(found.terms),
    }


def whole_plots_as_text(found: WholePlots, effects: Effects, translate: Translate) -> str:
    """Return the table of effects, and what their tests compare them with.

    Parameters
    ----------
    effects : of the analysis without whole plots; if some of its runs collapsed, those that learned
        have the effects.
    """
    terms = found.terms[found.terms["effect"].notna()]
    names = [str(name) for name in terms.index]
    columns = {"": [name.ljust(max(map(len, names))) for name in names]}
    for column in COLUMNS:
        columns[column] = ["-" if pd.isna(x) else table_number(x) for x in terms[column]]
    sentences = [
        translate(
            "whole_plots" if found.between else "whole_plots_alike",
            column=found.column,
            plots=found.plots,
            runs=found.runs,
            between=table_number(found.between),
            within=table_number(found.within),
        )
    ]
    if effects.collapse is not None:
        sentences.append(translate("over_pictures_learned"))
    title = f"{translate('whole_plots_title', column=found.column)}:"
    return "\n".join([title, "", fitting_table(columns, OPTIONAL), "", *map(wrapped, sentences)])
