"""A study's findings as text for the terminal."""

import pandas as pd

from analysis.search.best_cell import COSTS, Selection
from tasks.languages import Translate, translator
from tasks.report.nothing_learned import remedies_as_text, stopped_as_text
from tasks.report.outcome import Outcome
from tasks.report.registered import promotion_verdict_as_text, registered_as_text
from tasks.wording.decision import decision_as_text
from tasks.wording.effects import effects_as_text
from tasks.wording.lengths import lengths_as_text
from tasks.wording.next_moves import next_steps, steps_as_text
from tasks.wording.pilot import pilot_finding_as_text
from tasks.wording.selection import selection_as_text, shown_cells
from tasks.wording.terminal import bullets, underlined, wrapped
from tasks.wording.values import fixed, level_as_text, whole


def outcome_as_text(outcome: Outcome, language: str = "en") -> str:
    """Return what a terminal prints: effects, decision, grid, winner, next moves, where runs are.

    Parameters
    ----------
    outcome : the findings.
    language : one of `tasks.languages.LANGUAGES`.
    """
    translate, study = translator(language), outcome.study
    title = translate("study_title", name=study.name, data=outcome.data)
    stopped = outcome.nothing_learned
    winner = [
        *([stopped_as_text(stopped, translate)] if stopped else []),
        *(remedies_as_text(stopped, translate) if stopped else []),
        *selection_as_text(outcome.selection, translate),
        *registered_as_text(outcome, translate),
        *([promotion_verdict_as_text(outcome.registered, translate)] if outcome.registered else []),
    ]
    parts = [
        underlined(title),
        *_pilot(outcome, translate),
        underlined(translate("effects_title")),
        effects_as_text(outcome.effects, translate),
        *map(wrapped, lengths_as_text(outcome.lengths, translate)),
        underlined(translate("decision")),
        *bullets(decision_as_text(outcome.decision, translate, study.rules)),
        underlined(translate("grid_title")),
        _cells_table(outcome.selection, translate),
        underlined(translate("winner")),
        *bullets(winner),
        underlined(translate("next_moves")),
        *steps_as_text(next_steps(outcome.next_moves, study, translate), translate),
        *_where_to_look(outcome, translate),
    ]
    return "\n".join(parts)


def _pilot(outcome: Outcome, translate: Translate) -> list[str]:
    found = outcome.study.pilot.found
    if not found:
        return []
    title = underlined(translate("pilot_title"))
    return [title, *bullets([pilot_finding_as_text(line, translate) for line in found])]


def _cells_table(selection: Selection, translate: Translate) -> str:
    """Return the cells that were trained, each with all of its runs, as the report does."""
    shown, names = shown_cells(selection), list(selection.best)
    rows = shown.to_dict("records")
    columns = {name: [level_as_text(row[name]) for row in rows] for name in names}
    columns["n"] = [whole(row["n"]) for row in rows]
    for column in ("mean", "sd"):
        columns[translate(column)] = [fixed(row[column]) for row in rows]
    for column in COSTS:
        columns[translate(column)] = [whole(row[column]) for row in rows]
    chosen = selection.row(selection.chosen).name
    columns[""] = ["*" if label == chosen else "" for label in shown.index]
    return str(pd.DataFrame(columns).to_string(index=False))


def _where_to_look(outcome: Outcome, translate: Translate) -> list[str]:
    if outcome.registered is None:
        return []
    links = outcome.links
    return [
        underlined(translate("where_to_look")),
        *([wrapped(translate("where_ui"))] if links.needs_ui else []),
        translate("where_table", link=links.table),
        translate("where_charts", link=links.charts),
        translate("where_run", link=links.run),
        translate("where_report", link=links.report),
    ]
