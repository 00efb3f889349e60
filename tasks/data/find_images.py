"""Finding pictures in a folder, a zip or an object store, in the layouts of Dogs vs Cats.

Only an archive inside an archive is unpacked. Each file that is found is either a picture (an
`Entry`, which validation accepts or quarantines) or passed over with a reason: none is dropped
silently.
"""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tasks.data.folder import find_in_folder, picture_names
from tasks.data.garbage_collection import rare_garbage_collection
from tasks.data.labels import may_have_two_classes
from tasks.data.object_store import StoreLocation
from tasks.data.on_progress import OnProgress
from tasks.data.source import BAD_ZIP, Source, url_of
from tasks.data.store_folder import find_in_store
from tasks.data.zip_archive import find_in_zip, innermost_archive, member_names
from tasks.errors import DataError


@rare_garbage_collection()
def find_images(path: Path, scratch: Path, progress: OnProgress | None = None) -> Source:
    """Find the pictures of a folder or zip.

    Parameters
    ----------
    path : a folder, a zip, a zip with ``train.zip`` inside, or the URL of one in an object store.
    scratch : the folder to which an archive inside an archive is unpacked, and to which objects of
        a store are copied.
    progress : called with the number of objects copied.

    Raises
    ------
    DataError
        If nothing is there, if it is not a zip, or if its layout does not give classes.
    """
    url = url_of(path)
    if url is None:
        return _find_on_this_machine(path, scratch)
    location = StoreLocation(url)
    if location.is_folder:
        return find_in_store(location, scratch, progress)
    source = _find_on_this_machine(location.copy_archive(scratch), scratch)
    # The key is the URL, so that drift is measured from one version to the next.
    return replace(source, description=url, key=url)


def check_source(path: Path, scratch: Path) -> None:
    """Check quickly that a source is there and has pictures of two classes.

    The names are read only until two classes are seen. A source that does not seem to have them is
    searched as a whole, which raises the error that says why.

    Parameters
    ----------
    scratch : as for `find_images`.

    Raises
    ------
    DataError
        If it cannot be used.
    """
    url = url_of(path)
    if url is not None:
        StoreLocation(url)
        return
    _check_path(path)
    with _explain_file_errors(path):
        names = picture_names(path) if path.is_dir() else iter(member_names(path))
        usable = may_have_two_classes(names)
    if not usable:
        _find_on_this_machine(path, scratch)


def _check_path(path: Path) -> None:
    with _explain_file_errors(path):
        if not path.exists():
            raise DataError(
                f"pictures {path}: no such file or folder; name a folder or zip of pictures"
            )
        if path.is_dir():
            return
        if not path.is_file():  # reading a pipe would wait without end
            raise DataError(
                f"pictures {path}: neither a file nor a folder; name a folder or zip of pictures"
            )
        zipfile.ZipFile(path).close()


def _find_on_this_machine(path: Path, scratch: Path) -> Source:
    _check_path(path)
    with _explain_file_errors(path):
        if path.is_dir():
            return find_in_folder(path)
        return find_in_zip(path, innermost_archive(path, scratch))


@contextmanager
def _explain_file_errors(path: Path) -> Iterator[None]:
    """Turn what a damaged zip or an unreadable path raises into one line for the user."""
    try:
        yield
    except BAD_ZIP as error:
        raise DataError(
            f"pictures {path}: not a zip, or a damaged one ({error}); name a folder or an "
            "undamaged zip of pictures"
        ) from error
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise DataError(
            f"pictures {path}: {error.strerror or error}{where}; fix this, then run the command "
            "again"
        ) from error
