"""Archives and folders in an object store: copied to this machine once, and read from the copies.

An archive is one copy. A folder is one copy per object, named by a digest of the object's URL and
version: a name from the store never becomes a file name here, and a version that was copied before
is not copied again.
"""

import fcntl
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from tasks.credentials import with_signature
from tasks.data.on_progress import OnProgress
from tasks.errors import DataError
from tasks.redaction import SIGNED_URLS, has_secret, redact, without_password
from tasks.whole_file import write_whole

#: The names under which different stores give the version of an object.
VERSION_KEYS = (
    "etag",
    "content-md5",
    "digest",
    "mtime",
    "lastmodified",
    "last-modified",
    "created",
)
#: Objects of a folder that are copied at the same time: most of the time is waiting for the store.
THREADS = 16
#: Files beside a folder's copies: which URL they are copies of (every process that reads them holds
#: a shared lock on it), and the lock of the process that makes them.
ABOUT, LOCK = "about.json", ".lock"


@dataclass(frozen=True)
class StoredObject:
    """One object below a folder in an object store.

    Attributes
    ----------
    name : its path below the folder, with slashes, as the store has it: it may be hostile.
    size : bytes.
    copy_name : the file name of its copy: a digest of its URL and version.
    is_file : whether it is a file; a store that is a disk also has other kinds.
    """

    name: str
    size: int
    copy_name: str
    is_file: bool


@dataclass(frozen=True)
class LocalCopies:
    """Copies of a folder's objects on this machine, which are kept as long as this object lives.

    Attributes
    ----------
    folder : the folder of the copies.
    unavailable : names of objects that the store lists but does not provide.
    shared_lock : an open file with a shared lock, which keeps other processes from removing copies.
    """

    folder: Path
    unavailable: frozenset[str]
    shared_lock: io.BufferedReader


