"""Writing the trainings of a study as a table, which `tasks.comparison.cell_table` reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.errors import UserError
from tasks.languages import counted
from tasks.study.replicates import planned
from tasks.study.study_file import Study
from tasks.tracking.run_table import runs_table
from tasks.tracking.tags import KEY, PREFIX, REUSED_FROM
from tasks.tracking.tracker import Tracker

#: Columns of an exported table besides the factors.
COLUMNS = ("seed", "val_accuracy", "train_seconds", "parameters", "multiply_adds")


def export_cells(tracker: Tracker, study: Study, path: Path) -> int:
    """Write all trainings of a study's cells in MLflow as a CSV file; return the number of rows.

    ``factorgrid compare --table`` can read the file as soon as it has every combination of levels.
    Trainings with other settings, or on other images than the newest training, are left out.

    Raises
    ------
    TrackingError
        If the experiment is missing.
    UserError
        If no training fits the study, or the file cannot be written.
    """
    experiment = tracker.existing_experiment(study.name)
    runs = tracker.search([experiment], f"tags.`{KEY}` != '' and attributes.status = 'FINISHED'")
    trained = [run for run in runs if REUSED_FROM not in run.data.tags]
    version = trained[0].data.tags.get(f"{PREFIX}dataset_version", "") if trained else ""
    table = runs_table(trained, study.factor_list)
    fits = [_belongs_to(study, version, row) for row in table.to_dict("records")]
    rows = table[fits] if len(table) else table
    if rows.empty:
        raise UserError(
            f"experiment {study.name!r}: {counted(len(trained), 'training')}, but none with the "
            f"present settings of this study; run `factorgrid compare {study.name} --budget N` "
            "first, or restore the old settings"
        )
    names = [f.name for f in study.factor_list]
    kept = [*names, *(name for name in COLUMNS if name in rows)]
    try:
        path.write_text(rows[kept].to_csv(index=False), encoding="utf-8")
    except OSError as error:
        raise UserError(f"--export {path}: {error.strerror}; name another file") from error
    return len(rows)


def _belongs_to(study: Study, version: str, row: Mapping[Any, Any]) -> bool:
    """Whether the study would train exactly this replicate, on this dataset version."""
    levels = {f.name: row[f.name] for f in study.factor_list}
    replicate = planned(study, version, "compare", levels, int(row["replicate"]))
    return replicate.key == str(row["key"])
