"""Finding and reading the pictures of a folder on this machine."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.data.file_names import NamesInReports, reason_to_pass_over, size_fault
from tasks.data.labels import label_entries
from tasks.data.reason import Reason
from tasks.data.source import Entry, Source, source_key
from tasks.errors import UnreadableError


@dataclass
class FolderReader:
    """Reads files, and reports a file that has changed since it was found."""

    root: str

    def read(self, entry: Entry) -> bytes:
        """Return a file's bytes."""
        size = int(entry.stamp.split("-")[0])
        try:
            data, stamp = _read_file(f"{self.root}/{entry.location}", size)
        except FileNotFoundError as error:
            raise UnreadableError("vanished") from error
        except OSError as error:
            raise UnreadableError("cannot_be_read", message=error.strerror) from error
        if stamp != entry.stamp:
            raise UnreadableError("changed")
        return data


def find_in_folder(root: Path) -> Source:
    """Find the pictures below a folder."""
    found: list[Entry] = []
    passed_over: dict[str, Reason] = {}
    names = NamesInReports()
    for location, status in sorted(_walk(str(root))):
        name, is_repeated = names.add(location)
        reason = reason_to_pass_over(location)
        if reason is None and not stat.S_ISREG(status.st_mode):
            reason = Reason("not_a_file")
        if reason is not None:
            passed_over[name] = reason
            continue
        fault = Reason("repeated_name") if is_repeated else size_fault(status.st_size)
        found.append(Entry(name, None, _file_stamp(status), location, fault))
    entries, notes = label_entries(found, passed_over, f"pictures {root}")
    return Source(str(root), source_key(root), entries, passed_over, FolderReader(str(root)), notes)


def picture_names(root: Path) -> Iterator[str]:
    """Yield the names of the pictures below a folder, in no order."""
    return (name for name, _ in _walk(str(root)) if not reason_to_pass_over(name))


def _walk(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every file below a folder; links are followed, each folder only once."""
    top = Path(root).stat()
    folders, seen = [""], {(top.st_dev, top.st_ino)}
    while folders:
        folder = folders.pop()
        with os.scandir(Path(root, folder)) as files:
            for file in files:
                location = f"{folder}/{file.name}" if folder else file.name
                try:
                    status = file.stat()
                except OSError:
                    yield location, file.stat(follow_symlinks=False)  # a broken link
                    continue
                if not stat.S_ISDIR(status.st_mode):
                    yield location, status
                elif (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    folders.append(location)


def _read_file(path: str, size: int) -> tuple[bytes, str]:
    """Return a file's bytes and its stamp after they were read; `size` is the expected length."""
    file = os.open(path, os.O_RDONLY)  # opening a file object takes as long as reading the file
    try:
        data = os.read(file, size + 1)
        while len(data) < size and (more := os.read(file, size - len(data))):
            data += more
        return data, _file_stamp(os.fstat(file))
    finally:
        os.close(file)


def _file_stamp(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"
