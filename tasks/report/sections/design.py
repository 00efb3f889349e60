"""Report section: the design of the screen, and how the study refines and confirms."""

from typing import Any

from analysis.designs.mixed_levels import PlackettBurman
from analysis.designs.summary import first_words
from analysis.factors import show
from tasks.report.source import ReportSource
from tasks.study.study_file import Study
from tasks.wording.decision import at_once_as_text
from tasks.wording.pilot import pilot_as_text

#: Words of a defining relation that are shown; a fraction of 7 factors in 8 cells has 15.
SHOWN_WORDS = 7


def design_section(source: ReportSource) -> dict[str, Any]:
    """Return the design.

    Returns
    -------
    ``text``: a list of paragraphs; ``fixed``: the settings that were not varied.
    """
    pilot = pilot_as_text(source.study.pilot.found, source.translate)
    if pilot:
        pilot[0] = f"{source.translate('pilot_title')}: {pilot[0]}"
    return {"text": [*pilot, _screen(source), _refine(source)], "fixed": _fixed(source.study)}


def _screen(source: ReportSource) -> str:
    study, translate = source.study, source.translate
    rules, design = study.rules, study.rules.design
    if design is None:
        text = translate("spread_text", cells=rules.spread_cells)
        least = study.least_factorial_trainings
        return text if least is None else f"{text} {translate('spread_by_budget', least=least)}"
    cells = design.n_runs
    relation, more = first_words(design.relation, SHOWN_WORDS)
    if isinstance(design, PlackettBurman):
        key = "plackett_burman_text"
    else:
        key = "fraction_text" if design.p else "design_text"
    return translate(
        key,
        relation=relation + (translate("more_words", n=more) if more else ""),
        cells=cells,
        replicates=rules.replicates,
        centre=translate("centre", n=rules.centre_points) if rules.centre_points else "",
        runs=cells * rules.replicates + rules.centre_points,
    )


def _refine(source: ReportSource) -> str:
    rules = source.study.rules
    if rules.confirm_trainings is not None:
        key, lengths = "refine_text_budget" if rules.budget else "refine_text_screen_only", {}
        if short := rules.short:
            key = "refine_text_two_lengths" + ("" if short.continues else "_again")
            lengths = {"short": short.number, "epochs": short.epochs, "full": short.full}
        cells = source.translate(
            key,
            trainings=source.study.trainings,
            budget=rules.budget,
            at_once=at_once_as_text(rules, source.translate),
            **lengths,
        )
        confirmed = source.translate(
            "confirm_in_turn" if rules.confirm_trainings else "confirm_none",
            confirm=rules.confirm_trainings,
            most=rules.confirm_cells,
        )
        return f"{cells} {confirmed}"
    return source.translate(
        f"refine_text_{rules.method}",
        budget=rules.budget,
        rounds=rules.rounds,
        confirm=rules.confirm_replicates,
        most=rules.confirm_cells,
    )


def _fixed(study: Study) -> str:
    settings = {**study.model.settings, **study.training.model_dump()}
    fixed = {name: show(level) for name, level in settings.items() if name not in study.factors}
    return ", ".join(f"{name} = {level}" for name, level in fixed.items())
