"""Finding and reading the pictures of a folder in an object store, from copies on this machine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.data.file_names import (
    MAX_MEMBER,
    leaves_folder,
    printable_name,
    too_large,
    why_not_a_picture,
)
from tasks.data.labels import label_entries
from tasks.data.object_store import ObjectCopies, OnProgress, Store
from tasks.data.source import Entry, Source
from tasks.errors import UnreadableError


@dataclass
class CopyReader:
    """Reads the copies of a store's objects, each of which is of one version for ever."""

    copies: ObjectCopies | None
    root: str = ""

    def __post_init__(self) -> None:
        if self.copies is not None:
            self.root = str(self.copies.folder)

    def __getstate__(self) -> dict[str, Any]:
        # The process that found them keeps hold of them.
        return {"copies": None, "root": self.root}

    def read(self, entry: Entry) -> bytes:
        """Return an object's bytes."""
        try:
            return Path(self.root, entry.where).read_bytes()
        except OSError as error:
            raise UnreadableError(f"its copy cannot be read: {error.strerror}") from error


def find_in_store(store: Store, scratch: Path, progress: OnProgress | None) -> Source:
    """Find a folder's pictures, and have copies of them here; of what is none, none is made."""
    found, passed, wanted = [], {}, {}
    for item in store.objects():
        name = printable_name(item.name)
        reason = why_not_a_picture(name) or ("" if item.is_file else "neither a file nor a folder")
        if reason:
            passed[name] = reason
            continue
        fault = "its path leaves the folder" if leaves_folder(item.name) else ""
        fault = fault or (too_large(item.size) if item.size > MAX_MEMBER else "")
        found.append(Entry(name, None, item.copy, item.copy, fault))
        if not fault:
            wanted[name] = item
    entries = label_entries(found, passed, f"--data {store.url}")
    copies = store.copies([wanted[e.path] for e in entries if not e.fault], scratch, progress)
    lost = {name for name, item in wanted.items() if item.name in copies.lost}
    kept = [e._replace(fault="the store lists it only") if e.path in lost else e for e in entries]
    return Source(store.url, store.url, kept, passed, CopyReader(copies))
