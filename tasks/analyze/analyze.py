"""Anyone's experiment: a table of runs, or an MLflow experiment, in; effects and decision out."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.effects.compare_scales import fit_on_scales
from analysis.effects.dispersion import dispersion, dispersion_as_json, dispersion_as_text
from analysis.effects.fit import fit_effects
from analysis.effects.result import Effects
from analysis.effects.text import effects_table, wrapped
from analysis.effects.verdict import ENOUGH_ERROR_DF
from analysis.runs.columns import Experiment
from analysis.runs.infer_factors import infer_experiment
from analysis.runs.infer_surface_factors import infer_surface_experiment
from analysis.search.refined_grid import Decision, decide_grid, decision_as_text
from analysis.surface.fit import fit_surface
from analysis.surface.result import Surface
from analysis.surface.steepest_ascent import steepest_ascent
from analysis.surface.text import surface_as_text as explain_surface
from analysis.surface.text import surface_table
from tasks.analyze.read_runs import experiment_table, is_study, read_runs
from tasks.analyze.request import AnalysisRequest, alpha_of
from tasks.errors import UserError
from tasks.report.as_json import effects_as_json, surface_as_json
from tasks.tracking.execution import last_execution, past_execution

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tasks.settings import Settings
    from tasks.tracking.tracker import Tracker


@dataclass(frozen=True)
class Analysis:
    """What an experiment says.

    Attributes
    ----------
    source : where the runs are from, for people.
    notes : what was taken for granted in reading them.
    dispersion : the spread of the residuals at each factor's levels, if requested.
    """

    source: str
    effects: Effects
    decision: Decision
    notes: tuple[str, ...] = ()
    dispersion: pd.DataFrame | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; figures that do not exist are null."""
        content = {"source": self.source, "notes": list(self.notes)}
        content |= effects_as_json(self.effects, self.decision)
        if self.dispersion is None:
            return content
        return content | {"dispersion": dispersion_as_json(self.dispersion)}

    def in_words(self) -> str:
        """Return what a terminal prints."""
        lines = [f"{self.source}: {len(self.effects.runs)} runs", *map(wrapped, self.notes), ""]
        decision = [wrapped(f"- {line}") for line in decision_as_text(self.decision)]
        lines += [effects_table(self.effects), "", "Decision", *decision]
        if self.dispersion is not None:
            lines += ["", dispersion_as_text(self.dispersion)]
        return "\n".join(lines)


@dataclass(frozen=True)
class AnalysisAnswer:
    """What the command prints, as JSON and in words, and what figures show of it."""

    found: Effects | Surface
    content: dict[str, Any]
    text: str


def analyze_request(request: AnalysisRequest, settings: "Settings") -> AnalysisAnswer:
    """Analyse what the request names: a CSV file, a study, or anyone's MLflow experiment.

    Raises
    ------
    UserError, AnalysisError
        If it is not there, or no experiment that can be analysed.
    """
    if request.csv is not None:
        return _table_answer(read_runs(request.csv), request, str(request.csv))
    from tasks.tracking.tracker import Tracker

    tracker, name = Tracker.open(settings, create=False), str(request.experiment)
    if is_study(tracker, name) and request == AnalysisRequest(experiment=name):
        return _study_answer(tracker, name)
    if request.surface:
        table = experiment_table(tracker, name, request.response)
        return _surface_answer(table, request, f"MLflow experiment {name}")
    analysis = analyse_experiment(tracker, name, request)
    return AnalysisAnswer(analysis.effects, analysis.to_json(), analysis.in_words())


def _table_answer(table: pd.DataFrame, request: AnalysisRequest, source: str) -> AnalysisAnswer:
    if request.surface:
        return _surface_answer(table, request, source)
    analysis = analyse_table(table, request, source)
    return AnalysisAnswer(analysis.effects, analysis.to_json(), analysis.in_words())


