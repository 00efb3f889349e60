"""File names: which ones are pictures, which are safe, and how they are printed."""

import functools
import re
from pathlib import PurePosixPath

ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif")
#: What systems leave beside pictures, by name of the file or of a folder above it.
SYSTEM = {"__macosx", "__pycache__", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin"}
#: Bytes of one picture, unpacked.
MAX_MEMBER = 256 * 2**20


def printable_name(name: str) -> str:
    """Return a name that can be printed and stored, whatever its bytes are."""
    if name.isascii():
        return name
    return re.sub("[\ud800-\udfff]", lambda found: f"%{ord(found[0]) & 0xFF:02X}", name)


def leaves_folder(name: str) -> bool:
    """Whether a name leads out of where it is."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return ".." in parts or parts[:1] == ("/",) or re.match(r"^[A-Za-z]:", name) is not None


def too_large(size: int) -> str:
    """Return why a file of this size (bytes) is not read."""
    return f"too large: {size:,} bytes; at most {MAX_MEMBER:,} are read"


def why_not_a_picture(name: str) -> str:
    """Return why a file is passed over; empty where it looks like a picture."""
    folder, _, file = name.replace("\\", "/").rpartition("/")
    if _is_hidden(folder) or _is_system(file):
        return "left by a system, or hidden"
    return "" if has_picture_ending(file) else "not a picture, by its name"


@functools.lru_cache(4096)
def _is_hidden(folder: str) -> bool:
    return any(_is_system(part) for part in folder.split("/"))


def _is_system(part: str) -> bool:
    return part.lower() in SYSTEM or (part[:1] == "." and bool(part.strip(".")))


def has_picture_ending(name: str) -> bool:
    """Whether a name ends as a picture's does."""
    return name.lower().endswith(ENDINGS)
