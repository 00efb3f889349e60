"""`factorgrid cache`: lists and clears the decoded images on disk."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.errors import ArraysError
from models.images.arrays import PARTIAL, lock_if_unused, open_arrays
from models.images.feature_file import END, open_features
from tasks.data.object_store import ABOUT
from tasks.errors import UserError
from tasks.languages import counted
from tasks.maintenance.disk_size import disk_size


@dataclass(frozen=True)
class CacheEntry:
    """A folder or file of the cache.

    Attributes
    ----------
    name : of the folder: ``VERSION-SIZE`` of images, with a digest and ``.features`` of features.
    pictures, image_size : number of images, and pixels per side; 0 if it is not whole.
    megabytes : size on disk.
    source : the name of the first image, which distinguishes datasets, the backbone of features, or
        a store's address.
    state : ``whole``, ``features`` of a backbone, ``damaged``, ``being written``,
        ``left by a killed writer``, ``an unpacked archive`` or ``copies of objects`` of a store.
    in_use : whether a study has it open.
    """

    path: Path
    name: str
    pictures: int
    image_size: int
    megabytes: float
    source: str
    state: str
    in_use: bool


def list_caches(cache: Path, unpacked: Path) -> list[CacheEntry]:
    """Return everything in the cache, largest first."""
    folders = [*cache.glob("*"), *unpacked.glob("*")]
    found = [_cache_entry(path, unpacked) for path in folders]
    return sorted(found, key=lambda c: -c.megabytes)


def _cache_entry(path: Path, unpacked: Path) -> CacheEntry:
    blank = CacheEntry(path, path.name, 0, 0, disk_size(path) / 1e6, "", "", in_use=False)
    if path.parent == unpacked and not (path / ABOUT).exists():
        return replace(blank, state="an unpacked archive")
    with lock_if_unused(path) as free:
        in_use = not free
    if path.parent == unpacked:
        try:
            url = str(json.loads((path / ABOUT).read_bytes())["url"])
        except (OSError, ValueError, TypeError, KeyError):
            return replace(blank, state="damaged", in_use=in_use)
        return replace(blank, source=url, state="copies of objects", in_use=in_use)
    if path.name.startswith(PARTIAL):
        state = "being written" if in_use else "left by a killed writer"
        return replace(blank, state=state, in_use=in_use)
    try:
        is_of_features = path.name.endswith(END)
        entry = _features_entry(path, blank) if is_of_features else _images_entry(path, blank)
    except ArraysError:
        entry = replace(blank, state="damaged")
    return replace(entry, in_use=in_use)


def _images_entry(path: Path, blank: CacheEntry) -> CacheEntry:
    """Describe decoded images; raise ArraysError if they are damaged."""
    arrays = open_arrays(path)
    return replace(
        blank,
        pictures=len(arrays.images),
        image_size=arrays.image_size,
        source=arrays.names[0],
        state="whole",
    )


def _features_entry(path: Path, blank: CacheEntry) -> CacheEntry:
    """Describe the features of a backbone; raise ArraysError if they are damaged."""
    features = open_features(path)
    return replace(
        blank,
        pictures=len(features.values),
        image_size=int(features.about["image_size"]),
        source=str(features.about["backbone"]),
        state="features",
    )


def clear_caches(caches: Sequence[CacheEntry]) -> list[CacheEntry]:
    """Remove entries that no study has open, and return the removed ones."""
    removed = []
    for cached in caches:
        if cached.path.is_file():
            cached.path.unlink(missing_ok=True)
            removed.append(cached)
            continue
        with lock_if_unused(cached.path) as free:
            if free:
                _delete(cached.path)
                removed.append(cached)
    return removed


def _delete(folder: Path) -> None:
    """Delete a folder.

    Raises
    ------
    UserError
        If the system refuses it.
    """
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be deleted ({error.strerror}); change its permissions, then run the "
            "same command again"
        ) from error


def caches_as_json(found: Sequence[CacheEntry], removed: Sequence[CacheEntry]) -> dict[str, Any]:
    """Return the entries that were found and removed as plain JSON types."""
    rows = [{**vars(c), "path": str(c.path), "removed": c in removed} for c in found]
    freed = sum(c.megabytes for c in removed)
    total = sum(c.megabytes for c in found)
    return {"caches": rows, "megabytes": total, "removed": len(removed), "freed_megabytes": freed}


def caches_as_text(found: Sequence[CacheEntry], removed: Sequence[CacheEntry]) -> str:
    """Return one line per entry that was found, and whether it was removed."""
    lines = [f"{len(found)} in the cache, {sum(c.megabytes for c in found):,.0f} MB"]
    for cached in found:
        what = (
            f"{counted(cached.pictures, 'picture')} at {cached.image_size} px"
            if cached.pictures
            else ""
        )
        notes = [what, cached.source, "in use" if cached.in_use else ""]
        description = "  ".join(note for note in (cached.state, *notes) if note)
        mark = "removed  " if cached in removed else ""
        lines.append(f"  {mark}{cached.megabytes:>9,.1f} MB  {cached.name}  {description}")
    return "\n".join(lines)
