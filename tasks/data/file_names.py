"""File names: which files are pictures, which names are safe, and how names are printed."""

import functools
import re
from collections import Counter
from pathlib import PurePosixPath

from tasks.data.reason import Reason
from tasks.escaping import printable

#: How the names of pictures end.
ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif")
#: How the names of pictures end that are in other formats, which are not read.
OTHER_ENDINGS = (
    *(".heic", ".heif", ".avif", ".tif", ".tiff", ".jp2", ".jxl", ".psd", ".dcm", ".ppm", ".pgm"),
    *(".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".raf", ".rw2", ".svg", ".tga", ".ico"),
)
#: Files that operating systems leave beside pictures: names of the file or of a folder above it.
SYSTEM = {"__macosx", "__pycache__", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin"}
#: Bytes of one picture file, at most.
MAX_FILE_BYTES = 256 * 2**20


class NamesInReports:
    """Gives each file of a source a name that can be printed and stored, and that no other has."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: str) -> tuple[str, bool]:
        """Return the name of a file, and whether another file before it has the same name.

        Two names may differ only in what cannot be printed; an archive may even repeat a name.
        """
        shown = printable(name)
        self._counts[shown] += 1
        n = self._counts[shown]
        return (f"{shown} (again, {n})", True) if n > 1 else (shown, False)


def leaves_folder(name: str) -> bool:
    """Whether a path leads out of the folder that it is relative to."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return ".." in parts or parts[:1] == ("/",) or re.match(r"^[A-Za-z]:", name) is not None


def size_fault(size: int) -> Reason | None:
    """Return why a file of this size (bytes) is not read; None if it is small enough."""
    if size <= MAX_FILE_BYTES:
        return None
    return Reason("too_large", {"bytes": size, "limit": MAX_FILE_BYTES})


def reason_to_pass_over(name: str) -> Reason | None:
    """Return why a file is passed over by its name; None if the name is a picture's."""
    folder, _, file = name.replace("\\", "/").rpartition("/")
    if _is_in_system_folder(folder) or _is_system(file):
        return Reason("system_file")
    return None if has_picture_ending(file) else Reason("not_a_picture_name")


@functools.lru_cache(4096)
def _is_in_system_folder(folder: str) -> bool:
    return any(_is_system(part) for part in folder.split("/"))


def _is_system(part: str) -> bool:
    """Whether a file or folder is hidden or belongs to an operating system."""
    return part.lower() in SYSTEM or (part[:1] == "." and bool(part.strip(".")))


def has_picture_ending(name: str) -> bool:
    """Whether a name ends like that of a picture."""
    return name.lower().endswith(ENDINGS)
