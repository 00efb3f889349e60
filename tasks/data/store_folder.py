"""Finding and reading the pictures of a folder in an object store, from copies on this machine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.data.file_names import (
    NamesInReports,
    leaves_folder,
    reason_to_pass_over,
    size_fault,
)
from tasks.data.labels import label_entries
from tasks.data.object_store import LocalCopies, StoredObject, StoreLocation
from tasks.data.on_progress import OnProgress
from tasks.data.reason import Reason
from tasks.data.source import Entry, Source
from tasks.errors import UnreadableError


@dataclass
class LocalCopyReader:
    """Reads the copies of a store's objects; a copy never changes, because it is of one version."""

    copies: LocalCopies | None
    root: str = ""

    def __post_init__(self) -> None:
        if self.copies is not None:
            self.root = str(self.copies.folder)

    def __getstate__(self) -> dict[str, Any]:
        # The process that made the copies keeps the lock on them.
        return {"copies": None, "root": self.root}

    def read(self, entry: Entry) -> bytes:
        """Return an object's bytes."""
        try:
            return Path(self.root, entry.location).read_bytes()
        except OSError as error:
            raise UnreadableError("copy_cannot_be_read", message=error.strerror) from error


def find_in_store(location: StoreLocation, scratch: Path, progress: OnProgress | None) -> Source:
    """Find the pictures of a folder in an object store, and copy them to this machine.

    Objects that are not pictures are not copied.

    Parameters
    ----------
    scratch : the folder for copies.
    progress : called with the number of copies made.
    """
    found: list[Entry] = []
    passed_over: dict[str, Reason] = {}
    readable: dict[str, StoredObject] = {}
    names = NamesInReports()
    for item in location.list_objects():
        name, is_repeated = names.add(item.name)
        reason = reason_to_pass_over(item.name)
        if reason is None and not item.is_file:
            reason = Reason("not_a_file")
        if reason is not None:
            passed_over[name] = reason
            continue
        fault = Reason("leaves_folder") if leaves_folder(item.name) else size_fault(item.size)
        if is_repeated:
            fault = Reason("repeated_name")
        found.append(Entry(name, None, item.copy_name, item.copy_name, fault))
        if fault is None:
            readable[name] = item
    entries, notes = label_entries(found, passed_over, f"pictures {location.url}")
    wanted = [readable[entry.path] for entry in entries if not entry.fault]
    copies = location.copy_objects(wanted, scratch, progress)
    unavailable = {n for n, item in readable.items() if item.name in copies.unavailable}
    entries = [
        e._replace(fault=Reason("not_provided")) if e.path in unavailable else e for e in entries
    ]
    return Source(location.url, location.url, entries, passed_over, LocalCopyReader(copies), notes)
