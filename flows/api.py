"""FactorGrid for notebooks and scripts; the module `factorgrid` has these names.

All state is where the command has it: in ``./.factorgrid`` or FACTORGRID_HOME, and at the servers
that MLFLOW_TRACKING_URI and PREFECT_API_URL name. Mistakes raise `tasks.errors.UserError`, with the
line that the command prints.
"""

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.effects.model_matrix import INTERCEPT
from analysis.effects.result import Effects
from analysis.factors import Level, cell_name
from analysis.search.changes import Change
from analysis.search.refined_grid import Decision
from tasks.analyze.analyze import analyse_table, analysis_as_text
from tasks.analyze.request import AnalysisRequest
from tasks.environment import prepare_environment
from tasks.errors import UserError
from tasks.languages import translator
from tasks.planning.past_runs import past_runs
from tasks.planning.plan_study import plan_on_this_machine
from tasks.planning.show_plan import plan_as_text
from tasks.report.outcome import Outcome, outcome_of
from tasks.report.studies import find_execution
from tasks.report.text import outcome_as_text
from tasks.study.custom_network import with_builder
from tasks.study.study_file import Study, load_study, parse_study
from tasks.tracking.execution import Execution
from tasks.tracking.tracker import Tracker
from tasks.wording.decision import decision_as_text
from tasks.wording.next_moves import NextStep, next_steps
from tasks.wording.values import plain_level

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The figure of the refined cells, which `Result.plot` has besides those of the effects.
HEATMAP = "heatmap"


@dataclass(frozen=True)
class Plan:
    """What a study will do.

    Attributes
    ----------
    study : the study.
    trainings : the number of trainings of each stage, at most.
    screen : one row per run of the screen, the levels of its cell; with a pilot, ends of ranges.
    text : all of it as `factorgrid plan` prints it.
    """

    study: Study
    trainings: dict[str, int]
    screen: pd.DataFrame = field(repr=False)
    text: str = field(repr=False)

    def __str__(self) -> str:
        """Return what `factorgrid plan` prints."""
        return self.text


@dataclass(frozen=True)
class Analysis:
    """The effects of an experiment, and where to search next.

    Attributes
    ----------
    fit : the fitted model, with everything that is known of it.
    decision : the refined grid, with its reasons as data.
    text : all of it as `factorgrid analyze` prints it.
    """

    fit: Effects = field(repr=False)
    decision: Decision = field(repr=False)
    text: str = field(repr=False)

    @property
    def effects(self) -> pd.DataFrame:
        """One row per term; see `effects_table`."""
        return effects_table(self.fit)

    @property
    def next(self) -> list[str]:
        """The reasons of the decision, and the levels to try, as sentences."""
        return decision_as_text(self.decision, translator("en"))

    def plot(self, name: str) -> "Figure":
        """Return a figure of the effects; see `Result.plot`."""
        return _figure(_figures(self.fit), name)

    def __str__(self) -> str:
        """Return what `factorgrid analyze` prints."""
        return self.text

    def _repr_html_(self) -> str:
        """Return the table of effects and the decision for a notebook."""
        return f"{self.effects.to_html()}{_html_list(self.next)}"


