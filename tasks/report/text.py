"""A study's findings as text for the terminal."""

from tasks.languages import Translate, translator
from tasks.report.outcome import Outcome
from tasks.report.registered import promotion_verdict_as_text, registered_as_text
from tasks.wording.decision import decision_as_text
from tasks.wording.effects import effects_as_text
from tasks.wording.next_moves import next_steps, steps_as_text
from tasks.wording.pilot import pilot_finding_as_text
from tasks.wording.selection import selection_as_text
from tasks.wording.terminal import bullets, underlined, wrapped
from tasks.wording.values import level_as_text


def outcome_as_text(outcome: Outcome, language: str = "en") -> str:
    """Return what a terminal prints: effects, decision, grid, winner, next moves, where runs are.

    Parameters
    ----------
    outcome : the findings.
    language : one of `tasks.languages.LANGUAGES`.
    """
    translate, study = translator(language), outcome.study
    title = translate("study_title", name=study.name, data=outcome.data)
    winner = [
        *selection_as_text(outcome.selection, translate),
        *registered_as_text(outcome, translate),
        *([promotion_verdict_as_text(outcome.registered, translate)] if outcome.registered else []),
    ]
    parts = [
        underlined(title),
        *_pilot(outcome, translate),
        underlined(translate("effects_title")),
        effects_as_text(outcome.effects, translate),
        underlined(translate("decision")),
        *bullets(decision_as_text(outcome.decision, translate, study.refine)),
        underlined(translate("grid_title")),
        _grid_table(outcome),
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


def _grid_table(outcome: Outcome) -> str:
    table = outcome.grid.copy()
    for factor in outcome.study.factor_list:
        table[factor.name] = [level_as_text(level) for level in table[factor.name]]
    return str(table.to_string(index=False, float_format=lambda x: f"{x:.4f}", na_rep="-"))


def _where_to_look(outcome: Outcome, translate: Translate) -> list[str]:
    if outcome.registered is None:
        return []
    uri = outcome.tracking["tracking_uri"]
    where = uri if uri.startswith("http") else translate("where_ui")
    return [
        underlined(translate("where_to_look")),
        wrapped(translate("where_mlflow", where=where)),
        translate("where_run", run=outcome.tracking["run_id"]),
    ]
