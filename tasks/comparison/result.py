"""What a comparison of tuners on a study came to: logged, in words, as data, and as a page."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.comparison import summary
from analysis.factors import cell_name, show
from analysis.plots.comparison import best_so_far
from tasks.comparison.race import Raced
from tasks.comparison.request import ComparisonOptions
from tasks.errors import UserError
from tasks.report.render import figure_as_data_url, render_template
from tasks.study.replicates import planned
from tasks.study.study_file import Study
from tasks.tracking.execution import Execution
from tasks.tracking.run_table import runs_table
from tasks.tracking.run_writer import save_png
from tasks.tracking.search_runs import log_search
from tasks.tracking.tags import KEY, PREFIX, REUSED_FROM
from tasks.tracking.tracker import Tracker

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "comparison"
#: Columns of an exported table besides the factors.
EXPORTED = ("seed", "val_accuracy", "train_seconds", "parameters")


@dataclass(frozen=True)
class Comparison:
    """A comparison's findings.

    Attributes
    ----------
    study : whose space, trainer and pictures.
    asked : budget, repetitions and fresh seeds.
    data : the pictures, in words.
    raced : every run of every search, and what each delivered.
    target : a figure that is to be reached.
    tracking : MLflow's address, and the run.
    """

    study: Study
    asked: ComparisonOptions
    data: str
    raced: Raced
    target: float
    tracking: Mapping[str, str]

    @cached_property
    def curve(self) -> pd.DataFrame:
        """Every run with the best figure and the seconds so far."""
        return summary.curves(self.raced.searches, self.study.response)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row a tuner, the best first; see `analysis.comparison.summary.summary`."""
        found = summary.summary(self.curve, self.raced.delivered, self.target)
        spent = self.quickest
        same = summary.at_seconds(self.curve, spent)
        found = found.assign(at_equal_seconds=found["tuner"].map(same))
        return found.sort_values("fresh", ascending=False, kind="stable", ignore_index=True)

    @property
    def quickest(self) -> float:
        """The training seconds of the tuner that took least, of those with the whole budget."""
        searches = self.curve.groupby(["tuner", "repetition"])["seconds"]
        whole = searches.size() == searches.size().max()
        ends = searches.max()[whole]
        return float(ends.groupby("tuner").median().min())

    def told(self) -> pd.DataFrame:
        """Return what each tuner's first search tells: a row a ``tuner`` and ``factor``."""
        first = self.raced.searches[self.raced.searches["repetition"] == 1]
        factors, response = self.study.factor_list, self.study.response
        own = [
            summary.effect_estimates(runs, factors, response)
            .rename_axis("factor")
            .reset_index()
            .assign(tuner=name)
            for name, runs in first.groupby("tuner", sort=False)
        ]
        return pd.concat(own, ignore_index=True)

    def effects(self) -> dict[str, list[str]]:
        """Return the same in words: for each tuner one text a factor."""
        found: dict[str, list[str]] = {}
        for row in self.told().to_dict("records"):
            known = not math.isnan(row["effect"])
            words = f"{row['effect']:+.3f} +- {row['half']:.3f}" if known else "cannot tell"
            found.setdefault(row["tuner"], []).append(words)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; figures that do not exist are null."""
        return {
            "study": self.study.name,
            "data": self.data,
            "cells": self.raced.space.n_cells,
            "asked": self.asked._asdict(),
            "response": self.study.response,
            "target": self.target,
            "equal_seconds": self.quickest,
            "tuners": records(self.summary),
            "delivered": records(self.raced.delivered),
            "factors": records(self.told()),
            "notes": list(self.raced.notes),
            **self.tracking,
        }


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as plain JSON types."""
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=10))
    return rows


