"""Findings as plain JSON types: numbers that are not finite become null, sentences are English."""

import math
from dataclasses import asdict
from typing import Any

import pandas as pd

from analysis.effects.least_squares import table_value
from analysis.effects.result import Collapse, Effects
from analysis.effects.verdict import Verdict
from analysis.mcnemar import ConstantComparison
from analysis.search.best_cell import Selection
from analysis.search.front import SecondFindings
from analysis.search.procedure import SearchRules
from analysis.search.refined_grid import Decision
from analysis.surface.result import Surface
from tasks.languages import translator
from tasks.registry.verdict import promotion_as_text
from tasks.report.nothing_learned import remedies_as_text, stopped_as_text
from tasks.report.outcome import Outcome
from tasks.wording.cautions import caution_as_text
from tasks.wording.decision import decision_as_text
from tasks.wording.effects import verdict_as_text
from tasks.wording.next_moves import next_steps, steps_as_json
from tasks.wording.over_pictures import over_pictures_as_json
from tasks.wording.values import number_or_none, table_as_json

TERM_COLUMNS = (
    *("coefficient", "effect", "std_error", "t", "p"),
    *("ci_low", "ci_high", "sum_of_squares"),
)
#: Decimals of the share of a term in its alias: -1 and 1 are written without what rounding left.
SHARE_DECIMALS = 9
LENTH_MARGINS = ("pse", "me", "sme", "me_t", "sme_t")


def outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    """Return a study's findings as plain JSON types."""
    registered = outcome.registered
    screen = _screen_as_json(outcome)
    content: dict[str, Any] = as_plain_types(
        {
            "study": outcome.study.name,
            "data": outcome.data,
            "classes": dict(outcome.classes),
            "screen": screen,
            "reasons": screen["decision"]["reasons"] if screen else [],
            "response": outcome.study.response,
            "lower_is_better": outcome.study.measured.lower,
            "second": outcome.second and _second_as_json(outcome.second),
            "lengths": outcome.lengths and asdict(outcome.lengths),
            "grid": outcome.grid.to_dict("records"),
            "best": dict(outcome.selection.best),
            "chosen": dict(outcome.selection.chosen),
            "edges": list(outcome.selection.edges),
            "tied": [dict(cell) for cell in outcome.selection.tied],
            "cells": _cells_as_json(outcome.selection),
            "passed_over": [asdict(cell) for cell in outcome.selection.passed_over],
            "lead": outcome.lead and asdict(outcome.lead),
            "changes": [{**asdict(one), "clear": one.is_clear} for one in outcome.changes],
            "over_pictures": outcome.over_pictures and over_pictures_as_json(outcome.over_pictures),
            "registered": registered
            and {
                "name": registered.name,
                "version": registered.version,
                "alias": registered.alias or None,
                "run_id": registered.run_id,
                "test_accuracy": registered.test.value,
                "test_interval": [registered.test.low, registered.test.high],
                "test_images": registered.test.n,
                "recipe": registered.recipe and asdict(registered.recipe),
                "test_metrics": registered.test_metrics,
                "constant": registered.constant and _constant_as_json(registered.constant),
                "why": promotion_as_text(registered.verdict, translator("en")),
            },
            "final": outcome.final and asdict(outcome.final),
            "nothing_learned": outcome.nothing_learned
            and {
                **asdict(outcome.nothing_learned),
                "text": stopped_as_text(outcome.nothing_learned, translator("en")),
                "remedies": remedies_as_text(outcome.nothing_learned, translator("en")),
            },
            "next_moves": next_moves_as_json(outcome),
            **outcome.tracking,
            "links": outcome.links.as_json(),
        }
    )
    return content


def _screen_as_json(outcome: Outcome) -> dict[str, Any] | None:
    """Return the effects and the decision; None without a two-level screen."""
    if outcome.effects is None or outcome.decision is None:
        return None
    return effects_as_json(outcome.effects, outcome.decision, outcome.study.rules)


def _second_as_json(found: SecondFindings) -> dict[str, Any]:
    """Return the effects on the second response, and the cells that no other cell beats."""
    rows = [{str(k): x for k, x in row.items()} for row in found.front.to_dict("records")]
    return {"name": found.second, "effects": found.effects, "front": rows}


def _cells_as_json(selection: Selection) -> list[dict[str, Any]]:
    """Return all trained cells with all of their runs, the best mean first."""
    chosen = selection.row(selection.chosen).name
    rows = selection.cells.assign(chosen=selection.cells.index == chosen)
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def _constant_as_json(found: ConstantComparison) -> dict[str, Any]:
    return {
        "right": found.constant_right,
        "only_network": found.only_network,
        "only_constant": found.only_constant,
        "p": found.p,
        "beaten": found.network_is_better,
    }


