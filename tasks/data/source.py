"""A source of pictures: what was found in it, and how each picture is read."""

import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from tasks.data.object_store import address_of

#: What zipfile raises where bytes are no zip, or one that it cannot read.
BAD_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    RuntimeError,
    ValueError,
    OverflowError,
    EOFError,
)


class Entry(NamedTuple):
    """A picture that was found.

    Attributes
    ----------
    path : its name below the source, with slashes; what reports and exclusion lists call it.
    label : its class; None where nothing says which.
    stamp : changes when its content does, as far as that is known without reading it.
    where : what its reader needs: a path, or a member's number.
    fault : why it must not be read; empty where it may.
    """

    path: str
    label: str | None
    stamp: str
    where: str
    fault: str = ""


class Reader(Protocol):
    """Reads pictures; it is sent to other processes and opens what it needs there."""

    def read(self, entry: Entry) -> bytes:
        """Return a picture's bytes, or raise `UnreadableError`."""
        ...


@dataclass(frozen=True)
class Source:
    """Where pictures are.

    Attributes
    ----------
    words : for people: a path, or what was drawn.
    key : the same from pass to pass.
    entries : the pictures found.
    passed_over : file -> why it is none.
    """

    words: str
    key: str
    entries: list[Entry]
    passed_over: dict[str, str]
    reader: Reader


def source_key(path: Path) -> str:
    """Return what a source is called from pass to pass: its own place, or its address."""
    return address_of(path) or str(path.resolve())
