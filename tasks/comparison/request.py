"""Comparing tuners on a table of one's own: what is asked, and the answer in words and figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from analysis.search.space import typed_level
from tasks.comparison.entrants import APART, FRESH
from tasks.errors import UserError
from tasks.study.study_file import Study, load_study, parse_study

#: Two to look with, two to confirm.
SMALLEST_BUDGET = 4


class ComparisonOptions(NamedTuple):
    """What a comparison is asked for.

    Attributes
    ----------
    budget : runs of each search.
    repetitions : of each tuner, each with seeds of its own.
    fresh : trainings of each delivered cell, with seeds that no search saw.
    names : of tuners; all that are at hand where none is named.
    """

    budget: int
    repetitions: int = 3
    fresh: int = 2
    names: tuple[str, ...] = ()


def check_options(asked: ComparisonOptions) -> None:
    """Raise a `UserError` if a comparison cannot be made as asked."""
    if asked.budget < SMALLEST_BUDGET or asked.repetitions < 1 or asked.fresh < 1:
        raise UserError(
            f"--budget {asked.budget}, --repetitions {asked.repetitions}, --fresh {asked.fresh}: a "
            f"comparison takes a budget of {SMALLEST_BUDGET} runs or more, and one or more of the "
            "others; raise them"
        )
    if asked.budget >= FRESH or asked.fresh > APART - FRESH:
        raise UserError(
            f"--budget {asked.budget}, --fresh {asked.fresh}: at most {FRESH - 1} runs and "
            f"{APART - FRESH} fresh ones; lower them"
        )


#: Options that a table does not have.
STUDY_ONLY = ("fresh", "target", "export", "data", "per_class", "image_size")


@dataclass(frozen=True)
class ComparisonRequest:
    """What the command line asks to be compared: a study's cells, or a table's.

    Attributes
    ----------
    study, table : one of them is there.
    response, budgets, manual, plots : see ``factorgrid compare --help``.
    repetitions, fresh, tuners, target, export : likewise.
    changes : of the study's ``[data]``.
    """

    study: str | None
    table: Path | None
    response: str | None
    budgets: tuple[int, ...]
    repetitions: int
    fresh: int
    tuners: tuple[str, ...]
    target: float | None
    manual: Path | None
    plots: Path | None
    export: Path | None
    changes: Mapping[str, Any]

    @property
    def asked(self) -> ComparisonOptions:
        """What is asked of a comparison with real runs."""
        return ComparisonOptions(self.budgets[0], self.repetitions, self.fresh, self.tuners)


def check_request(given: Mapping[str, Any]) -> ComparisonRequest:
    """Return what is asked for, checked.

    Raises
    ------
    UserError
        If neither or both of a study and a table are named, or an option belongs to the other.
    """
    study, table, export = given["study"], given["table"], given["export"]
    if (study is None) == (table is None):
        raise UserError(
            "compare: name a study, whose runs are trained, or --table FILE, on which they are "
            f"replayed{', not both' if study else ''}"
        )
    for name in ("response",) if study else STUDY_ONLY:
        if given[name] is not None:
            option = f"--{name.replace('_', '-')}"
            there = "a table" if study else "a study"
            raise UserError(f"{option}: only of {there}; leave it out")
    if export and given["budgets"]:
        raise UserError(
            f"--export {export}: writes what was trained before, and trains nothing; leave "
            "--budget out, and compare first"
        )
    if study and not export and len(given["budgets"]) != 1:
        raise UserError(
            "--budget: name one, the runs of each search, as in "
            f"`factorgrid compare {study} --budget 20`"
        )
    repetitions = given["repetitions"]
    changes = {"source": given["data"] and str(given["data"])}
    changes |= {name: given[name] for name in ("per_class", "image_size")}
    return ComparisonRequest(
        study,
        table,
        given["response"],
        given["budgets"],
        (3 if study else 200) if repetitions is None else repetitions,
        2 if given["fresh"] is None else given["fresh"],
        given["tuners"],
        given["target"],
        given["manual"],
        given["plots"],
        export,
        changes,
    )


def study_of(request: ComparisonRequest) -> Study:
    """Read the study, with the manual list in it.

    Raises
    ------
    StudyError
        If it is none.
    UserError
        If the list cannot be read.
    """
    study = load_study(str(request.study), **request.changes)
    if request.manual is None:
        return study
    try:
        rows = pd.read_csv(request.manual).to_dict("records")
        cells = [
            {f.name: typed_level(f, row[f.name]) for f in study.factor_list if f.name in row}
            for row in rows
        ]
    except (OSError, ValueError, StopIteration) as error:
        raise UserError(f"--manual {request.manual}: no list of cells: {error}") from error
    content = study.model_dump(mode="json", exclude_unset=True)
    content["compare"] = {**content.get("compare", {}), "manual": cells}
    return parse_study(content, f"{request.study} with --manual {request.manual}")
