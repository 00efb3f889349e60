"""Training on another machine: what it needs goes into a folder, what came out is logged here.

The other machine has `models/`, Keras and a backend, and no MLflow or Prefect; see
`models.standalone`.
"""

import json
import os
import shutil
import threading
from pathlib import Path

from tasks.errors import HandedOverError
from tasks.study.replicates import Planned


class Handover:
    """A folder that travels: ``arrays/`` and ``jobs.json`` go out, ``results/`` come back.

    Parameters
    ----------
    folder : created where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._missing: dict[str, Planned] = {}
        self._lock = threading.Lock()

    def result_of(self, planned: Planned) -> Path | None:
        """Return the folder of a replicate's result, or note that it is to be trained."""
        folder = self.folder / "results" / planned.key
        if (folder / "result.json").exists():
            return folder
        with self._lock:
            self._missing[planned.key] = planned
        return None

    def hand_over(self, arrays_folder: Path) -> None:
        """Write what is to be trained; nothing where nothing is missing.

        Raises
        ------
        HandedOverError
            Saying what to do with it: the study goes on when the results are there.
        """
        with self._lock:
            missing = list(self._missing.values())
            self._missing.clear()
        if not missing:
            return
        self._copy(arrays_folder)
        specs = [planned.spec.to_dict() for planned in missing]
        partial = self.folder / f".partial-{os.getpid()}.json"
        partial.write_text(json.dumps(specs, indent=1), encoding="utf-8")
        partial.replace(self.folder / "jobs.json")
        raise HandedOverError(
            f"{len(missing)} replicates of the {missing[0].stage} are in {self.folder}/jobs.json; "
            "train them where `models/` is, in that folder: python -m models.standalone jobs.json "
            "--arrays arrays --out results; then run this command again"
        )

    def _copy(self, arrays_folder: Path) -> None:
        """Copy the cache, unless this one is there: it is named by its version and size."""
        arrays, mark = self.folder / "arrays", self.folder / "arrays.txt"
        if mark.exists() and mark.read_text(encoding="utf-8") == arrays_folder.name:
            return
        mark.unlink(missing_ok=True)
        shutil.rmtree(arrays, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(arrays_folder, arrays)
        mark.write_text(arrays_folder.name, encoding="utf-8")
