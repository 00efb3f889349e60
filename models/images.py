"""Pictures as arrays: decoding, the split by content, and the cache on disk."""

import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from models.errors import ArraysError, ModelsError

Pixels = NDArray[np.uint8]
SIDES = ("training", "validation", "test")


class DecodeError(ModelsError, ValueError):
    """Bytes that are no picture, or a damaged one."""


@dataclass(frozen=True)
class ImageArrays:
    """The accepted pictures of a dataset version at one size.

    Attributes
    ----------
    images : uint8 (N, size, size, 3), RGB, read-only and mapped from disk.
    labels : int64 (N,), indices into `classes`.
    sides : uint8 (N,), 0 training, 1 validation, 2 test.
    names : N paths, as they were found.
    classes : names in order.
    version : the dataset version, a digest of what was accepted and how it is split.
    """

    images: Pixels
    labels: NDArray[np.int64]
    sides: NDArray[np.uint8]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    version: str

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        return int(self.images.shape[1])

    def side(self, name: str) -> NDArray[np.intp]:
        """Return the rows of a side: training, validation or test."""
        return np.flatnonzero(self.sides == SIDES.index(name))


def decode(data: bytes, size: int) -> Pixels:
    """Decode a picture's bytes: upright, RGB, squeezed to a square.

    Parameters
    ----------
    data : JPEG, PNG, WebP, GIF or BMP bytes; grey, CMYK, palette and transparent ones become RGB.
    size : pixels a side. The whole picture is kept: its aspect changes, as in Keras's loaders.

    Returns
    -------
    uint8 (size, size, 3).

    Raises
    ------
    DecodeError
        If the bytes are no picture, or a damaged one.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.draft("RGB", (size, size))
            upright = ImageOps.exif_transpose(picture)
            return resize(np.asarray(upright.convert("RGB")), size)
    except UnidentifiedImageError as error:
        raise DecodeError("no picture of a known format") from error
    except Image.DecompressionBombError as error:
        raise DecodeError("too many pixels: a decompression bomb") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise DecodeError(f"damaged: {error}") from error


def resize(image: Pixels, size: int) -> Pixels:
    """Resize uint8 (H, W, 3) to (size, size, 3): by area when shrinking, else bilinear."""
    if image.shape[:2] == (size, size):
        return np.asarray(image, dtype=np.uint8)
    shrinking = image.shape[0] >= size and image.shape[1] >= size
    how = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size, size), interpolation=how), dtype=np.uint8)


def side_of(digest: str, training: float, validation: float) -> int:
    """Return a picture's side from its content alone: it never moves as others come and go.

    Parameters
    ----------
    digest : hexadecimal, of the picture's bytes.
    training, validation : shares; the rest is the test side.
    """
    place = int(digest[:15], 16) / 16**15
    return int(place >= training) + int(place >= training + validation)


def write_arrays(
    folder: Path,
    images: Iterable[Pixels],
    *,
    size: int,
    labels: Sequence[int],
    sides: Sequence[int],
    names: Sequence[str],
    classes: Sequence[str],
    version: str,
) -> None:
    """Write the cache of a dataset version, whole or not at all.

    Parameters
    ----------
    folder : appears only when everything is in it.
    images : N pictures, uint8 (size, size, 3), in order.

    Raises
    ------
    OSError
        If the disk is full, say; nothing is left then.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    try:
        path = partial / "images.npy"
        shape = (len(labels), size, size, 3)
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        for index, image in enumerate(images):
            array[index] = image
        array.flush()
        del array
        np.save(partial / "labels.npy", np.asarray(labels, dtype=np.int64))
        np.save(partial / "sides.npy", np.asarray(sides, dtype=np.uint8))
        about = {"names": list(names), "classes": list(classes), "version": version}
        about["bytes"] = path.stat().st_size  # type: ignore[assignment] # one more entry
        (partial / "about.json").write_text(json.dumps(about), encoding="utf-8")
        _publish(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _publish(partial: Path, folder: Path) -> None:
    try:
        os.rename(partial, folder)  # noqa: PTH104 # atomic, and fails where the folder has content
    except OSError:
        if not (folder / "about.json").exists():
            raise
        shutil.rmtree(partial)  # another process was first with the same content


def open_arrays(folder: Path) -> ImageArrays:
    """Map a cache written by `write_arrays`.

    Raises
    ------
    ArraysError
        If it is missing, incomplete or damaged.
    """
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        images = np.load(folder / "images.npy", mmap_mode="r")
        labels, sides = np.load(folder / "labels.npy"), np.load(folder / "sides.npy")
    except (OSError, ValueError) as error:
        raise ArraysError(
            f"cache {folder}: {error}; delete the folder, it is written again"
        ) from error
    if not len(images) == len(labels) == len(sides) == len(about["names"]):
        raise ArraysError(f"cache {folder}: its parts differ in length; delete the folder")
    names, classes = tuple(about["names"]), tuple(about["classes"])
    return ImageArrays(images, labels, sides, names, classes, about["version"])


def digest_of(data: bytes) -> str:
    """Return a picture's content digest."""
    return hashlib.sha256(data).hexdigest()