def _surface_answer(table: pd.DataFrame, request: AnalysisRequest, source: str) -> AnalysisAnswer:
    """Fit a response surface, and follow it uphill."""
    found = infer_surface_experiment(
        table,
        request.response,
        levels=request.factors,
        log=request.log,
        excluded=[request.block] if request.block else [],
    )
    surface = fit_surface(
        found.runs,
        found.factors,
        request.response,
        alpha=alpha_of(request),
        block=request.block,
    )
    path = steepest_ascent(surface, step=0.5, steps=4, maximise=not request.minimise)
    text = [f"{source}: {len(surface.runs)} runs", *found.notes, "", surface_table(surface), ""]
    text += [wrapped(line) for line in explain_surface(surface)]
    text += ["", "The best points at growing distance from the centre", path.to_string(index=False)]
    return AnalysisAnswer(surface, surface_as_json(surface, path, source), "\n".join(text))


def _study_answer(tracker: "Tracker", name: str) -> AnalysisAnswer:
    """Rebuild all findings of a study's last execution."""
    tracker.settings.create()  # Prefect, which the report's tasks import, wants its folder
    from tasks.report.as_json import outcome_as_json
    from tasks.report.outcome import outcome_of
    from tasks.report.text import outcome_as_text

    run = tracker.last_execution(tracker.existing_experiment(name))
    outcome = outcome_of(past_execution(tracker, run))
    return AnalysisAnswer(outcome.effects, outcome_as_json(outcome), outcome_as_text(outcome))


def analyse_table(table: pd.DataFrame, request: AnalysisRequest, source: str) -> Analysis:
    """Analyse a table of runs; see `analysis.runs.infer_factors.infer_experiment`."""
    found = infer_experiment(
        table,
        request.response,
        levels=request.factors,
        log=request.log,
        excluded=[request.block] if request.block else [],
    )
    return _analysed(found, request, source)


def _analysed(found: Experiment, request: AnalysisRequest, source: str) -> Analysis:
    effects = fit_effects(
        found.runs,
        found.factors,
        request.response,
        order=request.order,
        terms=request.terms,
        alpha=alpha_of(request),
        block=request.block,
        transform=request.transform,
        images=request.images,
    )
    decision = decide_grid(effects, budget=request.budget, maximise=not request.minimise)
    spread = dispersion(effects) if request.dispersion else None
    return Analysis(source, effects, decision, found.notes, spread)


def analyse_experiment(tracker: "Tracker", name: str, request: AnalysisRequest) -> Analysis:
    """Analyse an MLflow experiment whose runs have the factors as params, whoever logged them.

    Of a study of FactorGrid's, the screen of its last execution is analysed, with the study's own
    factors, alpha and budget where the request has none.

    Raises
    ------
    UserError, AnalysisError
        If there is no such experiment, or it is none that can be analysed.
    """
    if is_study(tracker, name):
        return _analyse_study(tracker, name, request)
    if not request.response:
        raise UserError(f"experiment {name}: no study of FactorGrid's; name --response METRIC")
    table = experiment_table(tracker, name, request.response)
    return analyse_table(table, request, f"MLflow experiment {name}")


def _analyse_study(tracker: "Tracker", name: str, request: AnalysisRequest) -> Analysis:
    execution = last_execution(tracker, name)
    study, runs = execution.study, execution.runs("screen")
    asked = replace(
        request,
        response=request.response or study.response,
        alpha=study.alpha if request.alpha is None else request.alpha,
        budget=request.budget or study.rules.grid_budget,
    )
    if asked.response not in runs or not runs[asked.response].notna().any():
        raise UserError(f"study {name}: no run of its screen has {asked.response}; run it again")
    found = Experiment(runs, study.factor_list, ())
    return _analysed(found, asked, f"study {name}, screen of MLflow run {execution.run_id}")


def save_figures(found: Effects | Surface, folder: Path) -> list[Path]:
    """Write the figures of an analysis as PNG files into a folder, and return their paths.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in _figures(found).items():
            figure.savefig(folder / f"{name}.png", dpi=120)
            paths.append(folder / f"{name}.png")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}; name another") from None
    return paths


def _figures(found: Effects | Surface) -> "dict[str, Figure]":
    from analysis.plots import effects
    from analysis.plots.response_surface import contours

    if isinstance(found, Surface):
        return {"contours": contours(found)} if len(found.factors) > 1 else {}
    drawn = effects.effect_figures(found)
    fits = fit_on_scales(found) if found.residual_df >= ENOUGH_ERROR_DF else []
    if len(fits) > 1:
        drawn["scales"] = effects.scales(fits)
    return drawn
