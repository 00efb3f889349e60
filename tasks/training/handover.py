"""Training on another machine, by a folder that the user copies there and back.

The other machine needs `models/`, Keras and one backend, but not MLflow or Prefect; see
`models.standalone`. The results are logged here, as if they had been trained here.
"""

import json
import os
import shutil
import threading
from pathlib import Path

from tasks.errors import HandedOverError
from tasks.study.replicates import Planned


class Handover:
    """The folder: ``arrays/`` and ``jobs.json`` go to the other machine, ``results/`` come back.

    Parameters
    ----------
    folder : created if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._missing: dict[str, Planned] = {}
        self._lock = threading.Lock()

    def find_result(self, planned: Planned) -> Path | None:
        """Return the folder of a replicate's result; None adds the replicate to the next jobs."""
        folder = self.folder / "results" / planned.key
        if (folder / "result.json").exists():
            return folder
        with self._lock:
            self._missing[planned.key] = planned
        return None

    def write_jobs(self, arrays_folder: Path) -> None:
        """Write the replicates whose results are missing; do nothing if there is none.

        Raises
        ------
        HandedOverError
            If jobs were written. It explains how to train them; the study continues when the
            results are there.
        """
        with self._lock:
            missing = list(self._missing.values())
            self._missing.clear()
        if not missing:
            return
        self._copy_arrays(arrays_folder)
        specs = [planned.spec.to_dict() for planned in missing]
        partial = self.folder / f".partial-{os.getpid()}.json"
        partial.write_text(json.dumps(specs, indent=1), encoding="utf-8")
        partial.replace(self.folder / "jobs.json")
        raise HandedOverError(
            f"{len(missing)} replicates of the {missing[0].stage} are in {self.folder}/jobs.json; "
            "train them on a machine with `models/`, in that folder: python -m models.standalone "
            "jobs.json --arrays arrays --out results; then run this command again"
        )

    def _copy_arrays(self, arrays_folder: Path) -> None:
        """Copy the cache, unless it is there already: its name has the dataset version and size."""
        arrays, mark = self.folder / "arrays", self.folder / "arrays.txt"
        if mark.exists() and mark.read_text(encoding="utf-8") == arrays_folder.name:
            return
        mark.unlink(missing_ok=True)
        shutil.rmtree(arrays, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(arrays_folder, arrays)
        mark.write_text(arrays_folder.name, encoding="utf-8")
