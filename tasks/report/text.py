"""A study's findings as text for the terminal."""

from analysis.effects.result import Effects
from analysis.factors import cell_name
from analysis.search.best_cell import COSTS, Selection
from analysis.search.refined_grid import Decision
from tasks.languages import Translate, translator
from tasks.progress import CHOSEN
from tasks.report.nothing_learned import remedies_as_text, stopped_as_text
from tasks.report.outcome import Outcome
from tasks.report.registered import promotion_verdict_as_text, registered_as_text
from tasks.study.study_file import Study
from tasks.wording.changes import changes_about, changes_as_text
from tasks.wording.decision import decision_as_text
from tasks.wording.effects import effects_as_text, effects_in_brief
from tasks.wording.lengths import lengths_as_text, ranking_as_text
from tasks.wording.next_moves import next_steps, steps_as_text
from tasks.wording.over_pictures import active_over_pictures_as_text
from tasks.wording.pilot import pilot_as_text
from tasks.wording.responses import (
    direction_as_text,
    front_as_text,
    front_columns,
    second_effects_as_text,
)
from tasks.wording.selection import lead_as_text, selection_as_text, shown_cells
from tasks.wording.terminal import bullets, fitting_table, underlined, wrapped
from tasks.wording.values import fixed, level_as_text, whole


def outcome_as_text(outcome: Outcome, language: str = "en") -> str:
    """Return what a terminal prints: the answer, then effects, decision, cells, choice, next moves.

    Parameters
    ----------
    outcome : the findings.
    language : one of `tasks.languages.LANGUAGES`.
    """
    translate, study = translator(language), outcome.study
    title = translate("study_title", name=study.name, data=outcome.data)
    parts = [
        underlined(title),
        *bullets(_answer(outcome, translate)),
        *_pilot(outcome, translate),
        *_screen(outcome, translate),
        underlined(translate("grid_title")),
        _cells_table(outcome.selection, translate),
        *_second(outcome, translate),
        underlined(translate("winner")),
        *bullets(
            [
                *selection_as_text(outcome.selection, translate),
                *lead_as_text(outcome.lead, translate),
            ]
        ),
        *_changes(outcome, translate),
        underlined(translate("next_moves")),
        *steps_as_text(next_steps(outcome.next_moves, study, translate), translate),
        *_where_to_look(outcome, translate),
    ]
    return "\n".join(parts)


def _screen(outcome: Outcome, translate: Translate) -> list[str]:
    """Return the effects of the screen and the decision; nothing without a two-level screen."""
    effects, decision, study = outcome.effects, outcome.decision, outcome.study
    if effects is None or decision is None:
        return []
    over = active_over_pictures_as_text(outcome.over_pictures, effects.judged.active, translate)
    return [
        underlined(translate("effects_title")),
        effects_as_text(effects, translate),
        *map(wrapped, over),
        *map(wrapped, direction_as_text(study.measured, translate)),
        *map(wrapped, lengths_as_text(outcome.lengths, translate)),
        underlined(translate("decision")),
        *bullets(decision_as_text(decision, translate, study.rules)),
    ]


def _changes(outcome: Outcome, translate: Translate) -> list[str]:
    """Return what is expected of one change of the chosen cell; nothing if that is not known."""
    if not outcome.changes:
        return []
    about = changes_about(outcome.study.measured, translate)
    # With effects, the section on these says how both lengths of training rank the cells.
    ranking = ranking_as_text(outcome.lengths, translate) if outcome.effects is None else []
    lines = changes_as_text(outcome.changes, translate)
    return [
        underlined(translate("changes")),
        *map(wrapped, [*about, *ranking]),
        *bullets(lines),
    ]


def screen_as_text(effects: Effects, decision: Decision, study: Study) -> str:
    """Return what the screen found, for a study that continues: effects, decision, next cells."""
    translate = translator("en")
    return "\n".join(
        [
            underlined(translate("effects_title")),
            effects_in_brief(effects, translate),
            underlined(translate("decision")),
            *bullets(decision_as_text(decision, translate, study.rules)),
            "",
        ]
    )


def _answer(outcome: Outcome, translate: Translate) -> list[str]:
    """Return the winner, its accuracy and its place in the registry, as sentences."""
    stopped, registered = outcome.nothing_learned, outcome.registered
    if stopped is not None:
        return [stopped_as_text(stopped, translate), *remedies_as_text(stopped, translate)]
    if registered is None:
        cell = cell_name(outcome.selection.chosen)
        return [translate("short_unfinished", cell=cell)]
    tied = len(outcome.selection.tied)
    return [
        *registered_as_text(outcome, translate),
        promotion_verdict_as_text(registered, translate),
        *([translate("short_tied", n=tied)] if tied > 1 else []),
    ]


def _pilot(outcome: Outcome, translate: Translate) -> list[str]:
    found = outcome.study.pilot.found
    if not found:
        return []
    title = underlined(translate("pilot_title"))
    return [title, *bullets(pilot_as_text(found, translate))]


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
    columns[""] = [CHOSEN if label == chosen else "" for label in shown.index]
    return fitting_table(columns, [translate("sd"), *map(translate, COSTS)])


def _second(outcome: Outcome, translate: Translate) -> list[str]:
    """Return the effects on the second response, and the cells that no other cell beats."""
    found = outcome.second
    if found is None:
        return []
    title = translate("second_title", second=translate(f"second_{found.second}"))
    texts = [second_effects_as_text(found, translate), front_as_text(found, translate)]
    table = [] if found.front.empty else [fitting_table(front_columns(found, translate), [])]
    return [underlined(title), *bullets(texts), *table]


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
