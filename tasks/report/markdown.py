"""A study's findings as Markdown, for MLflow's description of its run and Prefect's pages."""

from collections.abc import Sequence

from analysis.effects.result import Effects
from analysis.factors import cell_name
from analysis.search.best_cell import COSTS
from analysis.search.refined_grid import Decision
from tasks.escaping import as_markdown, own_markdown, printable
from tasks.languages import Translate, translator
from tasks.report.nothing_learned import remedies_as_text, stopped_as_text
from tasks.report.outcome import Outcome
from tasks.report.registered import (
    promotion_verdict_as_text,
    registered_as_text,
    winner_in_short,
)
from tasks.study.study_file import Study
from tasks.wording.changes import changes_as_text
from tasks.wording.decision import decision_as_text
from tasks.wording.effects import answer_as_text, collapse_as_text, learned_title
from tasks.wording.next_moves import (
    MOST_SHOWN,
    further_moves_as_text,
    how_as_text,
    next_steps,
)
from tasks.wording.selection import lead_as_text, selection_as_text
from tasks.wording.values import fixed, level_as_text, whole

#: Cells of the table in the description of a run.
MOST_CELLS = 8
#: The most characters of a description: the limit of MLflow's servers before 2.21.
MOST_CHARACTERS = 5000


def decision_as_markdown(outcome: Outcome) -> str:
    """Return the decision's reasons, the winner and what to do next as Markdown."""
    translate, study = translator("en"), outcome.study
    decision = outcome.decision
    reasons = [] if decision is None else decision_as_text(decision, translate, study.rules)
    return "\n".join(
        [
            f"# {as_markdown(translate('title', name=study.name))}",
            *["", as_markdown(outcome.data), ""],
            *(_section(translate("decision"), _bullets(reasons)) if reasons else []),
            *_section(translate("winner"), _bullets(_winner(outcome, translate))),
            *_changes(outcome, translate),
            *_section(translate("next_moves"), _next_moves(outcome, translate)),
        ]
    ).rstrip()


def screen_as_markdown(study: Study, decision: Decision) -> str:
    """Return the decision's reasons as Markdown, before anything else of the study is known."""
    translate = translator("en")
    reasons = decision_as_text(decision, translate, study.rules)
    title = f"# {as_markdown(translate('title', name=study.name))}"
    return "\n".join([title, "", *_section(translate("decision"), _bullets(reasons))]).rstrip()


def run_note(outcome: Outcome) -> str:
    """Return the description of a study's run: links, winner, figures, effects, what to do next.

    The links are those of MLflow's own pages, under whichever address these are opened. Sections
    that do not fit into a description are left out.
    """
    translate = translator("en")
    about = own_markdown(outcome.study.description) or as_markdown(outcome.data)
    winner = _winner(outcome, translate)
    sections = [
        # MLflow folds a description after its first lines.
        [as_markdown(_answer(outcome, translate)), "", outcome.links.within_pages.as_markdown()],
        ["", about, ""],
        _section(translate("winner"), _bullets(winner)),
        _section(translate("grid_title"), _cells(outcome, translate)),
        _effects(outcome.effects, translate),
        _changes(outcome, translate),
        _section(translate("next_moves"), _next_moves(outcome, translate)),
    ]
    return _fitting(["\n".join(section) for section in sections if section])


def _changes(outcome: Outcome, translate: Translate) -> list[str]:
    """Return a section on one change of the chosen cell; nothing if that is not known."""
    lines = _bullets(changes_as_text(outcome.changes, translate))
    return _section(translate("changes"), lines) if lines else []


def _effects(effects: Effects | None, translate: Translate) -> list[str]:
    """Return a section on the active effects; if some runs collapsed, of the runs that learned."""
    if effects is None:
        return []
    collapse, lines = effects.collapse, [answer_as_text(effects, translate)]
    if collapse is not None:
        lines += collapse_as_text(collapse, translate)
        if collapse.learned is not None:
            title = learned_title(collapse, translate)
            lines.append(f"{title}: {answer_as_text(collapse.learned, translate)}")
    return _section(translate("effects_title"), [as_markdown(line) for line in lines])


def _answer(outcome: Outcome, translate: Translate) -> str:
    """Return the winner, its accuracy and its epochs, or that there is none."""
    stopped, registered = outcome.nothing_learned, outcome.registered
    if stopped is not None:
        return stopped_as_text(stopped, translate)
    if registered is None:
        return translate("short_unfinished", cell=cell_name(outcome.selection.chosen))
    return " ".join(winner_in_short(outcome.selection, registered, outcome.final, translate))


def _fitting(sections: Sequence[str]) -> str:
    """Join the sections up to the first that would be cut."""
    text = ""
    for section in sections:
        longer = f"{text}\n{section}" if text else section
        if len(longer) > MOST_CHARACTERS:
            return f"{text}\n\nThe rest is in the report."[:MOST_CHARACTERS]
        text = longer
    return text.rstrip()


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {as_markdown(title)}", "", *lines, ""]


def _bullets(lines: Sequence[str]) -> list[str]:
    return [f"- {as_markdown(line)}" for line in lines]


def _winner(outcome: Outcome, translate: Translate) -> list[str]:
    stopped, registered = outcome.nothing_learned, outcome.registered
    return [
        *([stopped_as_text(stopped, translate)] if stopped else []),
        *(remedies_as_text(stopped, translate) if stopped else []),
        *selection_as_text(outcome.selection, translate),
        *lead_as_text(outcome.lead, translate),
        *registered_as_text(outcome, translate),
        *([promotion_verdict_as_text(registered, translate)] if registered else []),
    ]


def _cells(outcome: Outcome, translate: Translate) -> list[str]:
    """Return the best cells as a table; the chosen cell is bold."""
    selection = outcome.selection
    names = list(selection.best)
    titles = [*names, "n", translate("mean"), translate("sd"), *map(translate, COSTS)]
    chosen = selection.row(selection.chosen).name
    shown = selection.cells.index < MOST_CELLS
    cells = selection.cells[shown | (selection.cells.index == chosen)]
    rows = []
    for label, row in zip(cells.index, cells.to_dict("records"), strict=True):
        values = [level_as_text(row[name]) for name in names]
        values += [whole(row["n"]), fixed(row["mean"]), fixed(row["sd"])]
        values += [whole(row[name]) for name in COSTS]
        escaped = map(as_markdown, values)
        rows.append([f"**{value}**" for value in escaped] if label == chosen else list(escaped))
    lines = [list(map(as_markdown, titles)), ["---"] * len(titles), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _next_moves(outcome: Outcome, translate: Translate) -> list[str]:
    """Return what to do next as a list in Markdown; lines of files and commands are code."""
    steps = next_steps(outcome.next_moves, outcome.study, translate)
    lines = []
    for step in steps[:MOST_SHOWN]:
        lines.append(f"1. {as_markdown(step.text)}")
        code = step.lines
        # Code of a list item is indented by four spaces more than its text.
        lines += ["", *(f"       {printable(line)}" for line in code if line), ""] if code else []
    for note in (how_as_text(steps, translate), further_moves_as_text(steps, translate)):
        lines += ["", as_markdown(note)] if note else []
    return lines
