"""Analysing an experiment: a CSV file or an MLflow experiment in, effects and decision out."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.effects.compare_scales import fit_on_scales
from analysis.effects.dispersion import dispersion, dispersion_as_json, dispersion_as_text
from analysis.effects.fit import fit_effects
from analysis.effects.result import Effects
from analysis.effects.verdict import ENOUGH_ERROR_DF
from analysis.effects.whole_plots import WholePlots, whole_plot_effects
from analysis.runs.bookkeeping import SEEDS, plain_name
from analysis.runs.checks import recurring
from analysis.runs.collapsed import ASSUMED_IMAGES, find_guessing
from analysis.runs.columns import Experiment
from analysis.runs.direction import is_accuracy
from analysis.runs.infer_factors import infer_experiment
from analysis.runs.infer_surface_factors import infer_surface_experiment
from analysis.search.refined_grid import Decision, decide_grid
from analysis.surface.fit import fit_surface
from analysis.surface.result import Surface
from analysis.surface.steepest_ascent import steepest_ascent
from tasks.analyze.read_runs import is_study, runs_of_experiment
from tasks.analyze.request import AnalysisRequest, check_study_request
from tasks.errors import UserError
from tasks.figures import save_figure
from tasks.languages import Translate, translator
from tasks.report.as_json import effects_as_json, outcome_as_json, surface_as_json
from tasks.report.outcome import outcome_of
from tasks.report.text import outcome_as_text
from tasks.search.other_pictures import effects_on_other_pictures
from tasks.settings import Settings
from tasks.tables.read_csv import CsvTable, read_csv
from tasks.tables.reading import Reading, reading_as_json
from tasks.tracking.correct_answers import ACCURACY
from tasks.tracking.execution import last_execution
from tasks.tracking.tracker import Tracker
from tasks.wording.decision import decision_as_text
from tasks.wording.effects import effects_as_text
from tasks.wording.over_pictures import (
    OverPictures,
    over_pictures_as_json,
    over_pictures_as_text,
)
from tasks.wording.reading import reading_as_text
from tasks.wording.surface import surface_as_text, surface_table
from tasks.wording.terminal import bullets, wrapped
from tasks.wording.whole_plots import whole_plots_as_json, whole_plots_as_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The path of steepest ascent of a surface: coded distance of a step, and how many steps.
ASCENT_STEP, ASCENT_STEPS = 0.5, 4


@dataclass(frozen=True)
class Analysis:
    """The analysis of one table of runs.

    Attributes
    ----------
    source : where the runs are from, as text.
    effects : of the factors.
    decision : where to search next.
    notes : assumptions made when the factors were inferred.
    dispersion : of the residuals at each factor's levels, if it was requested.
    over_pictures : standard errors over pictures and seeds, if they were requested.
    whole_plots : effects with a random effect of whole plots, if they were requested.
    reading : how the table was read; None for a study.
    """

    source: str
    effects: Effects
    decision: Decision
    notes: tuple[str, ...] = ()
    dispersion: pd.DataFrame | None = None
    over_pictures: OverPictures | None = None
    whole_plots: WholePlots | None = None
    reading: Reading | None = None


@dataclass(frozen=True)
class AnalysisAnswer:
    """The answer to a request.

    Attributes
    ----------
    found : the fitted model, of which figures can be drawn; None if no effects were fitted.
    content : the answer as plain JSON types.
    text : the answer as a terminal prints it.
    """

    found: Effects | Surface | None
    content: dict[str, Any]
    text: str


def analyze_request(request: AnalysisRequest, settings: Settings) -> AnalysisAnswer:
    """Analyse what a request names: a CSV file, a study, or any MLflow experiment.

    Raises
    ------
    UserError, AnalysisError
        If it does not exist, or cannot be analysed.
    """
    if request.csv is not None:
        return _answer_for_table(read_csv(request.csv), request, str(request.csv))
    tracker, name = Tracker.open(settings, create=False), str(request.experiment)
    if not is_study(tracker, name):
        return _answer_for_experiment(tracker, name, request)
    if request == AnalysisRequest(experiment=name):
        return _answer_for_study(tracker, name)
    if request.surface:
        study = last_execution(tracker, name).study
        named = replace(request, response=request.response or study.response)
        return _answer_for_experiment(tracker, name, named)
    check_study_request(request)
    return _answer(_analyse_screen(tracker, name, request))


def _answer_for_table(
    table: CsvTable | pd.DataFrame, request: AnalysisRequest, source: str
) -> AnalysisAnswer:
    if request.surface:
        return _surface_answer(table, request, source)
    return _answer(analyse_table(table, request, source))


def _answer_for_experiment(tracker: Tracker, name: str, request: AnalysisRequest) -> AnalysisAnswer:
    if request.over_pictures:
        raise UserError(
            f"--over-pictures: experiment {name} is not a study of FactorGrid, so the answers of "
            "its networks to each picture are not known; leave it out"
        )
    if not request.response:
        raise UserError(f"experiment {name}: not a study of FactorGrid; name --response METRIC")
    table = runs_of_experiment(tracker, name, request.response)
    return _answer_for_table(table, request, f"MLflow experiment {name}")


def _answer_for_study(tracker: Tracker, name: str) -> AnalysisAnswer:
    """Return all findings of a study's last execution."""
    outcome = outcome_of(last_execution(tracker, name))
    return AnalysisAnswer(outcome.effects, outcome_as_json(outcome), outcome_as_text(outcome))


