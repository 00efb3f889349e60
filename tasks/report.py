"""What a study found, as data and in words; the same from a fresh run and from MLflow alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from analysis import plots
from analysis.decision import Decision, decide
from analysis.effects import Effects
from analysis.factors import cell_name, show
from analysis.report import effects_table, wrapped
from analysis.selection import Selection
from analysis.selection import explain as explain_selection
from models.spec import Scalar
from tasks.decide import analyse_runs, explained, selection_of
from tasks.page import page_of
from tasks.register import Registered, registered_of
from tasks.study import Study
from tasks.tracking import Execution


@dataclass(frozen=True)
class Outcome:
    """The whole of a study's findings.

    Attributes
    ----------
    study : what was asked.
    data : what the pictures were, in words.
    effects : the screen's effects model.
    decision : the refined grid and its reasons.
    grid : a row a cell of the refined grid: its levels, n, mean, sd of the response.
    selection : the chosen cell, and those it cannot be told apart from.
    registered : what became of the winner; None where the study was not run to its end.
    tracking : MLflow's address, and the parent run.
    """

    study: Study
    data: str
    effects: Effects
    decision: Decision
    grid: pd.DataFrame
    selection: Selection
    registered: Registered | None
    tracking: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; figures that do not exist are null."""
        from tasks.analyze import to_json

        registered = self.registered
        content: dict[str, Any] = _finite(
            {
                "study": self.study.name,
                "data": self.data,
                "screen": to_json(self.effects, self.decision),
                "reasons": explained(self.study, self.decision),
                "grid": self.grid.to_dict("records"),
                "best": dict(self.selection.best),
                "chosen": dict(self.selection.chosen),
                "edges": list(self.selection.edges),
                "tied": [dict(cell) for cell in self.selection.tied],
                "registered": registered
                and {
                    "name": registered.name,
                    "version": registered.version,
                    "alias": registered.alias,
                    "run_id": registered.run_id,
                    "test_accuracy": registered.test.value,
                    "test_interval": [registered.test.low, registered.test.high],
                    "test_images": registered.test.n,
                    "why": registered.why,
                },
                **self.tracking,
            }
        )
        return content


def _finite(value: Any) -> Any:
    match value:
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case float():
            return value if math.isfinite(value) else None
        case _ if hasattr(value, "item"):
            return _finite(value.item())
        case _:
            return value


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def report(execution: Execution) -> Outcome:
    """Gather the findings from MLflow; log them to the parent run, in words and as a page."""
    outcome = outcome_of(execution)
    study, runs = execution.study, execution.runs("refine")
    figure = plots.grid_heatmap(runs, study.factor_list, study.response)
    execution.log_figures(execution.run_id, {"grid/heatmap.png": figure})
    execution.log_text(execution.run_id, in_words(outcome), "summary.txt")
    execution.log_text(execution.run_id, page_of(outcome, execution), "report.html")
    return outcome


def outcome_of(execution: Execution) -> Outcome:
    """Rebuild a study's findings from its runs in MLflow alone, by the rules of today's code.

    Raises
    ------
    UserError
        If no cell of the screen finished.
    """
    study, children = execution.study, execution.children()
    effects = analyse_runs(study, execution.table(children, "screen"))
    return Outcome(
        study,
        execution.facts.pictures,
        effects,
        decide(effects, budget=study.refine.grid_budget),
        grid_table(execution.table(children, "refine"), study),
        selection_of(study, execution.table(children), execution.facts.validation_images),
        registered_of(execution),
        {"tracking_uri": execution.tracker.settings.tracking_uri, "run_id": execution.run_id},
    )


def grid_table(runs: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return a row a cell: its levels, ``n``, ``mean`` and ``sd`` of the response, best first."""
    names = [factor.name for factor in study.factor_list]
    grouped = runs.groupby(names, observed=True)[study.response]
    table = grouped.agg(n="count", mean="mean", sd="std").reset_index()
    return table.sort_values("mean", ascending=False, ignore_index=True)


def in_words(outcome: Outcome) -> str:
    """Return what a terminal prints: effects, decision, grid, winner, where to look."""
    parts = [
        _title(f"Study {outcome.study.name}: {outcome.data}"),
        *_piloted(outcome.study),
        _title("Effects (screen)"),
        effects_table(outcome.effects),
        _title("Decision"),
        *(wrapped(f"- {line}") for line in explained(outcome.study, outcome.decision)),
        _title("Refined grid, best first"),
        _grid_in_words(outcome),
        _title("Winner"),
        *(wrapped(f"- {line}") for line in explain_selection(outcome.selection)),
        *_registered_in_words(outcome),
    ]
    return "\n".join(parts)


def _piloted(study: Study) -> list[str]:
    if not study.pilot.found:
        return []
    return [_title("Pilot"), *(wrapped(f"- {line}") for line in study.pilot.found)]


def _title(text: str) -> str:
    return f"\n{text}\n{'-' * len(text)}"


def _grid_in_words(outcome: Outcome) -> str:
    table = outcome.grid.copy()
    for factor in outcome.study.factor_list:
        table[factor.name] = [show(_plain(level)) for level in table[factor.name]]
    return str(table.to_string(index=False, float_format=lambda x: f"{x:.4f}", na_rep="-"))


def _plain(level: Any) -> Scalar:
    plain: Scalar = level.item() if hasattr(level, "item") else level
    return plain


def _registered_in_words(outcome: Outcome) -> list[str]:
    registered = outcome.registered
    if registered is None:
        return []
    uri, name, version = outcome.tracking["tracking_uri"], registered.name, registered.version
    look = "`factorgrid ui`, then http://127.0.0.1:5000" if not uri.startswith("http") else uri
    return [
        f"- {cell_name(outcome.selection.chosen)}: accuracy on the test images {registered.test}.",
        wrapped(
            f"- Registered as models:/{name}@{registered.alias} (version {version}). "
            f"{registered.why}"
        ),
        _title("Where to look"),
        f"Every run, plot and model is in MLflow: {look}",
        f"The study's run: {outcome.tracking['run_id']}",
    ]
