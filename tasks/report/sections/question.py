"""Report section: the factors, and the response that they are judged by."""

import math
from typing import Any

from analysis.factors import show
from analysis.runs.response import DEFAULT
from tasks.report.source import ReportSource
from tasks.wording.responses import imbalance_as_text
from tasks.wording.values import fixed, percent_fixed


def question_section(source: ReportSource) -> dict[str, Any]:
    """Return the question of the study.

    Returns
    -------
    ``text``; ``factors``: one row per factor, with ``name``, ``low``, ``high`` (of three
    or more categories, all but the first) and ``scale``.
    """
    study, translate = source.study, source.translate
    return {
        "text": " ".join(
            [_question(source), *imbalance_as_text(source.outcome.classes, translate)]
        ),
        "factors": [
            {
                "name": f.name,
                "low": show(f.low),
                "high": ", ".join(map(show, f.levels[1:])),
                "scale": translate(f.scale),
            }
            for f in study.factor_list
        ],
    }


def _question(source: ReportSource) -> str:
    study, facts, translate = source.study, source.execution.facts, source.translate
    about = {
        "k": len(study.factors),
        "response": study.response,
        "images": f"{facts.validation_images:,}",
    }
    if study.response == DEFAULT:
        return translate("question_text", chance=percent_fixed(facts.chance), **about)
    floor = facts.floor_of(study.measured)
    label = translate(f"response_{study.response}")
    known = fixed(math.nan if floor is None else floor)
    return translate("question_text_other", label=label, floor=known, **about)
