"""Drawn pictures as files, for tests that need some in an archive or a store."""

import zipfile
from pathlib import Path

import cv2

from models.images.drawn import draw


def drawn(number: int) -> dict[str, bytes]:
    """Return a number of pictures: name below one folder per class -> PNG."""
    images, labels, classes = draw(number, 16, seed=3)
    files = [cv2.imencode(".png", image)[1].tobytes() for image in images]
    names = [f"{classes[label]}/{index}.png" for index, label in enumerate(labels)]
    return dict(zip(names, files, strict=True))


def archive(path: Path, number: int) -> Path:
    """Write them to a zip."""
    with zipfile.ZipFile(path, "w") as opened:
        for name, data in drawn(number).items():
            opened.writestr(name, data)
    return path