def _answer(analysis: Analysis) -> AnalysisAnswer:
    return AnalysisAnswer(analysis.effects, analysis_as_json(analysis), analysis_as_text(analysis))


def analysis_as_json(analysis: Analysis) -> dict[str, Any]:
    """Return an analysis as plain JSON types; numbers that do not exist are null."""
    content: dict[str, Any] = {"source": analysis.source, "notes": list(analysis.notes)}
    content |= effects_as_json(analysis.effects, analysis.decision)
    if analysis.reading is not None:
        content["read_as"] = reading_as_json(analysis.reading)
    if analysis.dispersion is not None:
        content["dispersion"] = dispersion_as_json(analysis.dispersion)
    if analysis.over_pictures is not None:
        content["over_pictures"] = over_pictures_as_json(analysis.over_pictures)
    if analysis.whole_plots is not None:
        content["whole_plots"] = whole_plots_as_json(analysis.whole_plots)
    return content


def analysis_as_text(analysis: Analysis, language: str = "en") -> str:
    """Return what a terminal prints.

    Parameters
    ----------
    analysis : of one table of runs.
    language : one of `tasks.languages.LANGUAGES`.
    """
    translate = translator(language)
    runs = len(analysis.effects.runs)
    lines = [
        translate("table_title", source=analysis.source, runs=runs),
        *_reading_lines(analysis.reading, translate),
        *map(wrapped, analysis.notes),
        "",
        effects_as_text(analysis.effects, translate),
        "",
        translate("decision"),
        *bullets(decision_as_text(analysis.decision, translate)),
    ]
    if analysis.dispersion is not None:
        lines += ["", dispersion_as_text(analysis.dispersion)]
    if analysis.over_pictures is not None:
        lines += ["", over_pictures_as_text(analysis.over_pictures, translate)]
    if analysis.whole_plots is not None:
        lines += ["", whole_plots_as_text(analysis.whole_plots, analysis.effects, translate)]
    return "\n".join(lines)


def _reading_lines(reading: Reading | None, translate: Translate) -> list[str]:
    text = reading_as_text(reading, translate) if reading else ""
    return [wrapped(text)] if text else []


