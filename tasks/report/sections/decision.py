"""Report section: the levels that the refinement tries, and why."""

import math
from typing import Any

from analysis.factors import show
from analysis.search.refined_grid import LevelReason
from tasks.languages import Translate
from tasks.report.source import ReportSource
from tasks.wording.decision import method_as_text, searches_whole_space, why_as_text
from tasks.wording.values import MISSING, cell_as_text, signed


def decision_section(source: ReportSource) -> dict[str, Any] | None:
    """Return the decision; None without a two-level screen.

    Returns
    -------
    ``text``; ``reasons``: one row per factor, with ``factor``, ``why``, ``at`` (the level of
    another factor at which it was judged, may be empty), ``effect``, ``better`` and ``tried``;
    ``cells``: which cells are searched.
    """
    decision, translate, rules = source.outcome.decision, source.translate, source.study.rules
    if decision is None:
        return None
    whole = searches_whole_space(rules)
    return {
        "text": translate("decision_text_whole_space" if whole else "decision_text"),
        "reasons": [_reason(reason, translate, whole=whole) for reason in decision.reasons],
        "cells": method_as_text(decision, translate, rules),
    }


def _reason(reason: LevelReason, translate: Translate, *, whole: bool) -> dict[str, str]:
    counts = reason.code != "conditional"
    shown = counts and bool(reason.terms or reason.effect) and not math.isnan(reason.effect)
    return {
        "factor": reason.factor,
        "why": why_as_text(reason, translate),
        "at": cell_as_text(reason.at),
        "effect": signed(reason.effect),
        "better": show(reason.level) if shown else MISSING,
        "tried": ", ".join(map(show, reason.levels)) if counts and not whole else MISSING,
    }
