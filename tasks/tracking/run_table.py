"""The runs of replicates as a table, the only input of the analysis."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.factors import Factor
from analysis.search.space import typed_level
from tasks.study.replicates import FINAL, Stage
from tasks.tracking.tags import KEY, REUSED_FROM, STATUS, stage_tag

#: The metric of a network's multiply-adds for one image; of a network of which some layers cannot
#: be counted, those of the others have the second name.
MULTIPLY_ADDS, COUNTED_PART = "multiply_adds", "multiply_adds_of_counted_layers"


def runs_table(
    runs: Sequence[Any],
    factors: Sequence[Factor],
    stage: Stage | None = None,
    response: str = "val_accuracy",
) -> pd.DataFrame:
    """Return the runs of replicates as a table.

    Parameters
    ----------
    runs : MLflow runs of replicates.
    factors : whose levels become columns, in natural units and with their own types.
    stage : only the replicates of this stage; by default of all stages of the search, which do not
        include the final training: it has another length, and no decision is based on it.
    response : of the study. A loss that is infinite is no response.

    Returns
    -------
    One row per replicate: ``run_id``, factors, ``stage``, ``replicate``, ``seed``, ``centre``,
    ``status``, ``epochs``, ``epochs_trained``, and every metric, among them `MULTIPLY_ADDS` and
    ``parameters``, the costs by which cells are compared; runs of versions before 0.3 have no
    multiply-adds. ``epochs`` is the length of the training, and ``epochs_trained`` the number of
    them that it trained itself: fewer if it continued a shorter training, NaN if it failed. The
    rows are sorted by cell, replicate and epochs: the order of training must not change the last
    bits of the analysis. A replicate that failed has no response (NaN).
    """
    rows = [
        _table_row(run, factors)
        for run in runs
        if run.info.status in {"FINISHED", "FAILED"} and _is_of(stage, run.data.tags)
    ]
    columns = ["run_id", *(f.name for f in factors), "stage", "replicate", "seed", "centre"]
    columns += [name for name in ("epochs", "epochs_trained") if name not in columns]
    figures = dict.fromkeys(["val_accuracy", response])
    table = pd.DataFrame(rows, columns=None if rows else [*columns, *figures])
    for name in figures:
        if name not in table:
            table[name] = float("nan")
    table[response] = table[response].where(np.isfinite(table[response].astype(float)))
    if not rows:
        return table
    # A failed run that was trained again later counts once: the later run.
    unique = table.drop_duplicates("key", keep="last")
    keys = dict.fromkeys([*(f.name for f in factors), "replicate", "epochs"])
    return unique.sort_values(list(keys), ignore_index=True)


def training_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return a run's metrics without MLflow's system metrics of the machine."""
    return {name: value for name, value in metrics.items() if not name.startswith("system/")}


def _is_of(stage: Stage | None, tags: Mapping[str, str]) -> bool:
    if stage is None:
        return stage_tag(FINAL) not in tags
    return tags.get(stage_tag(stage)) == "true"


def _table_row(run: Any, factors: Sequence[Factor]) -> dict[str, object]:
    params, tags = run.data.params, run.data.tags
    metrics = training_metrics(run.data.metrics) if run.info.status == "FINISHED" else {}
    epochs = _epochs(params)
    failed = run.info.status != "FINISHED"
    return {
        **metrics,
        "epochs": epochs,
        "epochs_trained": np.nan if failed else epochs - metrics.get("continued_epochs", 0.0),
        "run_id": run.info.run_id,
        "key": tags.get(KEY, run.info.run_id),
        "reused_from": tags.get(REUSED_FROM, ""),
        **{f.name: typed_level(f, params[f.name]) for f in factors},
        "stage": params.get("stage", ""),
        "replicate": int(params.get("replicate", 1)),
        "seed": int(params.get("seed", 0)),
        "centre": params.get("centre") == "True",
        "status": tags.get(STATUS, run.info.status.lower()),
    }


def _epochs(params: Mapping[str, str]) -> float:
    """Return the length of a training, a setting or a factor; NaN in runs that do not have it."""
    return float(params.get("training.epochs", params.get("epochs", "nan")))
