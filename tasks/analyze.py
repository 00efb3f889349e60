"""Anyone's experiment: a table of runs, or an MLflow experiment, in; effects and decision out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.decision import Decision, decide, explain
from analysis.effects import Effects, fit_effects
from analysis.fitting import value
from analysis.report import effects_table, surface_table, wrapped
from analysis.responses import Transform
from analysis.scales import on_scales
from analysis.surface import Surface, fit_surface, steepest_ascent
from analysis.surface import explain as explain_surface
from analysis.table import Experiment, experiment, surface_experiment
from analysis.verdict import ENOUGH_ERROR_DF
from tasks.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tasks.settings import Settings
    from tasks.tracking import Tracker

TERM_FIELDS = ("coefficient", "effect", "std_error", "t", "p", "sum_of_squares")
MARGINS = ("pse", "me", "sme", "me_t", "sme_t")
#: Marks the parent runs of FactorGrid's own studies.
STUDIES = "tags.`factorgrid.kind` = 'study'"


@dataclass(frozen=True)
class Request:
    """How an experiment is to be analysed.

    Attributes
    ----------
    csv, experiment : where the runs are: one of the two.
    response : the column or metric; a study has its own.
    factors : names, with low and high or None for those found; none: all that have two levels.
    log : factors on a log scale.
    order, terms : what to fit, see `analysis.effects.fit_effects`.
    alpha : of the verdict; None: 0.05, or a study's own.
    block : the column whose values are blocks.
    transform, images : the response's scale.
    minimise : whether a lower response is better.
    budget : the most cells of the refined grid.
    surface : whether to fit a second-order surface instead of effects.
    """

    csv: Path | None = None
    experiment: str | None = None
    response: str = ""
    factors: Mapping[str, tuple[str, str] | None] = field(default_factory=dict)
    log: Sequence[str] = ()
    order: int | None = None
    terms: Sequence[str] | None = None
    alpha: float | None = None
    block: str | None = None
    transform: Transform = "raw"
    images: int | None = None
    minimise: bool = False
    budget: int | None = None
    surface: bool = False


def request_of(given: Mapping[str, Any]) -> Request:
    """Return the request that the options of the command line make.

    Raises
    ------
    UserError
        If a factor's levels are not two, or options that belong together are not given so.
    """
    if bool(given["csv"]) == bool(given["experiment"]):
        raise UserError("analyze: give either --csv FILE or --experiment NAME")
    if given["csv"] and not given["response"]:
        raise UserError("analyze: --csv needs --response COLUMN too")
    terms = given["terms"]
    return Request(
        csv=given["csv"],
        experiment=given["experiment"],
        response=given["response"] or "",
        factors=dict(_factor_option(text) for text in given["factors"]),
        log=given["log"],
        order=given["order"],
        terms=terms.split(",") if terms else None,
        alpha=given["alpha"],
        block=given["block"],
        transform=given["scale"],
        images=given["images"],
        minimise=given["minimise"],
        budget=given["budget"],
        surface=given["surface"],
    )


def _factor_option(text: str) -> tuple[str, tuple[str, str] | None]:
    name, given, levels = text.partition("=")
    both = [level.strip() for level in levels.split(",")]
    if not given:
        return name, None
    if len(both) != 2 or not all(both):  # noqa: PLR2004 # low and high
        raise UserError(f"--factor {text}: not two levels; write NAME=LOW,HIGH")
    return name, (both[0], both[1])


@dataclass(frozen=True)
class Analysis:
    """What an experiment says.

    Attributes
    ----------
    source : where the runs are from, for people.
    notes : what was taken for granted in reading them.
    """

    source: str
    effects: Effects
    decision: Decision
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; figures that do not exist are null."""
        return {"source": self.source, "notes": list(self.notes)} | to_json(
            self.effects, self.decision
        )

    def in_words(self) -> str:
        """Return what a terminal prints."""
        lines = [f"{self.source}: {len(self.effects.runs)} runs", *map(wrapped, self.notes), ""]
        decision = [wrapped(f"- {line}") for line in explain(self.decision)]
        return "\n".join([*lines, effects_table(self.effects), "", "Decision", *decision])


@dataclass(frozen=True)
class Answer:
    """What the command prints, as JSON and in words, and what figures show of it."""

    found: Effects | Surface
    content: dict[str, Any]
    text: str


def answer(request: Request, settings: "Settings") -> Answer:
    """Analyse what the request names: a CSV file, a study, or anyone's MLflow experiment.

    Raises
    ------
    UserError, AnalysisError
        If it is not there, or no experiment that can be analysed.
    """
    if request.csv is not None:
        return _table_answer(read_table(request.csv), request, str(request.csv))
    from tasks.tracking import Tracker

    tracker, name = Tracker.open(settings, create=False), str(request.experiment)
    if _is_study(tracker, name) and request == Request(experiment=name):
        return _study_answer(tracker, name)
    if request.surface:
        table = experiment_table(tracker, name, request.response)
        return _surface_answer(table, request, f"MLflow experiment {name}")
    analysis = analyse_experiment(tracker, name, request)
    return Answer(analysis.effects, analysis.to_json(), analysis.in_words())