@dataclass(frozen=True)
class Result:
    """The findings of a study, read from MLflow.

    Attributes
    ----------
    outcome : all findings as data.
    execution : the parent run in MLflow, its runs and artifacts.
    """

    outcome: Outcome = field(repr=False)
    execution: Execution = field(repr=False)

    @property
    def study(self) -> Study:
        """The study that was carried out."""
        return self.outcome.study

    @property
    def effects(self) -> pd.DataFrame:
        """One row per term of the screen; see `effects_table`.

        Raises
        ------
        UserError
            If the screen is a Latin hypercube, of which no effects are fitted.
        """
        if self.outcome.effects is None:
            raise UserError(
                f"study {self.study.name}: no effects, because its screen is a Latin hypercube; "
                "`changes` has what is known of the factors"
            )
        return effects_table(self.outcome.effects)

    @property
    def changes(self) -> pd.DataFrame:
        """What is expected of one change of the winner: ``factor``, ``level``, ``instead_of``.

        ``difference`` of the response, with ``low`` and ``high``, the ends of its interval;
        ``dead`` and ``collapsed``: the levels where every run collapsed, and how many runs these
        are; ``clear``: whether the interval is without 0, or there are such levels. Empty if no
        Gaussian process searched.
        """
        columns = [field.name for field in fields(Change)]
        rows = [astuple(change) for change in self.outcome.changes]
        table = pd.DataFrame(rows, columns=columns)
        return table.assign(clear=[change.is_clear for change in self.outcome.changes])

    @property
    def cells(self) -> pd.DataFrame:
        """One row per cell, the best mean first; see `analysis.search.best_cell.Selection`."""
        return self.outcome.selection.cells.copy()

    @property
    def runs(self) -> pd.DataFrame:
        """One row per replicate; see `tasks.tracking.run_table.runs_table`."""
        return self.execution.runs()

    @property
    def winner(self) -> dict[str, Level]:
        """The levels of the chosen cell."""
        return {name: plain_level(x) for name, x in self.outcome.selection.chosen.items()}

    @property
    def test_accuracy(self) -> tuple[float, float, float] | None:
        """The winner's accuracy on the test images, and its interval; None if not registered."""
        registered = self.outcome.registered
        if registered is None:
            return None
        return registered.test.value, registered.test.low, registered.test.high

    @property
    def next(self) -> list[NextStep]:
        """What to do next, the most useful first: text, lines of the study's file, commands."""
        return next_steps(self.outcome.next_moves, self.study, translator("en"))

    @property
    def links(self) -> dict[str, str]:
        """The addresses of the study in MLflow's pages: table, charts, run, report."""
        return self.outcome.links.as_json()

    def plot(self, name: str) -> "Figure":
        """Return a figure by name.

        Parameters
        ----------
        name : ``pareto``, ``half_normal``, ``main_effects``, ``interactions``, ``cube``,
            ``residuals``, the same after ``learned_`` if some runs collapsed, or ``heatmap``, the
            refined cells.

        Raises
        ------
        UserError
            If there is no such figure of this study; the message lists those that exist.

        Examples
        --------
        >>> import factorgrid as fg
        >>> figure = fg.open("tiny").plot("pareto")
        """
        figures = {} if self.outcome.effects is None else _figures(self.outcome.effects)
        if name == HEATMAP:
            from analysis.plots.grid import grid_heatmap

            runs = self.outcome.grid_runs(self.runs)
            return grid_heatmap(runs, self.study.factor_list, self.study.response)
        return _figure(figures, name, (HEATMAP,))

    def __str__(self) -> str:
        """Return what `factorgrid search` prints."""
        return outcome_as_text(self.outcome)

    def __repr__(self) -> str:
        """Return the study and its winner on one line."""
        return f"<Result of study {self.study.name}: {cell_name(self.outcome.selection.chosen)}>"

    def _repr_html_(self) -> str:
        """Return the winner, the best cells and what to do next for a notebook."""
        title = f"Study {self.study.name}: {cell_name(self.outcome.selection.chosen)}"
        lines = []
        if self.test_accuracy is not None:
            value, low, high = self.test_accuracy
            lines.append(f"accuracy on the test images {value:.1%} ({low:.1%} to {high:.1%})")
        lines += [step.text for step in self.next]
        cells = self.cells.head(10).to_html(index=False)
        return f"<h3>{html.escape(title)}</h3>{_html_list(lines)}{cells}"


def load(
    study: str | Path | Mapping[str, Any],
    *,
    data: str | Path | None = None,
    per_class: int | None = None,
    image_size: int | None = None,
    budget: int | None = None,
    minutes: float | None = None,
    replaced: Sequence[str] = (),
) -> Study:
    """Read a study: a built-in one, a TOML file, or the content of such a file as a dict.

    Parameters
    ----------
    study : a name (``quick``, ``dogs-vs-cats``, ``paper``), a path, or the tables of the file.
    data : a folder or zip of images, instead of the study's.
    per_class, image_size : how many images of each class to use, and their size in pixels.
    budget, minutes : trainings or minutes of the whole search.
    replaced : other values of keys, as in ``["training.epochs=3"]``.

    Raises
    ------
    StudyError
        With the first mistake: field, value and remedy in one line.

    Examples
    --------
    >>> import factorgrid as fg
    >>> study = fg.load("quick", budget=16)
    >>> study.name, study.budget
    ('quick', 16)
    >>> rate, layers = {"low": 1e-4, "high": 0.1}, {"low": 2, "high": 5}
    >>> factors = {"learning_rate": rate, "conv_layers": layers}
    >>> mine = fg.load({"name": "mine", "budget": 12, "factors": factors})
    >>> list(mine.factors)
    ['learning_rate', 'conv_layers']
    """
    if isinstance(study, Mapping):
        given = (data, per_class, image_size, budget, minutes, *replaced)
        if any(value is not None for value in given):
            raise UserError(
                "load: other values go with a name or a file; change the dict of the study instead"
            )
        return with_builder(parse_study(dict(study), "in the dict"))
    return with_builder(
        load_study(
            str(study),
            budget=budget,
            minutes=minutes,
            replaced=replaced,
            source=None if data is None else str(data),
            per_class=per_class,
            image_size=image_size,
        )
    )


def plan(study: Study | str | Path) -> Plan:
    """Return what a study will do; nothing is trained, timed or stored.

    Examples
    --------
    >>> import factorgrid as fg
    >>> planned = fg.plan("quick")
    >>> planned.trainings
    {'pilot': 3, 'screen': 8, 'refine': 18, 'confirm': 2}
    >>> planned.screen.shape
    (8, 3)
    """
    settings, read = prepare_environment(), _study(study)
    past = past_runs(settings, read)
    planned = plan_on_this_machine(read, past)
    screen = pd.DataFrame([dict(run.levels) for run in planned.screen])
    trainings = {stage.stage: stage.most for stage in planned.stages}
    return Plan(planned.study, trainings, screen, plan_as_text(planned))