def conclude_comparison(
    execution: Execution, raced: Raced, asked: ComparisonOptions, target: float | None
) -> Comparison:
    """Log what a race came to, so that MLflow alone has it.

    Parameters
    ----------
    target : a figure that is to be reached; by default one that half of the searches reached.
    """
    study = execution.study
    curve = summary.curves(raced.searches, study.response)
    aim = summary.default_target(curve) if target is None else target
    tracking = {
        "tracking_uri": execution.tracker.settings.tracking_uri,
        "run_id": execution.run_id,
    }
    found = Comparison(study, asked, execution.facts.pictures, raced, aim, tracking)
    _log_searches(execution, found)
    run_id = execution.run_id
    execution.log_text(run_id, raced.searches.to_csv(index=False), f"{FOLDER}/searches.csv")
    execution.log_text(run_id, raced.delivered.to_csv(index=False), f"{FOLDER}/delivered.csv")
    execution.log_text(run_id, json.dumps(found.to_json(), indent=1), f"{FOLDER}/comparison.json")
    execution.log_figures(
        run_id, {f"{FOLDER}/{n}.png": f for n, f in comparison_figures(found).items()}
    )
    execution.log_text(run_id, comparison_page(found), f"{FOLDER}/comparison.html")
    return found


def _log_searches(execution: Execution, found: Comparison) -> None:
    factors = [f.name for f in found.study.factor_list]
    searches = dict(iter(found.curve.groupby(["tuner", "repetition"], sort=False)))
    for end in found.raced.delivered.to_dict("records"):
        tuner, repetition = end["tuner"], end["repetition"]
        rows = searches[(tuner, repetition)]
        params = {
            "tuner": tuner,
            "repetition": repetition,
            "budget": found.asked.budget,
            "delivered": "/".join(show(end[name]) for name in factors),
        }
        curves = {
            "best_so_far": rows["best"].tolist(),
            "training_seconds": rows["seconds"].tolist(),
            **({} if math.isnan(end["fresh"]) else {"fresh": [float(end["fresh"])]}),
        }
        # A later comparison of more runs is another search.
        name = f"{tuner}, {found.asked.budget} runs #{repetition}"
        log_search(execution, name, params, curves)


#: A line of the terminal's table.
HEAD = "{:{w}}  {:>9}  {:<13}  {:>9}  {:>9}  {:>7}  {:>14}"


def comparison_as_text(found: Comparison) -> str:
    """Return what a terminal prints."""
    summary = found.summary
    width = max(map(len, summary["tuner"]))
    spent, aim = f"{found.quickest:.0f} s", f"to {found.target:.4f}"
    lines = [
        f"{found.study.name}: {found.data}",
        _about(found),
        "",
        HEAD.format("", "delivered", "range", "best seen", f"at {spent}", "seconds", aim, w=width),
    ]
    for row in summary.to_dict("records"):
        reach = f"{_number(row['seconds_to_target'], 0)} s, {row['reached']}/{row['n']}"
        ends = f"{_number(row['fresh_least'])}-{_number(row['fresh_most'])}"
        figures = [_number(row[name]) for name in ("fresh", "best", "at_equal_seconds")]
        told = (figures[0], ends, *figures[1:], f"{row['seconds']:,.0f}", reach)
        lines.append(HEAD.format(row["tuner"], *told, w=width))
    lines += ["", *effect_estimates_as_text(found), "", *found.raced.notes]
    lines.append(f"MLflow run {found.tracking['run_id']}: {FOLDER}/comparison.html")
    return "\n".join(lines)


def _about(found: Comparison) -> str:
    asked = found.asked
    return (
        f"{found.raced.space.n_cells} cells; {asked.budget} runs a search, {_of(asked.repetitions)}"
        f" a tuner. Delivered: mean {found.study.response} of the delivered cell,\n"
        f"fresh seeds (n = {asked.fresh}), median and range over searches. At "
        f"{found.quickest:.0f} s: best figure by then.\n"
        f"To {found.target:.4f}: training seconds, and searches that got there."
    )


def _of(searches: int) -> str:
    return f"{searches} search{'' if searches == 1 else 'es'}"