def _table_answer(table: pd.DataFrame, request: Request, source: str) -> Answer:
    if request.surface:
        return _surface_answer(table, request, source)
    analysis = analyse_table(table, request, source)
    return Answer(analysis.effects, analysis.to_json(), analysis.in_words())


def _surface_answer(table: pd.DataFrame, request: Request, source: str) -> Answer:
    """Fit a response surface, and follow it uphill."""
    found = surface_experiment(
        table,
        request.response,
        levels=request.factors,
        log=request.log,
        apart=[request.block] if request.block else [],
    )
    surface = fit_surface(
        found.runs,
        found.factors,
        request.response,
        alpha=_alpha(request),
        block=request.block,
    )
    path = steepest_ascent(surface, step=0.5, steps=4, maximise=not request.minimise)
    text = [f"{source}: {len(surface.runs)} runs", *found.notes, "", surface_table(surface), ""]
    text += [wrapped(line) for line in explain_surface(surface)]
    text += ["", "The best points at growing distance from the centre", path.to_string(index=False)]
    return Answer(surface, surface_json(surface, path, source), "\n".join(text))


def surface_json(surface: Surface, path: pd.DataFrame, source: str) -> dict[str, Any]:
    """Return a surface as plain JSON types."""
    point = surface.stationary
    return {
        "source": source,
        "terms": _table_json(surface.terms),
        "residual_df": surface.residual_df,
        "r_squared": _number(surface.r_squared),
        "r_squared_predicted": _number(surface.r_squared_predicted),
        "anova": _table_json(surface.anova),
        "stationary": point
        and {
            "kind": point.kind,
            "coded": point.coded,
            "natural": point.natural,
            "predicted": point.predicted,
            "eigenvalues": point.eigenvalues.tolist(),
            "inside": point.inside,
            "ridge": bool(point.ridge),
        },
        "path": [{str(k): _number(x) for k, x in row.items()} for row in path.to_dict("records")],
        "warnings": list(surface.warnings),
    }


def _table_json(table: pd.DataFrame) -> dict[str, Any]:
    rows = table.to_dict("index")
    return {str(row): {str(k): _number(x) for k, x in found.items()} for row, found in rows.items()}


def _is_study(tracker: "Tracker", name: str) -> bool:
    return bool(tracker.search([tracker.existing_experiment(name)], STUDIES, limit=1))


def _study_answer(tracker: "Tracker", name: str) -> Answer:
    """Rebuild all findings of a study's last execution."""
    tracker.settings.create()  # Prefect, which the report's tasks import, wants its folder
    from tasks.report import in_words, outcome_of

    run = tracker.last_execution(tracker.existing_experiment(name))
    outcome = outcome_of(tracker.past(run))
    return Answer(outcome.effects, outcome.to_json(), in_words(outcome))


def analyse_table(table: pd.DataFrame, request: Request, source: str) -> Analysis:
    """Analyse a table of runs; see `analysis.table.experiment`."""
    found = experiment(
        table,
        request.response,
        levels=request.factors,
        log=request.log,
        apart=[request.block] if request.block else [],
    )
    return _analysed(found, request, source)


def _analysed(found: Experiment, request: Request, source: str) -> Analysis:
    effects = fit_effects(
        found.runs,
        found.factors,
        request.response,
        order=request.order,
        terms=request.terms,
        alpha=_alpha(request),
        block=request.block,
        transform=request.transform,
        images=request.images,
    )
    decision = decide(effects, budget=request.budget, maximise=not request.minimise)
    return Analysis(source, effects, decision, found.notes)