def _surface_answer(
    table: CsvTable | pd.DataFrame, request: AnalysisRequest, source: str
) -> AnalysisAnswer:
    """Fit a response surface, and follow its steepest ascent."""
    found = infer_surface_experiment(
        _runs(table),
        request.response,
        levels=request.factors,
        log=request.log,
        excluded=request.not_factors,
    )
    surface = fit_surface(
        found.runs,
        found.factors,
        request.response,
        model=None,
        alpha=request.significance,
        block=request.block_column,
    )
    path = steepest_ascent(surface, step=ASCENT_STEP, steps=ASCENT_STEPS, maximise=request.maximise)
    notes = [*found.notes, *request.direction_notes]
    translate, reading = translator("en"), _reading(table, found)
    lines = [
        translate("table_title", source=source, runs=len(surface.runs)),
        *_reading_lines(reading, translate),
        *map(wrapped, notes),
        "",
        surface_table(surface),
        "",
        *map(wrapped, surface_as_text(surface, translate)),
        "",
        translate("path_title"),
        path.to_string(index=False),
    ]
    content = {
        **surface_as_json(surface, path, source),
        "notes": notes,
        "read_as": reading_as_json(reading),
    }
    return AnalysisAnswer(surface, content, "\n".join(lines))


def analyse_table(
    table: CsvTable | pd.DataFrame, request: AnalysisRequest, source: str
) -> Analysis:
    """Analyse a table of runs; see `analysis.runs.infer_factors.infer_experiment`.

    Raises
    ------
    UserError, AnalysisError
        If the table cannot be analysed as requested.
    """
    found = infer_experiment(
        _runs(table),
        request.response,
        levels=request.factors,
        log=request.log,
        excluded=request.not_factors,
    )
    marked = _with_collapsed(found, request)
    blocked, marked = _with_blocks(marked, request)
    return _analyse(marked, blocked, source, reading=_reading(table, found))


def _with_blocks(found: Experiment, request: AnalysisRequest) -> tuple[AnalysisRequest, Experiment]:
    """Return the request with seeds that all cells share as its blocks, and a note of that.

    A seed that recurs in several cells, but not in all, is only noted.
    """
    names = [f.name for f in found.factors]
    seeds = [str(name) for name in found.runs if plain_name(str(name)) in SEEDS]
    if request.block or request.whole_plot or len(seeds) != 1 or seeds[0] in names:
        return request, found
    kind = recurring(found.runs, names, seeds[0])
    if kind is None:
        return request, found
    if kind == "all":
        note = (
            f"all cells have the same values of {seeds[0]}, so these are taken as blocks; if equal "
            "seeds have nothing in common, give --block none"
        )
        request = replace(request, block=seeds[0])
    else:
        note = (
            f"values of {seeds[0]} recur in several cells: if runs of one value have something in "
            f"common, give --block {seeds[0]}"
        )
    return request, replace(found, notes=(*found.notes, note))


def _with_collapsed(found: Experiment, request: AnalysisRequest) -> Experiment:
    """Return the experiment with the runs marked that are no better than guessing, and a note.

    A column ``collapsed`` stays as it is.

    Raises
    ------
    UserError
        If the number of classes is given, and the table has that column, or the response is not an
        accuracy.
    """
    classes, response = request.classes, request.response
    if "collapsed" in found.runs:
        if classes:
            raise UserError(
                f"--classes {classes}: the column 'collapsed' marks the runs that learned nothing; "
                "leave one of them out"
            )
        return found
    if classes == 0 or not (classes or is_accuracy(response)):
        return found
    values = pd.to_numeric(found.runs[response], errors="coerce")
    if classes and not values.dropna().between(0, 100).all():
        raise UserError(
            f"--classes {classes}: {response} is not an accuracy, a share or a percentage; leave "
            "it out, or name another response"
        )
    guessing = find_guessing(values, classes=classes, images=request.images)
    if guessing is None:
        return found
    assumed = "" if request.images else f", if measured on {ASSUMED_IMAGES:,} images"
    remedy = "--images N" if classes else "--classes N or 0, or --images N,"
    note = (
        f"runs that are taken to have collapsed: {guessing.collapsed.sum()} of {len(found.runs)}; "
        f"their {response} is no better than guessing among {guessing.classes} classes (at most "
        f"{guessing.limit:.3f}{assumed}); if not, give {remedy} or a column 'collapsed'"
    )
    runs = found.runs.assign(collapsed=guessing.collapsed)
    return replace(found, runs=runs, notes=(*found.notes, note))


