"""Report section: the runs and the time that the study took."""

import datetime as dt
from typing import Any

import pandas as pd

from tasks.report.source import ReportSource
from tasks.tracking.execution import Execution
from tasks.tracking.tags import PREFIX
from tasks.wording.values import MISSING

STAGES = ("pilot", "screen", "refine", "confirm", "final")


def cost_section(source: ReportSource) -> dict[str, Any]:
    """Return the cost of the study.

    Returns
    -------
    ``text``; ``rows``: one row per stage and one of totals, see `_stage`.
    """
    execution, translate, runs = source.execution, source.translate, source.runs
    if source.study.final_epochs is not None:
        runs = pd.concat([runs, execution.runs("final")], ignore_index=True)
    stages = [stage for stage in STAGES if stage != "pilot" or source.study.pilot.found]
    rows = [_stage(translate(stage), runs[runs["stage"] == stage]) for stage in stages]
    rows = [row for row in rows if row["runs"]]
    rows.append(_stage(translate("total"), runs))
    text = translate("cost_text", wall=_wall_minutes(execution), **_device(source))
    return {"text": text, "rows": rows}


def _stage(name: str, runs: pd.DataFrame) -> dict[str, Any]:
    """Return ``name``, ``runs``, and as text: ``trained``, ``reused``, ``failed``, ``minutes``."""
    reused = runs["reused_from"].fillna("").astype(str).ne("")
    failed = runs["val_accuracy"].isna()
    trained = runs[~reused & ~failed]
    seconds = float(trained["train_seconds"].sum()) if "train_seconds" in trained else 0.0
    # The seconds of a training that continued another one contain those of the other.
    seconds -= float(trained["continued_seconds"].sum()) if "continued_seconds" in trained else 0.0
    return {
        "name": name,
        "runs": len(runs),
        "trained": f"{len(trained):,}",
        "reused": f"{reused.sum():,}",
        "failed": f"{failed.sum():,}",
        "minutes": f"{seconds / 60:,.1f}",
    }


def _wall_minutes(execution: Execution) -> str:
    info = execution.tracker.client.get_run(execution.run_id).info
    now = dt.datetime.now(tz=dt.UTC).timestamp() * 1000
    return f"{((info.end_time or now) - info.start_time) / 60_000:,.1f}"


def _device(source: ReportSource) -> dict[str, str]:
    """Return device, precision and backend of the registered run, or else of the first run."""
    registered, execution = source.outcome.registered, source.execution
    run_id = registered.run_id if registered else str(source.runs["run_id"].iloc[0])
    tags = execution.tracker.client.get_run(run_id).data.tags
    return {name: tags.get(PREFIX + name, MISSING) for name in ("device", "precision", "backend")}
