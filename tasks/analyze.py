"""Anyone's experiment: a table of runs in, effects and decision out."""

import math
from typing import Any

from analysis.decision import Decision
from analysis.effects import Effects

TERM_FIELDS = ("coefficient", "effect", "std_error", "t", "p", "sum_of_squares")


def to_json(effects: Effects, decision: Decision) -> dict[str, Any]:
    """Return the analysis as plain JSON types; what does not exist is null."""
    return {
        "terms": {
            str(name): {field: _number(row[field]) for field in TERM_FIELDS}
            for name, row in effects.terms.iterrows()
        },
        "residual_df": effects.residual_df,
        "r_squared": _number(effects.r_squared),
        "lenth": effects.lenth
        and {"pse": effects.lenth.pse, "me": effects.lenth.me, "sme": effects.lenth.sme},
        "active": list(effects.active),
        "decision": {"grid": {name: list(levels) for name, levels in decision.grid.items()}},
    }


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
