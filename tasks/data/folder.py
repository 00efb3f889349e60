"""Finding and reading the pictures of a folder."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.data.file_names import MAX_MEMBER, printable_name, too_large, why_not_a_picture
from tasks.data.labels import label_entries
from tasks.data.source import Entry, Source, source_key
from tasks.errors import UnreadableError


@dataclass
class FolderReader:
    """Reads files, and notices where one is no longer what was found."""

    root: str

    def read(self, entry: Entry) -> bytes:
        """Return a file's bytes."""
        try:
            data, now = _read_file(f"{self.root}/{entry.where}", int(entry.stamp.split("-")[0]))
        except FileNotFoundError as error:
            raise UnreadableError("vanished while the folder was read") from error
        except OSError as error:
            raise UnreadableError(f"cannot be read: {error.strerror}") from error
        if now != entry.stamp:
            raise UnreadableError("changed while the folder was read")
        return data


def find_in_folder(root: Path) -> Source:
    """Find the pictures below a folder."""
    found, passed = [], {}
    for where, about in sorted(_walk(str(root))):
        name = printable_name(where)
        reason = why_not_a_picture(name)
        if not stat.S_ISREG(about.st_mode):
            reason = reason or "neither a file nor a folder"
        if reason:
            passed[name] = reason
            continue
        fault = too_large(about.st_size) if about.st_size > MAX_MEMBER else ""
        found.append(Entry(name, None, _file_stamp(about), where, fault))
    entries = label_entries(found, passed, f"--data {root}")
    return Source(str(root), source_key(root), entries, passed, FolderReader(str(root)))


def _walk(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every file below a folder; links are followed, in circles once."""
    top = Path(root).stat()
    folders, seen = [""], {(top.st_dev, top.st_ino)}
    while folders:
        folder = folders.pop()
        with os.scandir(Path(root, folder)) as files:
            for file in files:
                where = f"{folder}/{file.name}" if folder else file.name
                try:
                    about = file.stat()
                except OSError:
                    yield where, file.stat(follow_symlinks=False)  # a link to nothing
                    continue
                if not stat.S_ISDIR(about.st_mode):
                    yield where, about
                elif (about.st_dev, about.st_ino) not in seen:
                    seen.add((about.st_dev, about.st_ino))
                    folders.append(where)


def _read_file(path: str, size: int) -> tuple[bytes, str]:
    """Return a file's bytes, of which there should be so many, and its stamp once they are read."""
    file = os.open(path, os.O_RDONLY)  # a file object takes as long as the reading
    try:
        data = os.read(file, size + 1)
        while len(data) < size and (more := os.read(file, size - len(data))):
            data += more
        return data, _file_stamp(os.fstat(file))
    finally:
        os.close(file)


def _file_stamp(about: os.stat_result) -> str:
    return f"{about.st_size}-{about.st_mtime_ns}"