def _alpha(request: Request) -> float:
    alpha = 0.05 if request.alpha is None else request.alpha
    if not 0 < alpha < 1:
        raise UserError(f"alpha {alpha:g}: a share between 0 and 1; 0.05 is usual")
    return alpha


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file; semicolons and tabs separate as well as commas.

    Raises
    ------
    UserError
        If it is not there, is no text, or has no rows.
    """
    try:
        table = pd.read_csv(path, skipinitialspace=True)
        head = str(table.columns[0]) if table.shape[1] == 1 else ""
        if ";" in head:
            table = pd.read_csv(path, sep=";", decimal=",", skipinitialspace=True)
        elif "\t" in head:
            table = pd.read_csv(path, sep="\t", skipinitialspace=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; correct the path") from None
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"{path}: cannot be read as CSV: {first}; save it as CSV in UTF-8"
        ) from None
    if table.empty:
        raise UserError(f"{path}: no rows; a header and a row a run are needed")
    return table


def analyse_experiment(tracker: "Tracker", name: str, request: Request) -> Analysis:
    """Analyse an MLflow experiment whose runs have the factors as params, whoever logged them.

    Of a study of FactorGrid's, the screen of its last execution is analysed, with the study's own
    factors, alpha and budget where the request has none.

    Raises
    ------
    UserError, AnalysisError
        If there is no such experiment, or it is none that can be analysed.
    """
    if _is_study(tracker, name):
        return _analyse_study(tracker, name, request)
    if not request.response:
        raise UserError(f"experiment {name}: no study of FactorGrid's; name --response METRIC")
    table = experiment_table(tracker, name, request.response)
    return analyse_table(table, request, f"MLflow experiment {name}")


def _analyse_study(tracker: "Tracker", name: str, request: Request) -> Analysis:
    execution = tracker.past(tracker.last_execution(tracker.existing_experiment(name)))
    study, runs = execution.study, execution.runs("screen")
    asked = replace(
        request,
        response=request.response or study.response,
        alpha=study.alpha if request.alpha is None else request.alpha,
        budget=request.budget or study.refine.grid_budget,
    )
    if asked.response not in runs or not runs[asked.response].notna().any():
        raise UserError(f"study {name}: no run of its screen has {asked.response}; run it again")
    found = Experiment(runs, study.factor_list, ())
    return _analysed(found, asked, f"study {name}, screen of MLflow run {execution.run_id}")


def experiment_table(tracker: "Tracker", name: str, response: str) -> pd.DataFrame:
    """Return the runs of an MLflow experiment that have params: these, and the response.

    Parameters
    ----------
    tracker : the server.
    name : of the experiment.
    response : the metric, its last value. A run that failed has none (NaN); one that goes on is
        left out.

    Raises
    ------
    TrackingError
        If there is no such experiment; the names that exist are given.
    UserError
        If no finished run has the metric; those that exist are given.
    """
    runs = tracker.search([tracker.existing_experiment(name)], "")
    done = [run for run in runs if run.info.status in {"FINISHED", "FAILED"} and run.data.params]
    rows = [{**run.data.params, response: _metric(run, response)} for run in reversed(done)]
    if not any(math.isfinite(row[response]) for row in rows):
        metrics = sorted({metric for run in runs for metric in run.data.metrics})
        raise UserError(
            f"experiment {name}: no finished run has a metric {response!r}; there are: "
            f"{', '.join(metrics) or 'none'}"
        )
    return pd.DataFrame(rows)


def _metric(run: Any, name: str) -> float:
    return (
        float(run.data.metrics.get(name, math.nan)) if run.info.status == "FINISHED" else math.nan
    )


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
    from analysis import plots
    from analysis.surface_plots import contours

    if isinstance(found, Surface):
        return {"contours": contours(found)} if len(found.factors) > 1 else {}
    drawn = plots.figures(found)
    fits = on_scales(found) if found.residual_df >= ENOUGH_ERROR_DF else []
    if len(fits) > 1:
        drawn["scales"] = plots.scales(fits)
    return drawn


def to_json(effects: Effects, decision: Decision) -> dict[str, Any]:
    """Return the analysis as plain JSON types; what does not exist is null."""
    return {
        "terms": {
            str(name): {field: _number(row[field]) for field in TERM_FIELDS}
            for name, row in effects.terms.iterrows()
        },
        "residual_df": effects.residual_df,
        "r_squared": _number(effects.r_squared),
        "r_squared_adjusted": _number(effects.r_squared_adjusted),
        "r_squared_predicted": _number(effects.r_squared_predicted),
        "press": _number(effects.press),
        "lenth": effects.lenth and {name: getattr(effects.lenth, name) for name in MARGINS},
        "active": list(effects.active),
        "verdict": _verdict(effects),
        "anova": _table_json(effects.anova),
        "aliases": {term.term: term.mixed_with for term in effects.lost},
        "warnings": list(effects.warnings),
        "half": effects.half and _half(effects),
        "decision": {
            "grid": {name: list(levels) for name, levels in decision.grid.items()},
            "corner": dict(decision.corner),
            "reasons": explain(decision),
        },
    }


def _verdict(effects: Effects) -> dict[str, Any]:
    verdict = effects.verdict
    return {
        "test": verdict.test,
        "surely": list(verdict.surely),
        "margin": _number(verdict.margin),
        "simultaneous_margin": _number(verdict.simultaneous),
        "words": verdict.words,
    }


def _half(effects: Effects) -> dict[str, Any]:
    half = effects.half
    if half is None:
        return {}
    inner = half.effects
    return {
        "factor": half.factor,
        "working": half.working,
        "effects": {
            str(name): _number(value(inner.terms, str(name), "effect"))
            for name in inner.terms.index.drop("intercept")
        },
        "active": list(inner.active),
        "verdict": _verdict(inner),
    }


def _number(number: Any) -> float | None:
    return float(number) if math.isfinite(number) else None
