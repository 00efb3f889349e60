"""The folders that a deployment may use: data, rules, and results of other machines.

The parameters of a deployment come over Prefect, from whoever may post them. They may name only
what the operator allows: in ``FACTORGRID_FOLDERS``, folders and addresses of object stores with the
path separator between them, and by `factorgrid deploy` at the worker's home, which records what its
study uses. At a terminal the user's own paths are free.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote

from filelock import FileLock

from tasks.data.source import url_of
from tasks.errors import DataError
from tasks.settings import read_settings
from tasks.whole_file import write_whole

FOLDERS = "FACTORGRID_FOLDERS"
#: The file in the home with what `factorgrid deploy` allowed: a list of places, as JSON.
FILE = "deployed-places.json"
#: An address with its port, or a path: the colons of an address separate nothing.
_PLACE = re.compile(r"[a-z][a-z0-9+.-]+://(?:\[[^\]]*\]|[^/:\[]*)(?::\d+(?=[/:]|$))?[^:]*|[^:]+")


def allowed_places(text: str) -> list[str]:
    """Return the folders, absolute, and the addresses that a text lists."""
    return [
        url_of(Path(part)) or str(Path(part).expanduser().absolute())
        for part in map(str.strip, _PLACE.findall(text))
        if part
    ]


def check_allowed(places: Mapping[str, Path | None]) -> None:
    """Refuse places that the operator does not allow.

    Parameters
    ----------
    places : the name of a parameter -> the path or address that it has; None if it has none.

    Raises
    ------
    DataError
        If one of them is not in an allowed folder.
    """
    home = read_settings().home
    allowed = [*allowed_places(os.environ.get(FOLDERS, "")), *recorded_places(home)]
    for name, place in places.items():
        if place is not None and not any(_is_in(place, folder) for folder in allowed):
            raise DataError(
                f"{name} {place}: a deployment may use only the folders and addresses in {FOLDERS} "
                f"({', '.join(allowed) or 'none'}); the operator lists them where `factorgrid up` "
                "or the worker is started, or runs `factorgrid deploy` with this home"
            )


def recorded_places(home: Path) -> list[str]:
    """Return what `factorgrid deploy` allowed in a home.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    file = home / FILE
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValueError):
        content = None
    if not isinstance(content, list) or not all(isinstance(place, str) for place in content):
        raise DataError(
            f"{file}: is not a list of places; remove it, then run `factorgrid deploy` again for "
            "each study"
        )
    return content


def record_places(home: Path, places: Iterable[Path]) -> list[str]:
    """Allow deployments of a home to use some places; return them as they are recorded."""
    added = [url_of(place) or str(place.expanduser().absolute()) for place in places]
    with FileLock(home / f"{FILE}.lock"):
        known = recorded_places(home)
        if missing := [place for place in added if place not in known]:
            text = json.dumps([*known, *missing], indent=1)
            write_whole(home / FILE, text, private=True)
    return added


def _is_in(place: Path, folder: str) -> bool:
    url = url_of(place)
    if url is None:
        is_path = url_of(Path(folder)) is None
        return is_path and place.expanduser().resolve().is_relative_to(Path(folder).resolve())
    decoded = url
    while (further := unquote(decoded)) != decoded:  # %252e%252e becomes %2e%2e, and then ..
        decoded = further
    # `::` chains one store to another, except in an IPv6 address.
    chained = "::" in re.sub(r"\[[0-9a-fA-F:]*\]", "", decoded)
    if ".." in re.split(r"[/\\]", decoded) or chained:
        return False
    return url == folder.rstrip("/") or url.startswith(f"{folder.rstrip('/')}/")
