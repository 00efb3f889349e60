"""Report section: the factors, and the response that they are judged by."""

from typing import Any

from analysis.factors import show
from tasks.report.source import ReportSource
from tasks.wording.values import percent_fixed


def question_section(source: ReportSource) -> dict[str, Any]:
    """Return the question of the study.

    Returns
    -------
    ``text``; ``factors``: one row per factor, with ``name``, ``low``, ``high`` (of three
    or more categories, all but the first) and ``scale``.
    """
    study, facts, translate = source.study, source.execution.facts, source.translate
    return {
        "text": translate(
            "question_text",
            k=len(study.factors),
            response=study.response,
            images=f"{facts.validation_images:,}",
            chance=percent_fixed(facts.chance),
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
