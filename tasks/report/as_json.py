"""Findings as plain JSON types."""

import math
from typing import Any

import pandas as pd

from analysis.effects.least_squares import table_value
from analysis.effects.result import Effects
from analysis.search.refined_grid import Decision, decision_as_text
from analysis.surface.result import Surface
from tasks.languages import translator
from tasks.registry.verdict import promotion_as_text
from tasks.report.outcome import Outcome
from tasks.search.refine import decision_with_method_as_text

TERM_FIELDS = ("coefficient", "effect", "std_error", "t", "p", "sum_of_squares")
MARGINS = ("pse", "me", "sme", "me_t", "sme_t")


def surface_as_json(surface: Surface, path: pd.DataFrame, source: str) -> dict[str, Any]:
    """Return a surface as plain JSON types."""
    point = surface.stationary
    return {
        "source": source,
        "terms": _table_as_json(surface.terms),
        "residual_df": surface.residual_df,
        "r_squared": _number_or_none(surface.r_squared),
        "r_squared_predicted": _number_or_none(surface.r_squared_predicted),
        "anova": _table_as_json(surface.anova),
        "stationary": point
        and {
            "kind": point.kind,
            "coded": point.coded,
            "natural": point.natural,
            "predicted": point.predicted,
            "eigenvalues": point.eigenvalues.tolist(),
            "inside": point.inside,
            "ridge": bool(point.ridge),
        },
        "path": [
            {str(k): _number_or_none(x) for k, x in row.items()} for row in path.to_dict("records")
        ],
        "warnings": list(surface.warnings),
    }


def _table_as_json(table: pd.DataFrame) -> dict[str, Any]:
    rows = table.to_dict("index")
    return {
        str(row): {str(k): _number_or_none(x) for k, x in found.items()}
        for row, found in rows.items()
    }


def effects_as_json(effects: Effects, decision: Decision) -> dict[str, Any]:
    """Return the analysis as plain JSON types; what does not exist is null."""
    return {
        "terms": {
            str(name): {field: _number_or_none(row[field]) for field in TERM_FIELDS}
            for name, row in effects.terms.iterrows()
        },
        "residual_df": effects.residual_df,
        "r_squared": _number_or_none(effects.r_squared),
        "r_squared_adjusted": _number_or_none(effects.r_squared_adjusted),
        "r_squared_predicted": _number_or_none(effects.r_squared_predicted),
        "press": _number_or_none(effects.press),
        "lenth": effects.lenth and {name: getattr(effects.lenth, name) for name in MARGINS},
        "active": list(effects.active),
        "verdict": _verdict_as_json(effects),
        "anova": _table_as_json(effects.anova),
        "aliases": {term.term: term.aliased_with for term in effects.aliased},
        "warnings": list(effects.warnings),
        "half": effects.working_level and _half_as_json(effects),
        "decision": {
            "grid": {name: list(levels) for name, levels in decision.grid.items()},
            "corner": dict(decision.corner),
            "reasons": decision_as_text(decision),
        },
    }


def _verdict_as_json(effects: Effects) -> dict[str, Any]:
    verdict = effects.verdict
    return {
        "test": verdict.test,
        "surely": list(verdict.surely),
        "margin": _number_or_none(verdict.margin),
        "simultaneous_margin": _number_or_none(verdict.simultaneous),
        "words": verdict.words,
    }


def _half_as_json(effects: Effects) -> dict[str, Any]:
    half = effects.working_level
    if half is None:
        return {}
    inner = half.effects
    return {
        "factor": half.factor,
        "working": half.level,
        "effects": {
            str(name): _number_or_none(table_value(inner.terms, str(name), "effect"))
            for name in inner.terms.index.drop("intercept")
        },
        "active": list(inner.active),
        "verdict": _verdict_as_json(inner),
    }


def _number_or_none(number: Any) -> float | None:
    return float(number) if math.isfinite(number) else None


def finite(value: Any) -> Any:
    """Return plain JSON types, with null for numbers that are not finite."""
    match value:
        case dict():
            return {key: finite(item) for key, item in value.items()}
        case list() | tuple():
            return [finite(item) for item in value]
        case float():
            return value if math.isfinite(value) else None
        case _ if hasattr(value, "item"):
            return finite(value.item())
        case _:
            return value


def outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    """Return a study's findings as plain JSON types; figures that do not exist are null."""
    registered = outcome.registered
    content: dict[str, Any] = finite(
        {
            "study": outcome.study.name,
            "data": outcome.data,
            "screen": effects_as_json(outcome.effects, outcome.decision),
            "reasons": decision_with_method_as_text(outcome.study, outcome.decision),
            "grid": outcome.grid.to_dict("records"),
            "best": dict(outcome.selection.best),
            "chosen": dict(outcome.selection.chosen),
            "edges": list(outcome.selection.edges),
            "tied": [dict(cell) for cell in outcome.selection.tied],
            "registered": registered
            and {
                "name": registered.name,
                "version": registered.version,
                "alias": registered.alias,
                "run_id": registered.run_id,
                "test_accuracy": registered.test.value,
                "test_interval": [registered.test.low, registered.test.high],
                "test_images": registered.test.n,
                "why": promotion_as_text(registered.verdict, translator("en")),
            },
            **outcome.tracking,
        }
    )
    return content
