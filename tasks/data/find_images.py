"""Finding pictures: folders and zips, in the layouts that Dogs vs Cats comes in.

Nothing is unpacked but an archive inside an archive. What is found is either a picture (an
`Entry`, which validation accepts or quarantines) or passed over with a reason: nothing is dropped.
"""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tasks.data.folder import find_in_folder
from tasks.data.garbage_collection import rare_garbage_collection
from tasks.data.object_store import OnProgress, Store, address_of
from tasks.data.source import BAD_ZIP, Source
from tasks.data.store_folder import find_in_store
from tasks.data.zip_archive import find_in_zip, innermost_archive
from tasks.errors import DataError


@rare_garbage_collection()
def find_images(path: Path, scratch: Path, progress: OnProgress | None = None) -> Source:
    """Find the pictures of a folder or zip.

    Parameters
    ----------
    path : a folder, a zip, or a zip with ``train.zip`` inside; one in an object store by URL.
    scratch : where an archive inside an archive is unpacked to, and what is in a store is copied
        to, once.
    progress : told what is done, how much, of how many.

    Raises
    ------
    DataError
        If there is nothing, no zip, or no layout that says which picture is of which class.
    """
    url = address_of(path)
    if url is None:
        return _find(path, scratch)
    store = Store(url)
    if store.is_folder:
        return find_in_store(store, scratch, progress)
    # Its key is the address, so that drift is measured from one version to the next.
    return replace(_find(store.archive(scratch), scratch), words=url, key=url)


def check_source(path: Path) -> None:
    """Check at once what needs no search: that a source is there, and a folder or a zip.

    Raises
    ------
    DataError
        If it is not.
    """
    url = address_of(path)
    if url is not None:
        Store(url)
        return
    with _errors_as_lines(path):
        if not path.exists():
            raise DataError(
                f"--data {path}: no such file or folder; name a folder or zip of pictures"
            )
        if path.is_dir():
            return
        if not path.is_file():  # a pipe would be waited for without end
            raise DataError(
                f"--data {path}: neither a file nor a folder; name a folder or zip of pictures"
            )
        zipfile.ZipFile(path).close()


def _find(path: Path, scratch: Path) -> Source:
    check_source(path)
    with _errors_as_lines(path):
        if path.is_dir():
            return find_in_folder(path)
        return find_in_zip(path, innermost_archive(path, scratch))


@contextmanager
def _errors_as_lines(path: Path) -> Iterator[None]:
    """Turn what a damaged zip or an unreadable path raises into one line for the user."""
    try:
        yield
    except BAD_ZIP as error:
        raise DataError(
            f"--data {path}: not a zip, or a damaged one ({error}); name a folder or a whole zip "
            "of pictures"
        ) from error
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise DataError(
            f"--data {path}: {error.strerror or error}{where}; correct this, then run it again"
        ) from error