def _runs(table: CsvTable | pd.DataFrame) -> pd.DataFrame:
    return table.rows if isinstance(table, CsvTable) else table


def _reading(table: CsvTable | pd.DataFrame, found: Experiment) -> Reading:
    return Reading(
        table if isinstance(table, CsvTable) else None,
        {factor.name: factor.levels for factor in found.factors},
        found.orders,
        found.spellings,
        found.left_out,
        found.statuses,
    )


def _analyse_screen(tracker: Tracker, name: str, request: AnalysisRequest) -> Analysis:
    """Analyse the screen of a study's last execution.

    The study's factors are used, and its response, alpha and budget if the request has none.
    """
    execution = last_execution(tracker, name)
    study, runs = execution.study, execution.runs("screen")
    if study.rules.design is None:
        raise UserError(
            f"study {name}: its screen is a Latin hypercube, of which no effects are fitted; give "
            f"--experiment {name} alone for what is known of its factors"
        )
    completed = replace(
        request,
        response=request.response or study.response,
        alpha=study.alpha if request.alpha is None else request.alpha,
        budget=request.budget or study.rules.grid_budget,
    )
    response = completed.response
    if response not in runs or not runs[response].notna().any():
        raise UserError(f"study {name}: no run of its screen has {response}; run it again")
    if request.over_pictures and response != ACCURACY:
        raise UserError(
            f"--over-pictures: {response} is no mean over pictures; give --response {ACCURACY}, or "
            "leave it out"
        )
    found = Experiment(runs, study.factor_list)
    # A study whose runs are all equal has its findings, too.
    analysis = _analyse(
        found,
        completed,
        constant=True,
        source=f"study {name}, screen of MLflow run {execution.run_id}",
    )
    if not request.over_pictures:
        return analysis
    try:
        found_over = effects_on_other_pictures(execution, analysis.effects)
    except UserError as error:
        raise UserError(f"{error}; or leave --over-pictures out") from None
    return replace(analysis, over_pictures=found_over)


def _analyse(
    found: Experiment,
    request: AnalysisRequest,
    source: str,
    *,
    reading: Reading | None = None,
    constant: bool = False,
) -> Analysis:
    effects = fit_effects(
        found.runs,
        found.factors,
        request.response,
        order=request.order,
        terms=request.terms,
        alpha=request.significance,
        block=request.block_column,
        transform=request.transform,
        images=request.images,
        constant=constant,
        equal_spread=request.equal_spread,
    )
    decision = decide_grid(effects, budget=request.budget, maximise=request.maximise)
    spread = dispersion(effects) if request.dispersion else None
    notes = (*found.notes, *request.direction_notes)
    plots = None
    if request.whole_plot:
        plots = whole_plot_effects(effects.judged, request.whole_plot)
    return Analysis(source, effects, decision, notes, spread, whole_plots=plots, reading=reading)


def save_figures(found: Effects | Surface | None, folder: Path) -> list[Path]:
    """Write the figures of an analysis as PNG files into a folder, and return their paths.

    Raises
    ------
    UserError
        If there are no figures, or the folder cannot be written.
    """
    if found is None:
        raise UserError(
            "--plots: no effects were fitted, because the screen is a Latin hypercube; leave it out"
        )
    paths, figures = [], _figures(found)
    if not figures:
        raise UserError("--plots: a surface of one factor has no contours; leave it out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            save_figure(figure, folder / f"{name}.png", dpi=120)
            paths.append(folder / f"{name}.png")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}; name another") from None
    return paths


def _figures(found: Effects | Surface) -> "dict[str, Figure]":
    from analysis.plots import effects
    from analysis.plots.response_surface import contours

    if isinstance(found, Surface):
        return {"contours": contours(found)} if len(found.factors) > 1 else {}
    figures = effects.effect_figures(found)
    fits = fit_on_scales(found) if found.residual_df >= ENOUGH_ERROR_DF else []
    if len(fits) > 1:
        figures["scales"] = effects.scales(fits)
    return figures
