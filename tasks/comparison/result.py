"""The result of a comparison with real training, and its text and JSON."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from analysis.comparison import summary
from tasks.comparison.optuna_tuners import unavailable_as_text
from tasks.comparison.race import RaceResult
from tasks.comparison.request import ComparisonOptions
from tasks.languages import Translate, translator
from tasks.study.study_file import Study
from tasks.wording.pictures import pictures_as_text

#: The share of the budget that a tuner used which counts as all of it: one that stops trainings
#: early may have too little left for another one.
WHOLE_BUDGET = 0.9
#: Folder of the comparison among the artifacts of its MLflow run.
FOLDER = "comparison"


@dataclass(frozen=True)
class ComparisonResult:
    """What a comparison of tuners found.

    Attributes
    ----------
    study : its factors, training settings and images.
    options : budget, repetitions, fresh seeds and names of tuners.
    images : how many were used.
    race : every run of every search, and the delivered cells.
    target : a response to be reached.
    tracking : ``tracking_uri`` of MLflow, and ``run_id``.
    """

    study: Study
    options: ComparisonOptions
    images: int
    race: RaceResult
    target: float
    tracking: Mapping[str, str]

    @cached_property
    def curve(self) -> pd.DataFrame:
        """Every run with the best response and the seconds so far."""
        return summary.curves(self.race.searches, self.study.response)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row per tuner, the best first, as `summarize_tuners` returns them.

        ``at_equal_seconds`` is added: the median best response after `equal_seconds`.
        """
        table = summary.summarize_tuners(self.curve, self.race.delivered, self.target)
        best = summary.best_after_seconds(self.curve, self.equal_seconds)
        table = table.assign(at_equal_seconds=table["tuner"].map(best))
        return table.sort_values("fresh", ascending=False, kind="stable", ignore_index=True)

    @property
    def equal_seconds(self) -> float:
        """The training seconds of the fastest tuner, of those that used almost all epochs."""
        spent = self.curve.groupby(["tuner", "repetition"])[["trainings", "seconds"]].max()
        used = spent["trainings"] >= WHOLE_BUDGET * spent["trainings"].max()
        seconds = spent.loc[used, "seconds"]
        return float(seconds.groupby("tuner").median().min())

    @property
    def leader(self) -> dict[Any, Any] | None:
        """The row of `summary` with the best delivered cell; None if no cell could be judged."""
        judged = [row for row in self.summary.to_dict("records") if not math.isnan(row["fresh"])]
        return max(judged, key=lambda row: row["fresh"], default=None)

    def data_as_text(self, say: Translate) -> str:
        """Return how many images were used, and from where."""
        return pictures_as_text(self.study.data, self.images, say)

    def notes(self, say: Translate) -> list[str]:
        """Return the limits of this comparison, one line each."""
        response = self.study.measured
        notes = [unavailable_as_text(each, say) for each in self.race.unavailable]
        if response.lower:
            notes.append(say("comparison_negative", response=response.name))
        if self.race.failed:
            notes.append(say("comparison_failed", n=self.race.failed))
        if self.options.repetitions == 1:
            notes.append(say("comparison_one_search"))
        return notes

    def effects(self) -> pd.DataFrame:
        """Return the main effects that the first search of each tuner estimates.

        One row per ``tuner`` and ``factor``; see `effect_estimates`.
        """
        first = self.race.searches[self.race.searches["repetition"] == 1]
        if "epochs" not in self.study.factors:
            # Of a tuner with trainings of two lengths, those of the length that most of them have.
            length = first["epochs"].fillna(self.study.training.epochs)
            most = length.groupby(first["tuner"]).transform(lambda own: own.mode().iloc[0])
            first = first[length.eq(most)]
        factors, response = self.study.factor_list, self.study.response
        tables = [
            summary.effect_estimates(runs, factors, response)
            .rename_axis("factor")
            .reset_index()
            .assign(tuner=name)
            for name, runs in first.groupby("tuner", sort=False)
        ]
        return pd.concat(tables, ignore_index=True)