def search(study: Study | str | Path) -> Result:
    """Search for the best cell of a study, confirm it, and register its network.

    Prefect's server is started for this, and ended, unless PREFECT_API_URL names one. Progress goes
    to standard error. A study that MLflow has already is read from there.

    Raises
    ------
    UserError
        If the study, its images or a server cannot be used, or if no network learned.

    Examples
    --------
    >>> import factorgrid as fg
    >>> result = fg.search("tiny.toml")
    >>> result.winner
    {'conv_layers': 2, 'learning_rate': 0.001}
    """
    # The exception has the error; Prefect would print its traceback too.
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    settings, read = prepare_environment(), _study(study)
    from flows.commands.prefect_server import prefect_server

    with prefect_server(read, settings):
        from flows.search import search as search_flow

        outcome = search_flow(read)
    return open(outcome.study.name, run=outcome.tracking["run_id"])


def open(experiment: str, *, run: str | None = None) -> Result:  # noqa: A001 # fg.open reads well
    """Return the findings of a study that was run before, from MLflow.

    Parameters
    ----------
    experiment : the name of the study.
    run : the parent run of one execution; by default the newest.

    Raises
    ------
    TrackingError
        If there is no such study or run; those that exist are listed.

    Examples
    --------
    >>> import factorgrid as fg
    >>> result = fg.open("tiny")
    >>> result.cells[["conv_layers", "learning_rate", "n"]].head(2)
       conv_layers  learning_rate  n
    0            2          0.001  2
    1            3          0.001  2
    """
    tracker = Tracker.open(prepare_environment(), create=False)
    execution = find_execution(tracker, experiment, run)
    return Result(outcome_of(execution), execution)


def analyze(
    runs: pd.DataFrame,
    *,
    response: str,
    factors: Sequence[str] = (),
    log: Sequence[str] = (),
    alpha: float | None = None,
    minimize: bool | None = None,
    order: int | None = None,
) -> Analysis:
    """Fit the effects of an experiment to a table of its runs.

    Parameters
    ----------
    runs : one row per run; a missing response is a failed run.
    response : the column to explain.
    factors : the columns that vary; by default every column with two levels.
    log : factors on a log scale.
    alpha : the significance level, by default 0.05.
    minimize : whether a lower response is better; by default only that of a loss or an error.
    order : the highest order of interactions to fit.

    Raises
    ------
    UserError, AnalysisError
        If the table cannot be analysed.

    Examples
    --------
    >>> import factorgrid as fg
    >>> import pandas as pd
    >>> runs = pd.DataFrame(
    ...     {
    ...         "depth": [2, 2, 4, 4, 2, 2, 4, 4],
    ...         "rate": [0.1, 0.2] * 4,
    ...         "accuracy": [0.61, 0.60, 0.71, 0.72, 0.62, 0.61, 0.70, 0.71],
    ...     }
    ... )
    >>> found = fg.analyze(runs, response="accuracy")
    >>> f"{found.effects.loc['depth', 'effect']:.2f}"
    '0.10'
    >>> found.effects.index[found.effects["active"]].tolist()
    ['depth']
    """
    request = AnalysisRequest(
        response=response,
        factors=dict.fromkeys(factors),
        log=tuple(log),
        alpha=alpha,
        minimise=minimize,
        order=order,
    )
    found = analyse_table(runs, request, "the table")
    return Analysis(found.effects, found.decision, analysis_as_text(found))


def effects_table(effects: Effects) -> pd.DataFrame:
    """Return one row per term: effect, its confidence interval, standard error, t, p, active.

    Parameters
    ----------
    effects : the fitted model; its intercept is left out.

    Returns
    -------
    Columns ``effect``, ``low``, ``high``, ``std_error`` (all of the effect), ``t``, ``p`` and
    ``active``, whether the verdict calls the term active.
    """
    terms = effects.tested_terms.drop(INTERCEPT)
    # An effect is twice its coefficient, but for the contrasts of categories.
    scale = (terms["effect"] / terms["coefficient"]).fillna(2.0)
    return pd.DataFrame(
        {
            "effect": terms["effect"],
            "low": terms["ci_low"] * scale,
            "high": terms["ci_high"] * scale,
            "std_error": terms["std_error"] * scale,
            "t": terms["t"],
            "p": terms["p"],
            "active": terms.index.isin(list(effects.active)),
        }
    )


def _study(study: Study | str | Path) -> Study:
    return study if isinstance(study, Study) else load(study)


def _figures(effects: Effects) -> "dict[str, Figure]":
    from analysis.plots.effects import effect_figures

    return effect_figures(effects)


def _figure(figures: "Mapping[str, Figure]", name: str, more: Sequence[str] = ()) -> "Figure":
    if name not in figures:
        names = ", ".join([*figures, *more])
        raise UserError(f"plot {name!r}: no such figure; there are: {names}")
    return figures[name]


def _html_list(lines: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>"
