"""The answers of a registered model to image files."""

import base64
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.data.file_names import size_fault
from tasks.data.reason import reason_as_text
from tasks.errors import UserError
from tasks.registry.model_registry import CHAMPION, Registry
from tasks.registry.stored_code import LoadedModel
from tasks.settings import Settings
from tasks.tracking.tracker import Tracker

#: Files, and bytes of files, that are held in memory at once. One file may have more bytes.
BATCH_FILES, BATCH_BYTES = 256, 64 * 2**20


@dataclass(frozen=True)
class Prediction:
    """The model's answer to one file.

    Attributes
    ----------
    label : the predicted class; empty if there is an error.
    probability : of that class, 0 to 1.
    error : why the file has no answer; empty if it has one.
    """

    file: str
    label: str
    probability: float
    error: str


@dataclass(frozen=True)
class Predictions:
    """The answers of one version of a model to files, in the order of the files."""

    name: str
    version: str
    answers: tuple[Prediction, ...]

    @property
    def any_answered(self) -> bool:
        """Whether at least one file has an answer."""
        return any(not answer.error for answer in self.answers)


def predictions_as_json(found: Predictions) -> dict[str, Any]:
    """Return predictions as plain JSON types."""
    return {
        "model": found.name,
        "version": found.version,
        "answers": [vars(answer) for answer in found.answers],
    }


def predictions_as_text(found: Predictions) -> str:
    """Return one line per file: label, probability and name, or name and error."""
    width = max((len(answer.label) for answer in found.answers), default=0)
    return "\n".join(_prediction_line(answer, width) for answer in found.answers)


def _prediction_line(answer: Prediction, width: int) -> str:
    if answer.error:
        return f"{'-':<{width}}  {'':6}  {answer.file}: {answer.error}"
    return f"{answer.label:<{width}}  {answer.probability:6.4f}  {answer.file}"


def predict_files(settings: Settings, name: str, files: Sequence[Path]) -> Predictions:
    """Classify files with a model's champion; a file that cannot be read fails no other.

    Raises
    ------
    UserError
        If there is no such model, or it has no champion.
    """
    registry = Registry.open(Tracker.open(settings, create=False), name)
    champion = registry.version_of(CHAMPION)
    if champion is None:
        raise UserError(
            f"model {name}: no version is champion; make one champion with `factorgrid promote "
            f"{name} --version N`"
        )
    # Loading takes seconds, which is in vain if no file exists.
    model = registry.load(champion) if any(file.is_file() for file in files) else None
    answers = tuple(
        answer for batch in _batches(files) for answer in answers_to_files(model, batch)
    )
    return Predictions(name, str(champion.version), answers)


def _batches(files: Sequence[Path]) -> Iterator[Sequence[Path]]:
    batch: list[Path] = []
    total = 0
    for file in files:
        size = _size_or_fault(file)[0]
        if batch and (len(batch) == BATCH_FILES or total + size > BATCH_BYTES):
            yield batch
            batch, total = [], 0
        batch.append(file)
        total += size
    if batch:
        yield batch


def answers_to_files(model: LoadedModel | None, files: Sequence[Path]) -> list[Prediction]:
    """Return a model's answers to files that fit in memory; None if no file can be read."""
    contents = [_file_as_base64(file) for file in files]
    texts = [text for text, error in contents if not error]
    answers = iter(model.predict(pd.DataFrame({"image": texts})) if model and texts else [])
    return [
        Prediction(str(file), "", 0.0, error) if error else Prediction(str(file), **next(answers))
        for file, (_, error) in zip(files, contents, strict=True)
    ]


def _size_or_fault(file: Path) -> tuple[int, str]:
    """Return the bytes of a file, and why it is not read; empty if it is."""
    try:
        status = file.stat()
    except OSError as error:
        return 0, str(error.strerror or error).lower()
    if stat.S_ISDIR(status.st_mode):
        return 0, "is a directory"
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait without end
        return 0, "not a file"
    fault = size_fault(status.st_size)
    return (0, reason_as_text(fault)) if fault else (status.st_size, "")


def _file_as_base64(file: Path) -> tuple[str, str]:
    """Return a file's bytes as base64 text, and an error; one of the two is empty."""
    size, fault = _size_or_fault(file)
    if fault:
        return "", fault
    try:
        with file.open("rb") as opened:
            return base64.b64encode(opened.read(size)).decode(), ""
    except OSError as error:
        return "", str(error.strerror or error).lower()