def next_moves_as_json(outcome: Outcome) -> list[dict[str, Any]]:
    """Return what to do next as plain JSON types: numbers, text, lines to change, commands."""
    steps = next_steps(outcome.next_moves, outcome.study, translator("en"))
    content: list[dict[str, Any]] = as_plain_types(steps_as_json(steps))
    return content


def effects_as_json(
    effects: Effects, decision: Decision, rules: SearchRules | None = None
) -> dict[str, Any]:
    """Return effects, verdict and decision as plain JSON types.

    Parameters
    ----------
    effects, decision : of a screen.
    refine : how the study searches the decided levels; by default as a grid.
    """
    english = translator("en")
    return {
        "terms": {
            str(name): {column: number_or_none(row[column]) for column in TERM_COLUMNS}
            for name, row in effects.tested_terms.iterrows()
        },
        "residual_df": effects.residual_df,
        "r_squared": number_or_none(effects.r_squared),
        "r_squared_adjusted": number_or_none(effects.r_squared_adjusted),
        "r_squared_predicted": number_or_none(effects.r_squared_predicted),
        "press": number_or_none(effects.press),
        "lenth": effects.lenth and {name: getattr(effects.lenth, name) for name in LENTH_MARGINS},
        "box_meyer": _posterior_as_json(effects),
        "active": list(effects.active),
        "verdict": _verdict_as_json(effects.verdict),
        "anova": table_as_json(effects.anova),
        "aliases": {
            term.term: {
                name: round(share, SHARE_DECIMALS) for name, share in term.aliased_with.items()
            }
            for term in effects.aliased
        },
        "warnings": [caution_as_text(caution, english) for caution in effects.warnings],
        "warning_kinds": [caution.kind for caution in effects.warnings],
        "collapse": effects.collapse and _collapse_as_json(effects.collapse),
        "half": effects.collapse and _half_as_json(effects.collapse),
        "decision": {
            "grid": {name: list(levels) for name, levels in decision.grid.items()},
            "corner": dict(decision.corner),
            "reasons": decision_as_text(decision, english, rules),
        },
    }


def surface_as_json(surface: Surface, path: pd.DataFrame, source: str) -> dict[str, Any]:
    """Return a response surface as plain JSON types.

    Parameters
    ----------
    surface : the fit.
    path : of steepest ascent, see `analysis.surface.steepest_ascent`.
    source : where the runs are from.
    """
    point, english = surface.stationary, translator("en")
    return {
        "source": source,
        "model": surface.model,
        "terms": table_as_json(surface.terms),
        "residual_df": surface.residual_df,
        "r_squared": number_or_none(surface.r_squared),
        "r_squared_predicted": number_or_none(surface.r_squared_predicted),
        "anova": table_as_json(surface.anova),
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
            {str(k): number_or_none(x) for k, x in row.items()} for row in path.to_dict("records")
        ],
        "warnings": [caution_as_text(caution, english) for caution in surface.warnings],
        "warning_kinds": [caution.kind for caution in surface.warnings],
    }


def _verdict_as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "test": verdict.test,
        "active_jointly": list(verdict.active_jointly),
        "margin": number_or_none(verdict.margin),
        "simultaneous_margin": number_or_none(verdict.simultaneous),
        "text": " ".join(verdict_as_text(verdict, translator("en"))),
    }


def _posterior_as_json(effects: Effects) -> dict[str, Any] | None:
    """Return Box and Meyer's probability of each effect; None if there is none."""
    return None if effects.posterior is None else table_as_json(effects.posterior)


def _collapse_as_json(collapse: Collapse) -> dict[str, Any]:
    levels: list[dict[str, Any]] = as_plain_types(collapse.levels.to_dict("records"))
    return {
        "levels": levels,
        "p": {str(name): float(p) for name, p in collapse.p.items()},
        "active": list(collapse.active),
        "strongest": collapse.strongest,
    }


def _half_as_json(collapse: Collapse) -> dict[str, Any] | None:
    """Return the effects on the runs that learned; None if these are too few."""
    learned = collapse.learned
    if learned is None:
        return None
    always = collapse.working_level is not None
    return {
        "factor": collapse.strongest if always else None,
        "working": collapse.working_level,
        "runs": len(learned.runs),
        "effects": {
            str(name): number_or_none(table_value(learned.terms, str(name), "effect"))
            for name in learned.terms.index.drop("intercept")
        },
        "box_meyer": _posterior_as_json(learned),
        "active": list(learned.active),
        "verdict": _verdict_as_json(learned.verdict),
    }


def as_plain_types(value: Any) -> Any:
    """Return NumPy's numbers as Python's, tuples as lists, and numbers not finite as None."""
    match value:
        case dict():
            return {key: as_plain_types(item) for key, item in value.items()}
        case list() | tuple():
            return [as_plain_types(item) for item in value]
        case float():
            return value if math.isfinite(value) else None
        case _ if hasattr(value, "item"):
            return as_plain_types(value.item())
        case _:
            return value