def comparison_as_json(result: ComparisonResult) -> dict[str, Any]:
    """Return the result as plain JSON types; a number that does not exist is null."""
    options = result.options
    return {
        "study": result.study.name,
        "data": result.data_as_text(translator("en")),
        "cells": result.race.space.n_cells,
        "asked": {
            "budget": options.budget,
            "repetitions": options.repetitions,
            "fresh": options.fresh,
            "names": options.tuners,
        },
        "response": result.study.response,
        "target": result.target,
        "equal_seconds": result.equal_seconds,
        "tuners": rows_as_json(result.summary),
        "delivered": rows_as_json(result.race.delivered),
        "factors": rows_as_json(result.effects()),
        "notes": result.notes(translator("en")),
        **result.tracking,
    }


def rows_as_json(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as plain JSON types."""
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=10))
    return rows


#: A row of the table for a terminal.
ROW = "{:{w}}  {:>9}  {:<13}  {:>9}  {:>9}  {:>7}  {:>14}"


def comparison_as_text(result: ComparisonResult) -> str:
    """Return the result as text for a terminal."""
    tuners, say = result.summary, translator("en")
    width = max(map(len, tuners["tuner"]))
    seconds, target = f"at {result.equal_seconds:.0f} s", f"to {result.target:.4f}"
    lines = [
        f"{result.study.name}: {result.data_as_text(say)}",
        _explanation_of_columns(result),
        "",
        ROW.format("", "delivered", "range", "best seen", seconds, "seconds", target, w=width),
        *(_tuner_as_text(row, width) for row in tuners.to_dict("records")),
        "",
        *_effects_as_lines(result, say),
        "",
        *result.notes(say),
        f"MLflow run {result.tracking['run_id']}: {FOLDER}/comparison.html",
    ]
    return "\n".join(lines)


def _explanation_of_columns(result: ComparisonResult) -> str:
    options = result.options
    return (
        f"{result.race.space.n_cells} cells; the epochs of {options.budget} trainings per search, "
        f"{_count_of_searches(options.repetitions)} per tuner. Delivered: mean "
        f"{result.study.response} of the delivered cell\n"
        f"with fresh seeds (n = {options.fresh}), median and range over searches. At "
        f"{result.equal_seconds:.0f} s: best {result.study.response} by then.\n"
        f"To {result.target:.4f}: training seconds, and how many searches reached it."
    )


def _tuner_as_text(row: Mapping[Any, Any], width: int) -> str:
    return ROW.format(
        row["tuner"],
        number_as_text(row["fresh"]),
        f"{number_as_text(row['fresh_least'])}-{number_as_text(row['fresh_most'])}",
        number_as_text(row["best"]),
        number_as_text(row["at_equal_seconds"]),
        f"{row['seconds']:,.0f}",
        f"{number_as_text(row['seconds_to_target'], 0)} s, {row['reached']}/{row['n']}",
        w=width,
    )


def _count_of_searches(count: int) -> str:
    return f"{count} search{'' if count == 1 else 'es'}"


def number_as_text(x: float, digits: int = 4) -> str:
    """Return a number with a count of decimals; a dash if there is none."""
    return "-" if math.isnan(x) else f"{x:.{digits}f}"


def _effects_as_lines(result: ComparisonResult, say: Translate) -> list[str]:
    """Return the effects that each tuner's first search estimates, one line per tuner."""
    effects = effects_as_text(result, say)
    names = [f.name for f in result.study.factor_list]
    width = max(map(len, effects))
    rows = [("", names), *effects.items()]
    return [
        "Main effect of low to high, +- half its 95 % interval, from the runs of the first search:",
        *(f"{tuner:{width}}" + "".join(f"  {text:>17}" for text in texts) for tuner, texts in rows),
    ]


def effects_as_text(result: ComparisonResult, say: Translate) -> dict[str, list[str]]:
    """Return, for each tuner, one text per factor: its effect, +- half the 95 % interval."""
    texts: dict[str, list[str]] = {}
    for row in result.effects().to_dict("records"):
        known = not math.isnan(row["effect"])
        text = (
            f"{row['effect']:+.3f} +- {row['half']:.3f}" if known else say("comparison_no_effect")
        )
        texts.setdefault(row["tuner"], []).append(text)
    return texts
