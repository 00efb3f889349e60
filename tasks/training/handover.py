"""Training on another machine, by a folder that the user copies there and back.

The other machine needs `models/`, Keras and one backend, but not MLflow or Prefect; see
`models.standalone`. The results are logged here, as if they had been trained here.
"""

import json
import shutil
import threading
import zipfile
import zlib
from pathlib import Path

from models.training.result import load_result
from tasks.errors import HandedOverError, UserError
from tasks.languages import counted
from tasks.study.replicates import Planned
from tasks.whole_file import write_whole

#: What reading a file raises that was copied in part, or is not a result.
DAMAGED = (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


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
        """Return the folder of a replicate's result; None adds the replicate to the next jobs.

        Raises
        ------
        UserError
            If the folder is there, but was not copied whole.
        """
        folder = self.folder / "results" / planned.key
        if folder.exists():
            _check_result(folder)
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
        write_whole(self.folder / "jobs.json", json.dumps(specs, indent=1))
        raise HandedOverError(
            f"the {missing[0].stage} stage has {counted(len(missing), 'replicate')} to train, in "
            f"{self.folder}/jobs.json; train them on a machine with `models/`, in that folder: "
            "python -m models.standalone jobs.json --arrays arrays --out results; then run this "
            "command again"
        )

    def _copy_arrays(self, arrays_folder: Path) -> None:
        """Copy the cache, unless it is there already: its name has the dataset version and size.

        Raises
        ------
        UserError
            If ``arrays/`` is there, and this command did not write it.
        """
        arrays, mark = self.folder / "arrays", self.folder / "arrays.txt"
        if arrays.exists():
            if not mark.is_file():
                raise UserError(
                    f"--elsewhere {self.folder}: has a folder `arrays` that this command did not "
                    "write; name an empty folder, or rename that one"
                )
            if mark.read_text(encoding="utf-8") == arrays_folder.name:
                return
        # Whole or not at all. The mark is empty until the end: if this is killed, `arrays` is known
        # to be from this command, and is copied again.
        partial, old = self.folder / ".arrays-partial", self.folder / ".arrays-old"
        for left in (partial, old):
            shutil.rmtree(left, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(arrays_folder, partial)
        if arrays.exists():
            arrays.rename(old)
        mark.write_text("", encoding="utf-8")
        partial.rename(arrays)
        write_whole(mark, arrays_folder.name)
        shutil.rmtree(old, ignore_errors=True)


def _check_result(folder: Path) -> None:
    """Check that a result was copied whole.

    Raises
    ------
    UserError
        If it was not.
    """
    fault = ""
    try:
        load_result(folder)
        if not zipfile.is_zipfile(folder / "model.keras"):
            fault = "model.keras is missing or incomplete"
    except DAMAGED as error:
        fault = f"{type(error).__name__}: {error}"
    if fault:
        raise UserError(
            f"{folder}: is not a whole result ({fault}); copy it again, or remove it and it is "
            "trained again; then run the same command again"
        )