def effect_estimates_as_text(found: Comparison) -> list[str]:
    """Return what each tuner's first search tells of the factors, a line a tuner."""
    effects = found.effects()
    names = [f.name for f in found.study.factor_list]
    width = max(map(len, effects))
    rows = [("", names), *effects.items()]
    return [
        "Effect of low to high, +- 95 %, that the first search's runs tell:",
        *(f"{tuner:{width}}" + "".join(f"  {text:>17}" for text in own) for tuner, own in rows),
    ]


def _number(x: float, digits: int = 4) -> str:
    return "-" if math.isnan(x) else f"{x:.{digits}f}"


def comparison_page(found: Comparison) -> str:
    """Return the comparison as one HTML page that needs nothing from elsewhere."""
    names = [f.name for f in found.study.factor_list]
    summary = found.summary
    searches = [
        {**row, "cell": cell_name({name: row[name] for name in names})}
        for row in found.raced.delivered.to_dict("records")
    ]
    judged = [row for row in summary.to_dict("records") if not math.isnan(row["fresh"])]
    leader = max(judged, key=lambda row: row["fresh"], default=None)
    return render_template(
        "comparison.html",
        number=_number,
        found=found,
        asked=found.asked,
        rows=summary.to_dict("records"),
        leader=leader,
        names=names,
        levels=[
            (f.name, ", ".join(map(show, own)))
            for f, own in zip(found.raced.space.factors, found.raced.space.levels, strict=True)
        ],
        effects=found.effects(),
        searches=searches,
        of=_of,
        figures={
            name: figure_as_data_url(figure) for name, figure in comparison_figures(found).items()
        },
    )


def comparison_figures(found: Comparison) -> "dict[str, Figure]":
    """Return the figures by name: the best figure so far, by runs and by seconds of training."""
    names, response = list(found.summary["tuner"]), found.study.response
    return {
        "best-by-runs": best_so_far(found.curve, response, names, "runs"),
        "best-by-seconds": best_so_far(found.curve, response, names, "seconds"),
    }


def save_comparison(found: Comparison, folder: Path) -> None:
    """Write the page and the figure into a folder.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "comparison.html").write_text(comparison_page(found), encoding="utf-8")
        for name, figure in comparison_figures(found).items():
            save_png(figure, folder / f"{name}.png")
    except OSError as error:
        raise UserError(f"--plots {folder}: {error.strerror}; name another folder") from error


def export_cells(tracker: Tracker, study: Study, path: Path) -> int:
    """Write every training of a study's cells that MLflow has as a table; return its rows.

    It can be read by ``factorgrid compare --table`` once every combination of levels is there.
    Trainings with other settings or on other pictures than the newest are left out.

    Raises
    ------
    TrackingError
        If there is no such experiment.
    UserError
        If no training fits, or the file cannot be written.
    """
    experiment = tracker.existing_experiment(study.name)
    runs = tracker.search([experiment], f"tags.`{KEY}` != '' and attributes.status = 'FINISHED'")
    own = [run for run in runs if REUSED_FROM not in run.data.tags]
    version = own[0].data.tags.get(f"{PREFIX}dataset_version", "") if own else ""
    table = runs_table(own, study.factor_list)
    fits = [_fits(study, version, row) for row in table.to_dict("records")]
    names = [f.name for f in study.factor_list]
    rows = table[fits] if len(table) else table
    if rows.empty:
        raise UserError(
            f"experiment {study.name!r}: {len(own)} trainings, none of this study as it is now; run"
            f" `factorgrid compare {study.name} --budget N` first, or give back its old settings"
        )
    kept = [*names, *(name for name in EXPORTED if name in rows)]
    try:
        path.write_text(rows[kept].to_csv(index=False), encoding="utf-8")
    except OSError as error:
        raise UserError(f"--export {path}: {error.strerror}; name another file") from error
    return len(rows)


def _fits(study: Study, version: str, row: Mapping[Any, Any]) -> bool:
    levels = {f.name: row[f.name] for f in study.factor_list}
    plan = planned(study, version, "compare", levels, int(row["replicate"]))
    return plan.key == str(row["key"])
