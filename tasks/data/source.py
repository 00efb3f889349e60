"""A source of pictures: the pictures that were found in it, and what reads them."""

import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from tasks.data.reason import Reason

#: A protocol and the rest of a URL; in a `Path` only one of the two slashes is left.
URL = re.compile(r"^([a-z][a-z0-9+.-]+):/+(.+)$")
#: The exceptions that zipfile raises if a file is not a zip, or one that it cannot read.
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
    """A picture that was found in a source.

    Attributes
    ----------
    path : its path below the source, with slashes; reports and exclusion lists name it by this.
    label : its class; None if neither its folder nor its name gives one.
    stamp : changes when the content changes, as far as that is known without reading the picture.
    location : what its reader needs to find it: a path, or the number of a zip member.
    fault : why it must not be read; None if it can be read.
    """

    path: str
    label: str | None
    stamp: str
    location: str
    fault: Reason | None = None


class Reader(Protocol):
    """Reads pictures. It is pickled to other processes, and opens its files there."""

    def read(self, entry: Entry) -> bytes:
        """Return a picture's bytes, or raise `UnreadableError`."""
        ...


@dataclass(frozen=True)
class Source:
    """Where pictures come from.

    Attributes
    ----------
    description : for people: a path, a URL, or which pictures were drawn.
    key : identifies the source; the same each time that it is searched.
    entries : the pictures found.
    passed_over : file -> why it is not a picture.
    reader : reads the entries.
    notes : what was taken for a class and what was not, where that is not obvious.
    """

    description: str
    key: str
    entries: list[Entry]
    passed_over: dict[str, Reason]
    reader: Reader
    notes: tuple[Reason, ...] = ()


def url_of(path: Path) -> str | None:
    """Return the URL that a path was written as; None if it is a path."""
    found = URL.match(path.as_posix())
    if found is None:
        return None
    protocol, rest = found.groups()
    return f"{protocol}://{'/' if protocol in {'file', 'local'} else ''}{rest}"


def source_key(path: Path) -> str:
    """Return the key of the source at a path: the absolute path, or the URL."""
    return url_of(path) or str(path.resolve())
