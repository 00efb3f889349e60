"""The cache of features on disk: what a frozen backbone makes of the pictures of a cache.

Features lie beside the pictures' own cache. They are written whole or not at all, by one process at
a time, and are sealed by a checksum over all of their bytes.
"""

import fcntl
import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ArraysError
from models.images.array_file import checksum
from models.images.arrays import PARTIAL, ImageArrays, remove_abandoned
from models.images.split import content_digest

Features = NDArray[np.float32]
#: The end of the name of a folder with features.
END = ".features"
#: Of the layout of the files; raised by one whenever older files must not be read.
FORMAT = 1
#: Seconds between two looks whether another process has computed the features.
WAIT_SECONDS = 0.2


@dataclass(frozen=True)
class FeatureArrays:
    """The features of a cache's pictures.

    Attributes
    ----------
    values : float32 (N, F), or maps, float32 (N, h, w, F), in the order of the cache's rows, mapped
        from disk.
    about : what they are of: dataset version, image size, backbone, weights, precision.
    """

    values: Features
    about: dict[str, Any]
    #: An open file with a shared lock, so that nobody clears features that are in use.
    hold: io.BufferedReader | None = field(default=None, repr=False, compare=False)


def features_folder(cache: Path, about: dict[str, Any]) -> Path:
    """Return where features lie: their name has the dataset version, the size, and a digest."""
    text = json.dumps({**about, "format": FORMAT}, sort_keys=True)
    digest = content_digest(text.encode())[:16]
    return cache / f"{about['version']}-{about['image_size']}-{digest}{END}"


def row_digest(arrays: ImageArrays) -> str:
    """Return a digest of the order of a cache's rows: the features must be in the same order."""
    return content_digest("\0".join([*arrays.digests, *arrays.names]).encode())


def open_features(folder: Path) -> FeatureArrays:
    """Map features, and compare all of their bytes with their checksum.

    Raises
    ------
    ArraysError
        If they are missing, incomplete or damaged.
    """
    try:
        hold = (folder / "about.json").open("rb")
        fcntl.flock(hold, fcntl.LOCK_SH | fcntl.LOCK_NB)
        about = json.loads(hold.read())
        values = _map_checked(folder / "features.npy", about["check"])
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise ArraysError(
            f"cache {folder}: {error}; delete the folder, and it is written again"
        ) from error
    return FeatureArrays(values, about, hold)


def _map_checked(file: Path, check: int) -> Features:
    """Map a file of features; raise ValueError if it is damaged."""
    if _checksum_of(file) != check:
        raise ValueError(f"{file.name} is damaged")
    values: Features = np.load(file, mmap_mode="r")
    if values.ndim < 2 or values.dtype != np.float32:  # noqa: PLR2004 # (N, F) or (N, h, w, F)
        raise ValueError(f"{file.name} has shape {values.shape} and type {values.dtype}")
    return values


def _checksum_of(file: Path) -> int:
    """Return the checksum of a file; its bytes are mapped, because there may be gigabytes."""
    return checksum(np.memmap(file, dtype=np.uint8, mode="r"))


def cached_features(
    pictures: Path,
    arrays: ImageArrays,
    about: dict[str, Any],
    compute: Callable[[], Features],
    on_waiting: Callable[[], None] | None = None,
) -> Features:
    """Return features from the cache; compute and write them first if they are not there.

    Of several processes that need the same features, one computes them, and the others wait.

    Parameters
    ----------
    pictures : the cache of the pictures; the features are written beside it.
    arrays : it, opened.
    about : what determines the features, besides the pictures.
    compute : returns the features of all pictures, float32 (N, F) or (N, h, w, F).
    on_waiting : called again and again while another process computes features.

    Raises
    ------
    ArraysError
        If they cannot be written, for example because the disk is full.
    """
    about = {"version": arrays.version, "image_size": arrays.image_size, **about}
    cache, order = pictures.parent, row_digest(arrays)
    folder = features_folder(cache, about)
    with _claimed(pictures, on_waiting):
        try:
            found = open_features(folder)
            if found.about["order"] == order and len(found.values) == len(arrays.images):
                return found.values
        except ArraysError:
            pass
        if folder.exists():  # damaged, or of a cache whose rows had another order
            renamed = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=cache)) / folder.name
            folder.rename(renamed)
            shutil.rmtree(renamed.parent)
        owner = folder.name.removesuffix(END)
        remove_abandoned(cache, owner)
        try:
            _write(folder, owner, compute(), {**about, "order": order})
        except OSError as error:
            raise ArraysError(
                f"cache {folder}: {error.strerror}; free some space, or clear old caches with "
                "`factorgrid cache --clear`"
            ) from error
        return open_features(folder).values


@contextmanager
def _claimed(pictures: Path, on_waiting: Callable[[], None] | None) -> Iterator[None]:
    """Hold the right to compute features of a cache's pictures; it ends with its process."""
    # Nothing else locks this file: a cache in use is locked by its about.json.
    with (pictures / "rows.npz").open("rb") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if on_waiting is not None:
                    on_waiting()
                time.sleep(WAIT_SECONDS)
        yield


def _write(folder: Path, owner: str, values: Features, about: dict[str, Any]) -> None:
    partial = Path(tempfile.mkdtemp(prefix=f"{PARTIAL}{owner}-", dir=folder.parent))
    try:
        # The lock marks the folder as being written; it is released if the writer is killed.
        with (partial / "features.npy").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            np.save(file, values)
            file.flush()
            os.fsync(file.fileno())
            check = _checksum_of(partial / "features.npy")
            text = json.dumps({**about, "check": check})
            (partial / "about.json").write_text(text, encoding="utf-8")
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
