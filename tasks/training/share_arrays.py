"""Image arrays for machines that share no disk: uploaded to an object store once, downloaded there.

The machine that prepared the arrays calls `upload_arrays`; a worker on another machine calls
`download_arrays` with the address that it returned.
"""

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

#: The files of a cache. In a store the last one marks the cache as complete.
FILES = ("images.npy", "rows.npz", "about.json")
#: The name of incomplete downloads in the cache folder, which a killed worker may leave behind.
DOWNLOAD = "download"


def upload_arrays(folder: Path, share: str) -> str:
    """Upload a cache to a store, unless it is there already, and return its address.

    The address contains a digest of the cache: two caches of one dataset version may have their
    rows in different orders, and must not be mixed.

    Parameters
    ----------
    folder : the cache.
    share : a URL or absolute path of a folder; any protocol that fsspec supports.

    Raises
    ------
    DataError
        If the store cannot be used.
    """
    url = f"{share}/{folder.name}-{content_digest((folder / FILES[-1]).read_bytes())[:16]}"
    with explain_store_errors(f"FACTORGRID_SHARE {url}"):
        store, path = _open_store(url)
        for name in FILES:
            if _size(store, f"{path}/{name}") != (folder / name).stat().st_size:
                store.put_file(str(folder / name), f"{path}/{name}")
    return url


def download_arrays(url: str, settings: Settings) -> Path:
    """Return the folder of a cache in this machine's home, downloaded if it is missing.

    Parameters
    ----------
    url : the address that `upload_arrays` returned.
    settings : of this machine.

    Raises
    ------
    DataError
        If the store cannot be used, the disk is full, or the downloaded cache is damaged.
    """
    name = url.rpartition("/")[2].rpartition("-")[0]
    folder = settings.cache / name
    settings.cache.mkdir(parents=True, exist_ok=True)
    settings.locks.mkdir(parents=True, exist_ok=True)
    with (
        FileLock(settings.locks / f"{DOWNLOAD}-{name}.lock"),
        explain_store_errors(f"FACTORGRID_SHARE {url}"),
    ):
        if not is_complete(folder):
            remove_abandoned(settings.cache, DOWNLOAD)
            _download(url, folder)
    return folder


def _download(url: str, folder: Path) -> None:
    """Download a cache completely or not at all."""
    store, path = _open_store(url)
    partial = Path(tempfile.mkdtemp(prefix=f"{PARTIAL}{DOWNLOAD}-", dir=folder.parent))
    try:
        with (partial / FILES[0]).open("wb") as locked:
            # Locked while it is written: incomplete caches without a lock are removed.
            fcntl.flock(locked, fcntl.LOCK_EX)
            for name in FILES:
                store.get_file(f"{path}/{name}", str(partial / name))
        if not is_complete(partial):
            raise DataError(
                f"FACTORGRID_SHARE {url}: damaged in the store or during the download; delete it "
                "in the store: the next study uploads it again"
            )
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _open_store(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path in it."""
    from fsspec.core import url_to_fs
    from fsspec.implementations.local import LocalFileSystem

    store, path = url_to_fs(url)
    if isinstance(store, LocalFileSystem):  # object stores have no folders to create
        store.makedirs(path, exist_ok=True)
    store.invalidate_cache()
    return store, str(path)


def _size(store: Any, path: str) -> int:
    """Return the size of a file in a store, bytes; -1 if it is missing."""
    try:
        return int(store.info(path)["size"])
    except FileNotFoundError:
        return -1
