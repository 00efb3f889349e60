"""Arrays for machines that share no disk: put in an object store once, and brought from there."""

import fcntl
import shutil
import tempfile
from pathlib import Path
from typing import Any

from filelock import FileLock

from models.images.arrays import PARTIAL, remove_abandoned
from models.images.split import content_digest
from tasks.data.cache import is_complete
from tasks.data.object_store import explain_store_errors
from tasks.errors import DataError
from tasks.settings import Settings

#: What a cache consists of; in a store the last one marks it as whole.
FILES = ("images.npy", "rows.npz", "about.json")
#: Marks what a killed worker leaves of a cache on its way.
OWNER = "brought"


def offer(folder: Path, share: str) -> str:
    """Put a cache into a store, unless it is there, and return its address.

    The address has a digest of the cache: two of one dataset version may have their rows in
    different orders, and are not mixed.

    Parameters
    ----------
    folder : the cache.
    share : a URL or absolute path of a folder; any protocol of fsspec's.

    Raises
    ------
    DataError
        If the store cannot be had.
    """
    url = f"{share}/{folder.name}-{content_digest((folder / FILES[-1]).read_bytes())[:16]}"
    with explain_store_errors(f"FACTORGRID_SHARE {url}"):
        system, place = _open(url)
        for name in FILES:
            if _size(system, f"{place}/{name}") != (folder / name).stat().st_size:
                system.put_file(str(folder / name), f"{place}/{name}")
    return url


def bring(url: str, settings: Settings) -> Path:
    """Return a cache's copy in the cache of this machine's own home, brought once.

    Parameters
    ----------
    url : where `offer` put it.
    settings : of this machine.

    Raises
    ------
    DataError
        If the store cannot be had, the disk is full, or what came is damaged.
    """
    name = url.rpartition("/")[2].rpartition("-")[0]
    folder = settings.cache / name
    settings.cache.mkdir(parents=True, exist_ok=True)
    settings.locks.mkdir(parents=True, exist_ok=True)
    with (
        FileLock(settings.locks / f"brought-{name}.lock"),
        explain_store_errors(f"FACTORGRID_SHARE {url}"),
    ):
        if not is_complete(folder):
            remove_abandoned(settings.cache, OWNER)
            _bring(url, folder)
    return folder


def _bring(url: str, folder: Path) -> None:
    """Copy a cache whole or not at all."""
    system, place = _open(url)
    partial = Path(tempfile.mkdtemp(prefix=f"{PARTIAL}{OWNER}-", dir=folder.parent))
    try:
        with (partial / FILES[0]).open("wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)  # else it looks as if nobody wrote it
            for name in FILES:
                system.get_file(f"{place}/{name}", str(partial / name))
        if not is_complete(partial):
            raise DataError(
                f"FACTORGRID_SHARE {url}: damaged, there or on its way; delete it there: the next "
                "study puts it there again"
            )
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _open(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs
    from fsspec.implementations.local import LocalFileSystem

    system, place = url_to_fs(url)
    if isinstance(system, LocalFileSystem):  # stores have no folders to be made
        system.makedirs(place, exist_ok=True)
    system.invalidate_cache()
    return system, str(place)


def _size(system: Any, place: str) -> int:
    try:
        return int(system.info(place)["size"])
    except FileNotFoundError:
        return -1
