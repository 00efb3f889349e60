"""Finding pictures: folders and zips, in the layouts that Dogs vs Cats comes in."""

import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError

ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"}
#: Kaggle's flat names: cat.0.jpg.
FLAT = re.compile(r"^([^\W\d][^.]*)\.\d+\.\w+$")
PASSED_FOLDERS = {"__MACOSX", "__pycache__"}
MAX_MEMBER = 256 * 2**20


@dataclass(frozen=True)
class Entry:
    """A picture that was found: where, and of which class."""

    path: str
    label: str


class Source(Protocol):
    """Where pictures are."""

    words: str
    entries: list[Entry]
    passed_over: list[str]

    def read(self, entry: Entry) -> bytes:
        """Return a picture's bytes."""
        ...


@dataclass
class FolderSource:
    """Pictures in a folder."""

    root: Path
    words: str
    entries: list[Entry]
    passed_over: list[str]

    def read(self, entry: Entry) -> bytes:
        """Return a picture's bytes."""
        return (self.root / entry.path).read_bytes()


@dataclass
class ZipSource:
    """Pictures in a zip, read without unpacking it."""

    archive: zipfile.ZipFile
    words: str
    entries: list[Entry]
    passed_over: list[str]

    def read(self, entry: Entry) -> bytes:
        """Return a picture's bytes."""
        return self.archive.read(entry.path)


@dataclass
class DrawnSource:
    """Pictures that the project draws itself."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    words: str
    entries: list[Entry] = field(init=False)
    passed_over: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.entries = [
            Entry(f"drawn/{self.classes[label]}.{index}.png", self.classes[label])
            for index, label in enumerate(self.labels)
        ]

    def read(self, entry: Entry) -> bytes:
        """Return a picture as PNG bytes, which lose nothing."""
        index = int(entry.path.split(".")[-2])
        _, data = cv2.imencode(".png", self.images[index][:, :, ::-1])
        return data.tobytes()


@contextmanager
def find_images(path: Path) -> Iterator[Source]:
    """Open a folder or zip of pictures.

    Raises
    ------
    DataError
        If there is nothing, no zip, or no layout that says which picture is of which class.
    """
    if path.is_dir():
        files = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
        entries, passed = _classify(files, path)
        yield FolderSource(path, str(path), entries, passed)
        return
    if not path.exists():
        raise DataError(f"--data {path}: no such file or folder; name a folder or zip of pictures")
    with _open_zip(path) as archive:
        files = [info.filename for info in archive.infolist() if not info.is_dir()]
        entries, passed = _classify(files, path)
        yield ZipSource(archive, str(path), entries, passed)


@contextmanager
def _open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip, or the ``train.zip`` inside Kaggle's outer one."""
    try:
        with zipfile.ZipFile(path) as outer:
            inner = [n for n in outer.namelist() if PurePosixPath(n).name == "train.zip"]
            if not inner:
                yield outer
                return
            with (
                outer.open(inner[0]) as member,
                zipfile.ZipFile(io.BytesIO(member.read())) as archive,
            ):
                yield archive
    except zipfile.BadZipFile as error:
        raise DataError(
            f"--data {path}: not a zip ({error}); name a folder or a zip of pictures"
        ) from error


def _classify(files: list[str], path: Path) -> tuple[list[Entry], list[str]]:
    entries, passed = [], []
    for name in files:
        label = _label(PurePosixPath(name))
        if label is None:
            passed.append(name)
        else:
            entries.append(Entry(name, label))
    labels = {entry.label for entry in entries}
    if not entries:
        raise DataError(
            f"--data {path}: no pictures among its {len(files)} files; expected a folder a class "
            "(Cat/0.jpg) or names like cat.0.jpg"
        )
    if len(labels) < 2:  # noqa: PLR2004 # two classes make a classification
        raise DataError(
            f"--data {path}: all {len(entries)} pictures are of one class, {labels.pop()!r}; "
            "add a folder, or names, of the other"
        )
    return entries, passed


def _label(path: PurePosixPath) -> str | None:
    hidden = any(part.startswith(".") or part in PASSED_FOLDERS for part in path.parts)
    if hidden or path.suffix.lower() not in ENDINGS:
        return None
    flat = FLAT.match(path.name)
    if flat:
        return flat[1].lower()
    return path.parent.name.lower() or None
