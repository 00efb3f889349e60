"""The report of a study: one HTML page that needs nothing from elsewhere, from MLflow alone.

Everything is worded here from data, with `words.toml`, so that each language says the same.
"""

from typing import TYPE_CHECKING

from tasks.languages import translator
from tasks.report.render import render_template
from tasks.report.sections.cost import cost_section
from tasks.report.sections.data import data_section
from tasks.report.sections.decision import decision_section
from tasks.report.sections.design import design_section
from tasks.report.sections.effects import effects_section
from tasks.report.sections.grid import grid_section
from tasks.report.sections.question import question_section
from tasks.report.sections.repeat import repeat_section
from tasks.report.sections.summary import head_section
from tasks.report.sections.suspects import suspects_section
from tasks.report.sections.winner import winner_section
from tasks.report.source import ReportSource
from tasks.tracking.execution import Execution

if TYPE_CHECKING:
    from tasks.report.outcome import Outcome


def report_page(outcome: "Outcome", execution: Execution, language: str = "en") -> str:
    """Return the report of an execution as HTML.

    Parameters
    ----------
    outcome : its findings.
    execution : whose runs and artifacts show them.
    language : one of `tasks.languages.LANGUAGES`.

    Raises
    ------
    UserError
        If the language is not spoken.
    """
    source = ReportSource(outcome, execution, translator(language))
    parts = (
        *(head_section, question_section, data_section, design_section, effects_section),
        *(
            decision_section,
            grid_section,
            winner_section,
            suspects_section,
            cost_section,
            repeat_section,
        ),
    )
    content = {part.__name__.removesuffix("_section"): part(source) for part in parts}
    return render_template("report.html", **content, say=source.say, lang=language)
