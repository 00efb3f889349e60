"""The size of files that other processes may remove at the same time."""

import os
from pathlib import Path


def disk_size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; those that are gone count as 0."""
    # `Path.rglob` ends with an error if a folder is removed while it is read; `os.walk` goes on.
    files = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    return _file_size(path) if path.is_file() else sum(map(_file_size, files))


def _file_size(file: Path) -> int:
    try:
        return file.lstat().st_size
    except OSError:
        return 0
