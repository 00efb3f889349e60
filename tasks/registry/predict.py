"""A registered model's answers to files of pictures."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.errors import UserError
from tasks.registry.model_registry import CHAMPION, Registry
from tasks.settings import Settings
from tasks.tracking.tracker import Tracker

#: Files that are held in memory at once.
BATCH = 256


@dataclass(frozen=True)
class Prediction:
    """What the model says of one file; either a label, or why there is none."""

    file: str
    label: str
    probability: float
    error: str


@dataclass(frozen=True)
class Predictions:
    """What a version of a model says of files, in their order."""

    name: str
    version: str
    answers: tuple[Prediction, ...]

    @property
    def any(self) -> bool:
        """Whether one file at least was answered."""
        return any(not answer.error for answer in self.answers)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "model": self.name,
            "version": self.version,
            "answers": [vars(answer) for answer in self.answers],
        }

    def in_words(self) -> str:
        """Return a line a file: label, probability, name; or name and error."""
        wide = max((len(answer.label) for answer in self.answers), default=0)
        return "\n".join(_line(answer, wide) for answer in self.answers)


def _line(answer: Prediction, wide: int) -> str:
    if answer.error:
        return f"{'-':<{wide}}  {'':6}  {answer.file}: {answer.error}"
    return f"{answer.label:<{wide}}  {answer.probability:6.4f}  {answer.file}"


def predict_files(settings: Settings, name: str, files: Sequence[Path]) -> Predictions:
    """Answer files with a model's champion; a bad one has its own error and fails no other.

    Raises
    ------
    UserError
        If there is no such model, or it has no champion.
    """
    registry = Registry.open(Tracker.open(settings, create=False), name)
    champion = registry.at(CHAMPION)
    if champion is None:
        raise UserError(
            f"model {name}: no version is champion; make one with `factorgrid promote {name} "
            "--version N`"
        )
    # Loading takes seconds: not for names of nothing.
    model = registry.load(champion) if any(file.is_file() for file in files) else None
    answers = tuple(answer for part in _parts(files) for answer in _answered(model, part))
    return Predictions(name, str(champion.version), answers)


def _parts(files: Sequence[Path]) -> Iterator[Sequence[Path]]:
    for start in range(0, len(files), BATCH):
        yield files[start : start + BATCH]


def _answered(model: Any, files: Sequence[Path]) -> list[Prediction]:
    read = [_read(file) for file in files]
    texts = [text for text, error in read if not error]
    rows = iter(model.predict(pd.DataFrame({"image": texts})) if texts else [])
    return [
        Prediction(str(file), "", 0.0, error) if error else Prediction(str(file), **next(rows))
        for file, (_, error) in zip(files, read, strict=True)
    ]


def _read(file: Path) -> tuple[str, str]:
    """Return a file as base64 text, and what is wrong with it; no text then."""
    try:
        return base64.b64encode(file.read_bytes()).decode(), ""
    except OSError as error:
        return "", str(error.strerror or error).lower()
