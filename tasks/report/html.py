"""The report of a study: one HTML page without scripts, built from MLflow only.

To add a section, write a module in `tasks.report.sections`, name its function in `SECTIONS`, and
place it in `templates/report.html`. All text comes from `tasks/words.toml`.
"""

from collections.abc import Callable
from typing import Any

from tasks.languages import translator
from tasks.report.outcome import Outcome
from tasks.report.render import render_template
from tasks.report.sections.changes import changes_section
from tasks.report.sections.choice import choice_section
from tasks.report.sections.cost import cost_section
from tasks.report.sections.data import data_section
from tasks.report.sections.decision import decision_section
from tasks.report.sections.design import design_section
from tasks.report.sections.effects import effects_section
from tasks.report.sections.grid import grid_section
from tasks.report.sections.head import head_section
from tasks.report.sections.next_moves import next_moves_section
from tasks.report.sections.question import question_section
from tasks.report.sections.repeat import repeat_section
from tasks.report.sections.sources import sources_section
from tasks.report.sections.suspects import suspects_section
from tasks.report.sections.winner import winner_section
from tasks.report.source import ReportSource
from tasks.tracking.execution import Execution

#: The name of each section in the template, and the function that returns its values: a dict, or
#: None to leave the section out.
SECTIONS: dict[str, Callable[[ReportSource], dict[str, Any] | None]] = {
    "head": head_section,
    "question": question_section,
    "data": data_section,
    "design": design_section,
    "effects": effects_section,
    "decision": decision_section,
    "grid": grid_section,
    "choice": choice_section,
    "changes": changes_section,
    "winner": winner_section,
    "suspects": suspects_section,
    "next_moves": next_moves_section,
    "cost": cost_section,
    "sources": sources_section,
    "repeat": repeat_section,
}


def report_page(outcome: Outcome, execution: Execution, language: str = "en") -> str:
    """Return the report of an execution as HTML.

    Parameters
    ----------
    outcome : its findings.
    execution : whose runs and artifacts are shown.
    language : one of `tasks.languages.LANGUAGES`.

    Raises
    ------
    UserError
        If the language is not supported.
    """
    source = ReportSource(outcome, execution, translator(language))
    content = {name: section(source) for name, section in SECTIONS.items()}
    shown = [name for name, values in content.items() if values is not None and name != "head"]
    contents = [(name, source.translate(name)) for name in shown]
    return render_template(
        "report.html", **content, contents=contents, say=source.translate, lang=language
    )
