"""Report section: what was asked."""

from typing import Any

from analysis.factors import show
from tasks.report.numbers import share
from tasks.report.source import ReportSource


def question_section(source: ReportSource) -> dict[str, Any]:
    """Return the values of the template's `question` section."""
    study, facts, say = source.study, source.execution.facts, source.say
    return {
        "text": say(
            "question_text",
            k=len(study.factors),
            response=study.response,
            images=f"{facts.validation_images:,}",
            chance=share(facts.chance),
        ),
        "factors": [
            {"name": f.name, "low": show(f.low), "high": show(f.high), "scale": say(f.scale)}
            for f in study.factor_list
        ],
    }
