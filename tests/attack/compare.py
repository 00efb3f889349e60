"""What a study has left in MLflow and on the disk, and how it differs from an undisturbed one.

The databases are read directly, not through the product that is tested.
"""

import hashlib
import json
import re
import sqlite3
import zipfile
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attack.study_process import AttackedStudy
from filelock import FileLock, Timeout
from support.small_study import comparable

#: Metrics that measure this machine, not the network.
MEASURED = {
    "epoch_seconds",
    "images_per_second",
    "median_images_per_second",
    "peak_memory_mb",
    "seconds_per_image",
}
#: Where Prefect keeps the exceptions of flows that failed, as it keeps their states and logs.
OF_FAILED_FLOWS = {"prefect/storage"}
#: Names of random parts in the names of files.
RANDOM_PART = re.compile(r"[0-9a-f]{8,}|(?<=tmp)\w{8}|(?<=pymp-)\w{8}|(?<=listener-)\w{8}")


@dataclass(frozen=True)
class StudyState:
    """What a study found, and what there is of it.

    Attributes
    ----------
    outcome : what ``--json`` printed, without what differs between two executions.
    finished : how often each replicate's key was trained to the end.
    metrics : of each key, all values by metric and step.
    networks : of each key, the digest of the network's weights.
    statuses : how many runs have each status.
    versions : registered versions.
    files : what is in the home, without the random parts of names.
    temporary : the same of the folder of temporary files.
    """

    outcome: dict[str, Any]
    finished: dict[str, int]
    metrics: dict[str, list[list[Any]]]
    networks: dict[str, str]
    statuses: dict[str, int]
    versions: int
    files: list[str]
    temporary: list[str]


def read_state(study: AttackedStudy, database: Path | None = None) -> StudyState:
    """Read the state of a study whose last command has ended.

    Parameters
    ----------
    study : the study.
    database : MLflow's, if it is not in the home; artifacts are in a folder beside it.
    """
    file = database or study.home / "mlflow.db"
    runs, versions = _read_runs(file)
    networks = {}
    for model in sorted((file.parent / "artifacts").glob("**/model/model.keras")):
        run_id = model.parts[-4]
        if run_id in runs and runs[run_id].is_trained:
            networks[runs[run_id].key] = _digest(model)
    trained = [run for run in runs.values() if run.is_trained]
    return StudyState(
        outcome=_outcome(study),
        finished=dict(Counter(run.key for run in trained)),
        metrics={run.key: sorted(run.metrics) for run in trained},
        networks=networks,
        statuses=dict(Counter(run.status for run in runs.values())),
        versions=versions,
        files=_files(study.home),
        temporary=_files(study.temporary),
    )


@dataclass
class _Run:
    status: str
    key: str
    reused: bool
    metrics: list[list[Any]]

    @property
    def is_trained(self) -> bool:
        return bool(self.key) and not self.reused and self.status == "FINISHED"


def _read_runs(file: Path) -> tuple[dict[str, _Run], int]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        tags: dict[str, dict[str, str]] = defaultdict(dict)
        for run_id, name, value in database.execute("select run_uuid, key, value from tags"):
            tags[run_id][name] = value
        query = "select run_uuid, status from runs where lifecycle_stage = 'active'"
        runs = {
            run_id: _Run(
                status,
                tags[run_id].get("factorgrid.key", ""),
                "factorgrid.reused_from" in tags[run_id],
                [],
            )
            for run_id, status in database.execute(query)
        }
        for run_id, *metric in database.execute("select run_uuid, key, step, value from metrics"):
            measured = metric[0] in MEASURED or metric[0].startswith("system/")
            if run_id in runs and not measured:
                runs[run_id].metrics.append(metric)
        # MLflow keeps the row of a version that was deleted, with this stage.
        query = "select count(*) from model_versions where current_stage != 'Deleted_Internal'"
        (versions,) = database.execute(query).fetchone()
    return runs, versions


def _outcome(study: AttackedStudy) -> dict[str, Any]:
    try:
        return comparable(json.loads("".join(study.command.output)))
    except (ValueError, KeyError) as error:
        return {"unreadable": str(error)}


def _digest(model: Path) -> str:
    """Return the digest of a network's weights; its configuration has Keras's ids of objects."""
    try:
        with zipfile.ZipFile(model) as archive:
            return hashlib.sha256(archive.read("model.weights.h5")).hexdigest()
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        return f"unreadable: {error}"


def _files(folder: Path) -> list[str]:
    """Return the files and folders of the two upper levels of a folder."""
    found = [*folder.glob("*"), *folder.glob("*/*")]
    names = {str(path.relative_to(folder)) for path in found}
    return sorted({RANDOM_PART.sub("*", name) for name in names if "validation/" not in name})


def differences(state: StudyState, expected: StudyState, *, homes: int = 1) -> list[str]:
    """Return how a state differs from that of the undisturbed study, one text per difference.

    Parameters
    ----------
    homes : how many studies ran on this server; those that came later reuse the replicates.
    """
    found = []
    for key in expected.finished.keys() | state.finished.keys():
        count = state.finished.get(key, 0)
        if key not in expected.finished:
            found.append(f"more: key {key[:8]} is not one of the undisturbed study")
        elif count == 0:
            found.append(f"lost: key {key[:8]} has no finished run")
        elif count > 1:
            found.append(f"doubled: key {key[:8]} is finished {count} times")
        if count and state.metrics[key] != expected.metrics.get(key, state.metrics[key]):
            found.append(f"bits: metrics of key {key[:8]} differ")
        if count and state.networks.get(key) != expected.networks.get(key):
            found.append(f"bits: the network of key {key[:8]} differs")
    found += [
        f"outcome: {text}"
        for text in _unequal(state.outcome, expected.outcome)
        if not (homes > 1 and text.startswith("registered"))
    ]
    if state.versions != expected.versions:
        found.append(f"versions: {state.versions} instead of {expected.versions}")
    found += [
        f"left: {count} runs are {status}"
        for status, count in state.statuses.items()
        if status not in ("FINISHED", "KILLED", "FAILED")
    ]
    return found


def _unequal(given: Any, expected: Any, place: str = "") -> list[str]:
    """Return the places at which two outcomes differ, with both values."""
    if isinstance(given, dict) and isinstance(expected, dict):
        texts = []
        for name in sorted(given.keys() | expected.keys()):
            inner = f"{place}.{name}" if place else str(name)
            texts += _unequal(given.get(name), expected.get(name), inner)
        return texts
    return [] if given == expected else [f"{place} is {given!r} instead of {expected!r}"]


def leftovers(study: AttackedStudy, expected: StudyState) -> list[str]:
    """Return what a study has left behind on the disk that an undisturbed one does not."""
    found = []
    for folder, name, usual in (
        (study.home, "home", expected.files),
        (study.temporary, "temporary folder", expected.temporary),
    ):
        more = set(_files(folder)) - set(usual) - OF_FAILED_FLOWS
        found += [f"left: {file} in the {name}" for file in more]
    for file in study.home.glob("**/*.lock"):
        try:
            with FileLock(file, timeout=0):
                pass
        except Timeout:
            found.append(f"left: {file.relative_to(study.home)} is locked")
    place = study.home / "locks" / "place"
    if place.exists() and not place.read_text(encoding="utf-8").strip():
        found.append("left: locks/place is empty")
    return sorted(set(found))