class StoreLocation:
    """An archive or a folder in an object store.

    Parameters
    ----------
    url : of any protocol that fsspec supports.

    Raises
    ------
    DataError
        If nothing is there, if the store or the protocol's package is not available, or if the URL
        has a password, a token or a signature.
    """

    def __init__(self, url: str) -> None:
        if has_secret(url):
            raise DataError(
                f"pictures {without_password(url)}: a password, token or signature in the address "
                "would be kept in MLflow with the study; give credentials in the environment, as "
                f"the store's package reads them, or the whole signed address in {SIGNED_URLS}"
            )
        self.url = url
        with explain_store_errors(f"pictures {url}"):
            from fsspec.core import url_to_fs

            self._system, self._path = url_to_fs(with_signature(url))
            self._info = self._current_info()

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, not an object."""
        return bool(self._info["type"] == "directory")

    def copy_archive(self, folder: Path) -> Path:
        """Return the copy of the object on this machine, and make it if it is missing.

        Parameters
        ----------
        folder : gets the copy, complete or not at all, named after the object's URL and version.

        Raises
        ------
        DataError
            If the object is not available, or changes while it is copied.
        """
        version = _version_digest(self.url, self._info)[:16]
        target = folder / f"{version}-{PurePosixPath(urlsplit(self.url).path).name[-80:]}"
        if target.exists():
            return target
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".partial-{os.getpid()}-{target.name}"
        with (
            explain_store_errors(f"pictures {self.url}"),
            self._temporary_copy(self._path, partial, self._info["size"]),
        ):
            if not _version_digest(self.url, self._current_info()).startswith(version):
                raise self._changed_error("it")
            partial.replace(target)
        return target

    def list_objects(self) -> list[StoredObject]:
        """Return the objects below the folder, sorted by name.

        Raises
        ------
        DataError
            If the store is not available.
        """
        with explain_store_errors(f"pictures {self.url}"):
            self._system.invalidate_cache()
            listed = self._system.find(self._path, detail=True)
            root = f"{self._path.rstrip('/')}/"
            # An object whose name ends with a slash stands for a folder.
            names = {path: path.removeprefix(root) for path in listed if not path.endswith("/")}
            return [
                StoredObject(
                    name,
                    int(listed[path].get("size") or 0),
                    _version_digest(f"{self.url}/{name}", listed[path]),
                    listed[path]["type"] == "file",
                )
                for path, name in sorted(names.items())
            ]

    def copy_objects(
        self, wanted: Sequence[StoredObject], scratch: Path, progress: OnProgress | None = None
    ) -> LocalCopies:
        """Return the copies of objects on this machine, and make those that are missing.

        Complete copies are kept if this is interrupted. Copies that are no longer wanted are
        removed, unless another process reads them.

        Parameters
        ----------
        wanted : some of `list_objects`.
        scratch : the folder in which this location's copies get a folder.
        progress : called with the number of copies made.

        Raises
        ------
        DataError
            If an object is not available, or changes while the objects are copied.
        """
        name = f"{_digest(self.url)[:16]}-{PurePosixPath(urlsplit(self.url).path).name[-80:]}"
        folder = scratch / name
        folder.mkdir(parents=True, exist_ok=True)
        with explain_store_errors(f"pictures {self.url}"), FileLock(folder / LOCK):
            if not (folder / ABOUT).exists():
                write_whole(folder / ABOUT, json.dumps({"url": self.url}))
            about = (folder / ABOUT).open("rb")
            try:
                _remove_unwanted(folder, wanted, about)
                fcntl.flock(about, fcntl.LOCK_SH)
                missing = [
                    item for item in wanted if _file_size(folder / item.copy_name) != item.size
                ]
                unavailable = self._copy_all(missing, folder, progress)
            except BaseException:
                about.close()  # the traceback of the exception would keep it open
                raise
        return LocalCopies(folder, unavailable, about)

    def _copy_all(
        self, missing: Sequence[StoredObject], folder: Path, progress: OnProgress | None
    ) -> frozenset[str]:
        """Copy objects in parallel; return the names of those that the store does not provide."""
        if not missing:
            return frozenset()
        unavailable = set()
        with ThreadPoolExecutor(THREADS) as pool:
            jobs = {pool.submit(self._copy_one, item, folder): item for item in missing}
            try:
                for number, job in enumerate(as_completed(jobs), 1):
                    if not job.result():
                        unavailable.add(jobs[job].name)
                    if progress is not None:
                        progress("copying pictures", number, len(missing))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        current = {item.name: item.copy_name for item in self.list_objects()}
        changed = [item for item in missing if current.get(item.name) != item.copy_name]
        for item in changed:
            (folder / item.copy_name).unlink(missing_ok=True)
        if changed:
            raise self._changed_error(
                f"{len(changed):,} of its objects ({changed[0].name!r} first)"
            )
        return frozenset(unavailable)

    def _copy_one(self, item: StoredObject, folder: Path) -> bool:
        """Copy an object; return whether the store provides it."""
        path = f"{self._path.rstrip('/')}/{item.name}"
        partial = folder / f".partial-{item.copy_name}"
        try:
            with self._temporary_copy(path, partial, item.size):
                partial.replace(folder / item.copy_name)
        except FileNotFoundError:
            if not folder.exists():
                raise
            return False
        return True

    @contextmanager
    def _temporary_copy(self, path: str, partial: Path, size: int) -> Iterator[None]:
        """Copy an object to a file, which is removed after the block unless it was renamed."""
        try:
            self._system.get_file(path, str(partial))
            if partial.stat().st_size != size:
                raise self._changed_error("it")
            yield
        finally:
            partial.unlink(missing_ok=True)

    def _current_info(self) -> Mapping[str, Any]:
        # The packages cache listings for the lifetime of the process.
        self._system.invalidate_cache()
        info: Mapping[str, Any] = self._system.info(self._path)
        return info

    def _changed_error(self, what: str) -> DataError:
        return DataError(
            f"pictures {self.url}: {what} changed while it was copied; run the command again when "
            "nothing writes there"
        )


def _remove_unwanted(
    folder: Path, wanted: Iterable[StoredObject], about: io.BufferedReader
) -> None:
    """Remove copies that are no longer wanted, unless another process reads them."""
    try:
        fcntl.flock(about, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    kept = {item.copy_name for item in wanted} | {ABOUT, LOCK}
    for file in folder.iterdir():
        if file.name not in kept:
            file.unlink()


def _file_size(path: Path) -> int:
    """Return the size of a file in bytes; -1 if it is missing."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _version_digest(url: str, info: Mapping[str, Any]) -> str:
    """Return a digest that changes when the object changes, as far as its store reports that."""
    version = {
        key.lower(): str(value) for key, value in info.items() if key.lower() in VERSION_KEYS
    }
    return _digest(json.dumps([url, info.get("size"), version], sort_keys=True))[:32]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


@contextmanager
def explain_store_errors(what: str) -> Iterator[None]:
    """Turn whatever a protocol's package raises into one line for the user.

    Parameters
    ----------
    what : the option or setting with the address, and the address.

    Raises
    ------
    DataError
        That line.
    """
    try:
        yield
    except DataError:
        raise
    except ImportError as error:
        raise DataError(
            f"{what}: a package for this protocol is not installed "
            f"({redact(str(error))}); install it, or name a path"
        ) from error
    except FileNotFoundError as error:
        raise DataError(
            f"{what}: no such object, or its store does not answer; correct the address"
        ) from error
    except Exception as error:
        # Each protocol's package has its own exceptions.
        message = redact(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
        raise DataError(
            f"{what}: not available ({message}); fix that, or correct the address, or its "
            "credentials in the environment"
        ) from error
