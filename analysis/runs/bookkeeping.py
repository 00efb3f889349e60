"""Columns and rows of a table that are there for the record: run numbers, dates, statuses.

The names are those that Minitab, JMP, Design-Expert, R (FrF2, rsm), Optuna, MLflow, Weights &
Biases, Ray Tune and scikit-learn write.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

#: Columns that describe a run but were not varied, although they may have two values; compared by
#: `plain_name`. If a user names one of them as a factor, it is a factor.
NOT_FACTORS = frozenset(
    """
    run runid runname runno runnumber runorder runnoinstdorder runnostdrp rununit
    std stdorder standardorder trial trialid trialnumber trialname experimentid experimentname
    centerpt centrept centerpoint centrepoint centre center pttype pointtype spacetype buildtype
    block blocks replicate replicates rep reps repeat
    key reusedfrom stage status trialstatus collapsed
    seed randomseed randomstate
    starttime endtime datetimestart datetimecomplete createdat timestamp trainseconds
    epochstrained continuedepochs continuedseconds
    artifacturi lifecyclestage comment comments remark remarks note notes
    bemerkung bemerkungen kommentar 비고 메모
    """.split()  # noqa: SIM905 # words are easier to read
)
#: Those of them whose values are blocks.
BLOCKS = frozenset({"block", "blocks"})
#: Those of them whose values are seeds, which may be blocks.
SEEDS = frozenset({"seed", "randomseed", "randomstate"})
#: Further columns of a program, where at least two names show that the table is from it.
PROGRAMS = (
    # Optuna's trials_dataframe and dashboard.
    (
        {"number", "state", "datetimestart", "value", "values0"},
        {"number", "state", "value", "duration"},
    ),
    # MLflow's page of runs.
    (
        {"starttime", "runid", "sourcename", "sourcetype", "user", "created", "experimentid"},
        {
            *("duration", "name", "sourcetype", "sourcename", "source", "user", "created"),
            *("version", "dataset", "datasets", "models", "model", "tags", "experiment"),
        },
    ),
    # Weights & Biases.
    (
        {"state", "created", "runtime", "sweep", "user", "tags", "notes", "name"},
        {
            *("name", "state", "user", "tags", "created", "runtime", "sweep", "id", "step"),
            *("hostname", "host", "updated", "jobtype", "group", "commit", "gpucount", "gputype"),
        },
    ),
    # Ray Tune.
    (
        {"trialid", "trainingiteration", "experimenttag", "timetotals"},
        {
            *("done", "date", "pid", "hostname", "nodeip", "experimenttag", "logdir"),
            *("trainingiteration", "iterationssincerestore", "timetotals", "timethisiters"),
            *("timestepstotal", "episodestotal", "timesincerestore", "checkpointdirname"),
        },
    ),
)
#: Beginnings of the names of hyperparameters. Where one is there, no other column is a factor.
PARAMETER_PREFIXES = ("params_", "params.", "Param ", "param_", "config/", "config.", "hparams/")
#: Columns with the status of a run, and its words.
STATUS_COLUMNS = frozenset(
    {"status", "state", "trialstatus", "trialstate", "runstatus", "incl/excl"}
)
FINISHED = frozenset(
    "finished complete completed done success successful succeeded ok terminated incl".split()  # noqa: SIM905 # words
)
FAILED = frozenset("failed fail failure error errored crashed crash diverged".split())  # noqa: SIM905 # words
NOT_ENDED = frozenset(
    """
    running pending scheduled waiting queued starting started pruned killed stopped cancelled
    canceled preempted preempting aborted timeout early_stopped skipped excl
    """.split()  # noqa: SIM905 # words are easier to read
)
#: Names of responses, or the last words of them.
METRICS = frozenset(
    "accuracy acc loss error auc f1 recall rmse mse mae yield defect defects seconds".split()  # noqa: SIM905 # words
)


@dataclass(frozen=True)
class Statuses:
    """What the column of statuses of a table says.

    Attributes
    ----------
    column : its name; empty without one.
    failed : status -> number of runs that failed: their response does not count.
    left_out : status -> number of runs that did not end, and are left out.
    """

    column: str = ""
    failed: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


def plain_name(name: str) -> str:
    """Return a name of a column in lower case, without spaces, points, hyphens and underscores."""
    return re.sub(r"[\s._\-]+", "", name.casefold())


def not_factors(table: pd.DataFrame) -> set[str]:
    """Return the columns of a table that its names or values show to be no factors."""
    names = [str(name) for name in table]
    prefixed = [name for name in names if name.startswith(PARAMETER_PREFIXES)]
    if prefixed:
        return set(names) - set(prefixed)
    plain = {name: plain_name(name) for name in names}
    status = _status_column(table)
    further: set[str] = set()
    for signs, columns in PROGRAMS:
        if len(signs.intersection(plain.values())) > 1:
            further |= columns
    return {
        name
        for name in names
        if plain[name] in NOT_FACTORS | further
        or name == status
        or _shows_no_factor(plain[name], table[name])
    }


def _shows_no_factor(plain: str, column: "pd.Series[Any]") -> bool:
    texts = [x for x in column.dropna() if isinstance(x, str)]
    if not texts:
        return False
    if plain == "pattern":
        return all(re.fullmatch(r"[+\-0aA\d]+", text) for text in texts)
    if all(re.match(r"\d{4}-\d\d-\d\d[T ]\d|-?\d+ days? ", text) for text in texts):
        return True
    # A text that half of the runs do not have is a remark.
    return column.notna().sum() == len(texts) <= len(column) / 2


def with_statuses(table: pd.DataFrame, response: str) -> tuple[pd.DataFrame, Statuses]:
    """Return the runs that ended, without the response of those that failed.

    A column is one of statuses if its name and all of its values are known.
    """
    name = _status_column(table)
    if name is None or name == response:
        return table, Statuses()
    words = table[name].map(_status_word)
    failed, left_out = words.isin(FAILED), words.isin(NOT_ENDED)
    found = Statuses(name, _counts(table[name][failed]), _counts(table[name][left_out]))
    ended = table.assign(**{response: table[response].where(~failed, None)})[~left_out]
    return ended, found


def _status_column(table: pd.DataFrame) -> str | None:
    for name in map(str, table):
        if plain_name(name) in STATUS_COLUMNS:
            words = table[name].map(_status_word)
            if words[words.ne("")].isin(FINISHED | FAILED | NOT_ENDED).all():
                return name
    return None


def _status_word(value: object) -> str:
    return "" if value is None or value != value else str(value).rsplit(".", 1)[-1].casefold()  # noqa: PLR0124 # NaN


def _counts(values: Iterable[object]) -> dict[str, int]:
    return dict(sorted(Counter(map(str, values)).items()))


def further_responses(codes: pd.DataFrame) -> list[str]:
    """Return columns with two values that are responses rather than factors of the design.

    If all columns but some are a balanced orthogonal design, the others were not set, but measured:
    they have unequal numbers of runs at their values, or one of them is correlated with the others.

    Parameters
    ----------
    codes : (N, k) -1 and +1, a column per candidate.

    Returns
    -------
    Their names; none where the columns do not tell which ones were set.
    """
    names, values = list(map(str, codes)), codes.to_numpy(float)
    balanced = [name for name, column in zip(names, values.T, strict=True) if column.sum() == 0]
    others = [name for name in names if name not in balanced]
    if _is_orthogonal(codes[balanced]):
        return others if len(balanced) > 1 else []
    left = [n for n in balanced if _is_orthogonal(codes[[m for m in balanced if m != n]])]
    named = [n for n in left if plain_name(n) in METRICS or n.rsplit("_", 1)[-1] in METRICS]
    measured = left if len(left) == 1 else named
    if len(measured) == 1 and len(balanced) > 2:  # noqa: PLR2004 # two factors remain
        return [*others, *measured]
    return []


def _is_orthogonal(codes: pd.DataFrame) -> bool:
    values = codes.to_numpy(float)
    products = values.T @ values
    return bool(np.all(products == np.diag(np.diag(products))))
