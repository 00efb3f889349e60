"""The folders that a deployment may use: data, rules, and results of other machines.

The parameters of a deployment come over Prefect, from whoever may post them. They may name only
what the operator allows in ``FACTORGRID_FOLDERS``: folders, and addresses of object stores, with
the path separator between them. At a terminal the user's own paths are free.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from tasks.data.source import url_of
from tasks.errors import DataError

FOLDERS = "FACTORGRID_FOLDERS"


def allowed_places(text: str) -> list[str]:
    """Return the folders, absolute, and the addresses that a text lists."""
    # The colon of an address separates nothing.
    parts = re.split(rf"{re.escape(os.pathsep)}(?!//)", text)
    return [
        url_of(Path(part)) or str(Path(part).expanduser().absolute())
        for part in map(str.strip, parts)
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
    allowed = allowed_places(os.environ.get(FOLDERS, ""))
    for name, place in places.items():
        if place is not None and not any(_is_in(place, folder) for folder in allowed):
            raise DataError(
                f"{name} {place}: a deployment may use only the folders and addresses in {FOLDERS} "
                f"({', '.join(allowed) or 'none'}); the operator lists them where `factorgrid up` "
                "or the worker is started"
            )


def _is_in(place: Path, folder: str) -> bool:
    url = url_of(place)
    if url is None:
        is_path = url_of(Path(folder)) is None
        return is_path and place.expanduser().resolve().is_relative_to(Path(folder).resolve())
    if ".." in url.split("/") or "::" in url:  # `::` chains one store to another
        return False
    return url == folder.rstrip("/") or url.startswith(f"{folder.rstrip('/')}/")
