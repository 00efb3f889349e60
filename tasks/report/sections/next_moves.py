"""Report section: what to do next."""

from typing import Any

from tasks.report.source import ReportSource
from tasks.wording.next_moves import MOST_SHOWN, further_moves_as_text, how_as_text, next_steps


def next_moves_section(source: ReportSource) -> dict[str, Any]:
    """Return the next moves.

    Returns
    -------
    ``steps``: each with ``text``, and ``lines``: the lines of the study's file to change and the
    commands to run, may be empty; ``how``: how to use these lines, may be empty; ``more``: how many
    moves are left out, may be empty.
    """
    translate = source.translate
    steps = next_steps(source.outcome.next_moves, source.study, translate)
    return {
        "steps": [
            {"text": step.text, "lines": "\n".join(step.lines)} for step in steps[:MOST_SHOWN]
        ],
        "how": how_as_text(steps, translate),
        "more": further_moves_as_text(steps, translate),
    }
