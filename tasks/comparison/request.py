"""What the command line requests of a comparison, checked before anything is loaded or trained."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from analysis.search.space import typed_level
from tasks.errors import UserError
from tasks.study.study_file import Study, load_study, parse_study
from tasks.tables.read_csv import read_csv

#: Two runs to search, two to confirm.
SMALLEST_BUDGET = 4
#: Budgets of a comparison on a table, in runs.
DEFAULT_BUDGETS = (8, 12, 20, 40)
#: Repetition r of a search has the replicate numbers above 1000 (r - 1), the first one those of the
#: study. Numbers from 901 of the first thousand are the fresh seeds that no search uses.
REPLICATES_PER_REPETITION, FIRST_FRESH_REPLICATE = 1000, 901


class ComparisonOptions(NamedTuple):
    """The size of a comparison with real training.

    Attributes
    ----------
    budget : runs of each search.
    repetitions : searches of each tuner, each with different seeds.
    fresh : trainings of each delivered cell, with seeds that no search used.
    tuners : names of the tuners; all available ones if empty.
    """

    budget: int
    repetitions: int = 3
    fresh: int = 2
    tuners: tuple[str, ...] = ()


def check_options(options: ComparisonOptions) -> None:
    """Raise a `UserError` if a comparison of this size is not possible."""
    budget, repetitions, fresh, _ = options
    if budget < SMALLEST_BUDGET or repetitions < 1 or fresh < 1:
        raise UserError(
            f"--budget {budget}, --repetitions {repetitions}, --fresh {fresh}: a comparison needs "
            f"a budget of {SMALLEST_BUDGET} runs or more, and at least one of the others; raise "
            "them"
        )
    most_fresh = REPLICATES_PER_REPETITION - FIRST_FRESH_REPLICATE
    if budget >= FIRST_FRESH_REPLICATE or fresh > most_fresh:
        raise UserError(
            f"--budget {budget}, --fresh {fresh}: at most {FIRST_FRESH_REPLICATE - 1} runs and "
            f"{most_fresh} fresh trainings; lower them"
        )


@dataclass(frozen=True)
class TableRequest:
    """A comparison that replays searches on a table of trained cells.

    Attributes
    ----------
    table : a CSV file, one row per training.
    response : column of the table; None for ``val_accuracy`` or ``accuracy``.
    budgets : in runs, in rising order.
    repetitions : searches of each tuner and budget.
    tuners : names of the tuners; all available ones if empty.
    manual : a CSV file of cells for the tuner ``manual``.
    plots : a folder for the figure.
    """

    table: Path
    response: str | None
    budgets: tuple[int, ...]
    repetitions: int
    tuners: tuple[str, ...]
    manual: Path | None
    plots: Path | None


@dataclass(frozen=True)
class StudySource:
    """A study as its file and the options of the command line define it.

    Attributes
    ----------
    study : name or path of the study.
    changes : of the study's ``[data]``.
    manual : a CSV file of cells, which replaces the study's ``[compare] manual``.
    """

    study: str
    changes: Mapping[str, Any]
    manual: Path | None


@dataclass(frozen=True)
class StudyRequest:
    """A comparison on the cells of a study, with real training.

    Attributes
    ----------
    source : of the study.
    options : the size of the comparison.
    target : a response to be reached; None for one that half of the searches reach.
    plots : a folder for the page and the figures.
    language : of the page; one of `tasks.languages.LANGUAGES`.
    """

    source: StudySource
    options: ComparisonOptions
    target: float | None
    plots: Path | None
    language: str = "en"


@dataclass(frozen=True)
class ExportRequest:
    """The export of a study's trainings as a table, without training.

    Attributes
    ----------
    source : of the study.
    path : the CSV file to write.
    """

    source: StudySource
    path: Path


#: Options that have no effect on an export: it has the trainings on the newest dataset version.
NOT_WITH_EXPORT = (
    *("repetitions", "fresh", "target", "tuners", "manual", "plots", "lang"),
    *("data", "per_class"),
)
#: Options that are not allowed with --table.
STUDY_OPTIONS = ("fresh", "target", "export", "data", "per_class", "image_size", "lang")


def check_request(given: Mapping[str, Any]) -> TableRequest | StudyRequest | ExportRequest:
    """Return the request of the command line, checked.

    Parameters
    ----------
    given : the values of the options of ``factorgrid compare`` by name; None if not given.

    Raises
    ------
    UserError
        If not exactly one of a study and a table is given, an option belongs to the other one, or
        a number is out of range.
    """
    study, table = given["study"], given["table"]
    if (study is None) == (table is None):
        raise UserError(
            "compare: name a study, whose runs are trained, or --table FILE, on which searches are "
            f"replayed{', not both' if study else ''}"
        )
    for name in ("response",) if study else STUDY_OPTIONS:
        if given[name] is not None:
            option = f"--{name.replace('_', '-')}"
            kind = "a table" if study else "a study"
            raise UserError(f"{option}: only possible with {kind}; leave it out")
    tuners = given["tuners"]
    if given["manual"] and tuners and not any(name.startswith("manual") for name in tuners):
        raise UserError(
            f"--manual {given['manual']}: only used by the tuner manual; add --tuner manual, or "
            "leave it out"
        )
    if table is not None:
        return _table_request(given)
    if given["lang"] and not given["plots"] and not given["export"]:
        raise UserError(
            f"--lang {given['lang']}: the language of the page that --plots writes; add --plots "
            "FOLDER, or leave it out"
        )
    return _export_request(given) if given["export"] else _study_request(given)


def _table_request(given: Mapping[str, Any]) -> TableRequest:
    budgets = tuple(sorted(set(given["budgets"]))) or DEFAULT_BUDGETS
    repetitions = _value_or(given["repetitions"], 200)
    if budgets[0] < SMALLEST_BUDGET or repetitions < 1:
        raise UserError(
            f"--budget {budgets[0]}, --repetitions {repetitions}: a comparison needs a budget of "
            f"{SMALLEST_BUDGET} runs or more, and at least one repetition; raise them"
        )
    return TableRequest(
        table=given["table"],
        response=given["response"],
        budgets=budgets,
        repetitions=repetitions,
        tuners=given["tuners"],
        manual=given["manual"],
        plots=given["plots"],
    )


def _study_request(given: Mapping[str, Any]) -> StudyRequest:
    if len(given["budgets"]) != 1:
        raise UserError(
            "--budget: give exactly one, the runs of each search, as in "
            f"`factorgrid compare {given['study']} --budget 20`"
        )
    options = ComparisonOptions(
        budget=given["budgets"][0],
        repetitions=_value_or(given["repetitions"], 3),
        fresh=_value_or(given["fresh"], 2),
        tuners=given["tuners"],
    )
    check_options(options)
    return StudyRequest(
        source=_study_source(given),
        options=options,
        target=given["target"],
        plots=given["plots"],
        language=given["lang"] or "en",
    )


def _export_request(given: Mapping[str, Any]) -> ExportRequest:
    if given["budgets"]:
        raise UserError(
            f"--export {given['export']}: writes earlier trainings and trains nothing; leave "
            "--budget out, and run the comparison first"
        )
    for name in NOT_WITH_EXPORT:
        if given[name] not in (None, ()):
            option = "--tuner" if name == "tuners" else f"--{name.replace('_', '-')}"
            raise UserError(f"{option}: has no effect with --export; leave it out")
    return ExportRequest(source=_study_source(given), path=given["export"])


def _study_source(given: Mapping[str, Any]) -> StudySource:
    changes = {
        "source": None if given["data"] is None else str(given["data"]),
        "per_class": given["per_class"],
        "image_size": given["image_size"],
    }
    return StudySource(study=given["study"], changes=changes, manual=given["manual"])


def _value_or(given: int | None, default: int) -> int:
    return default if given is None else given


def read_study(source: StudySource) -> Study:
    """Read the study, with the cells of the manual list.

    Raises
    ------
    StudyError
        If the study is not valid.
    UserError
        If the manual list cannot be read.
    """
    study = load_study(source.study, **source.changes)
    if source.manual is None:
        return study
    try:
        rows = read_csv(source.manual, columns=1).rows.to_dict("records")
        cells = [
            {f.name: typed_level(f, row[f.name]) for f in study.factor_list if f.name in row}
            for row in rows
        ]
    except (ValueError, StopIteration) as error:
        raise UserError(
            f"--manual {source.manual}: cannot be read as a list of cells: {error}"
        ) from error
    content = study.model_dump(mode="json", exclude_unset=True)
    content["compare"] = {**content.get("compare", {}), "manual": cells}
    found = parse_study(content, f"{source.study} with --manual {source.manual}")
    return found.model_copy(update={"data": study.data})
