"""Report section: the decided grid and its reasons."""

from typing import Any

from analysis.factors import show
from analysis.search.refined_grid import Decision
from tasks.report.numbers import cell_words, signed
from tasks.report.source import ReportSource


def decision_section(source: ReportSource) -> dict[str, Any]:
    """Return the values of the template's `decision` section."""
    decision: Decision = source.outcome.decision
    return {
        "text": source.say("decision_text"),
        "reasons": [
            {
                "factor": reason.factor,
                "why": source.say(f"why_{reason.code}"),
                "at": cell_words(reason.at),
                "effect": signed(reason.effect),
                "better": show(reason.level),
                "tried": ", ".join(map(show, reason.levels)),
            }
            for reason in decision.reasons
        ],
        "cells": _searched(source, decision),
    }


def _searched(source: ReportSource, decision: Decision) -> str:
    refine = source.study.refine
    if refine.method != "grid":
        return source.say(f"{refine.method}_cells", n=refine.budget)
    return source.say("grid_cells", n=decision.n_cells)
