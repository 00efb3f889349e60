"""Pictures in an object store: brought to this machine once, whole, and read from there.

An archive is one copy. Of a folder every object is one, kept under a digest of its address and
version: no name of a store's becomes one of this machine's, and what is here is not brought again.
"""

import fcntl
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from tasks.errors import DataError

#: A protocol and what follows; a `Path` has kept one of its slashes.
URL = re.compile(r"^([a-z][a-z0-9+.-]+):/+(.+)$")
#: What stores say of an object's version, each under names of its own.
VERSION = ("etag", "content-md5", "digest", "mtime", "lastmodified", "last-modified", "created")
#: Objects of a folder that are brought at once: a store takes most of the time to answer.
THREADS = 16
#: Beside a folder's copies: what they are copies of, locked as shared by whoever reads them.
ABOUT, LOCK = "about.json", ".lock"

#: Told what is done, how much, of how many.
OnProgress = Callable[[str, int, int], None]


def address_of(path: Path) -> str | None:
    """Return the URL that a path was written as; None where it is a path."""
    found = URL.match(path.as_posix())
    if found is None:
        return None
    protocol, rest = found.groups()
    return f"{protocol}://{'/' if protocol in {'file', 'local'} else ''}{rest}"


@dataclass(frozen=True)
class Object:
    """One object below a folder in a store.

    Attributes
    ----------
    name : below the folder, with slashes; whatever the store's owner chose.
    size : bytes.
    copy : the name of its copy: a digest of its address and version.
    is_file : whether it is one; a store that is a disk has others as well.
    """

    name: str
    size: int
    copy: str
    is_file: bool


@dataclass(frozen=True)
class ObjectCopies:
    """The copies of a folder's objects, which stay as long as this is kept.

    Attributes
    ----------
    folder : has them.
    lost : names of objects that the store lists and does not give.
    hold : an open file, locked as shared.
    """

    folder: Path
    lost: frozenset[str]
    hold: io.BufferedReader


class Store:
    """An archive or a folder in an object store.

    Parameters
    ----------
    url : of any protocol that fsspec knows.

    Raises
    ------
    DataError
        If there is nothing, its store or its protocol's package cannot be had, or the address has a
        password.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.password is not None:
            bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
            raise DataError(
                f"--data {bare}: a password in the address would be kept in MLflow with the study; "
                "give credentials in the environment, as the store's package reads them"
            )
        self.url = url
        with explain_store_errors(f"--data {url}"):
            from fsspec.core import url_to_fs

            self._system, self._place = url_to_fs(url)
            self._about = self._now()

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, not an object."""
        return bool(self._about["type"] == "directory")

    def archive(self, folder: Path) -> Path:
        """Return the object's copy on this machine, made now unless it is there.

        Parameters
        ----------
        folder : gets the copy, named after the object's address and version, all of it or nothing.

        Raises
        ------
        DataError
            If it cannot be had, or changes while it is copied.
        """
        version = _version(self.url, self._about)[:16]
        target = folder / f"{version}-{PurePosixPath(urlsplit(self.url).path).name[-80:]}"
        if target.exists():
            return target
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".partial-{os.getpid()}-{target.name}"
        with (
            explain_store_errors(f"--data {self.url}"),
            self._brought(self._place, partial, self._about["size"]),
        ):
            if not _version(self.url, self._now()).startswith(version):
                raise self._changed("it")
            partial.replace(target)
        return target

    def objects(self) -> list[Object]:
        """Return what is below the folder, by name.

        Raises
        ------
        DataError
            If its store cannot be had.
        """
        with explain_store_errors(f"--data {self.url}"):
            self._system.invalidate_cache()
            listed = self._system.find(self._place, detail=True)
            root = f"{self._place.rstrip('/')}/"
            # What ends so is a mark that stores have for a folder.
            names = {path: path.removeprefix(root) for path in listed if not path.endswith("/")}
            return [
                Object(
                    name,
                    int(listed[path].get("size") or 0),
                    _version(f"{self.url}/{name}", listed[path]),
                    listed[path]["type"] == "file",
                )
                for path, name in sorted(names.items())
            ]

    def copies(
        self, wanted: Sequence[Object], scratch: Path, progress: OnProgress | None = None
    ) -> ObjectCopies:
        """Return the copies of objects on this machine, of which the missing ones are made now.

        What is whole stays when this is cut off; what is wanted no longer goes, unless another
        process reads it.

        Parameters
        ----------
        wanted : of `objects`.
        scratch : gets a folder for this one.
        progress : told how many are here.

        Raises
        ------
        DataError
            If one cannot be had, or changes while they are copied.
        """
        name = f"{_digest(self.url)[:16]}-{PurePosixPath(urlsplit(self.url).path).name[-80:]}"
        folder = scratch / name
        folder.mkdir(parents=True, exist_ok=True)
        with explain_store_errors(f"--data {self.url}"), FileLock(folder / LOCK):
            if not (folder / ABOUT).exists():
                partial = folder / f".partial-{ABOUT}"
                partial.write_text(json.dumps({"url": self.url}), encoding="utf-8")
                partial.replace(folder / ABOUT)
            hold = (folder / ABOUT).open("rb")
            try:
                _remove_others(folder, wanted, hold)
                fcntl.flock(hold, fcntl.LOCK_SH)
                missing = [item for item in wanted if _size(folder / item.copy) != item.size]
                lost = self._bring_all(missing, folder, progress)
            except BaseException:
                hold.close()  # an error's traceback would keep it
                raise
        return ObjectCopies(folder, lost, hold)

    def _bring_all(
        self, missing: Sequence[Object], folder: Path, progress: OnProgress | None
    ) -> frozenset[str]:
        """Bring objects, several at once; return the names of those that the store withholds."""
        if not missing:
            return frozenset()
        lost = set()
        with ThreadPoolExecutor(THREADS) as pool:
            jobs = {pool.submit(self._bring_one, item, folder): item for item in missing}
            try:
                for number, job in enumerate(as_completed(jobs), 1):
                    if not job.result():
                        lost.add(jobs[job].name)
                    if progress is not None:
                        progress("bringing pictures here", number, len(missing))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        now = {item.name: item.copy for item in self.objects()}
        changed = [item for item in missing if now.get(item.name) != item.copy]
        for item in changed:
            (folder / item.copy).unlink(missing_ok=True)
        if changed:
            raise self._changed(f"{len(changed):,} of its objects ({changed[0].name!r} first)")
        return frozenset(lost)

    def _bring_one(self, item: Object, folder: Path) -> bool:
        """Bring an object; say whether the store gives it."""
        place, partial = f"{self._place.rstrip('/')}/{item.name}", folder / f".partial-{item.copy}"
        try:
            with self._brought(place, partial, item.size):
                partial.replace(folder / item.copy)
        except FileNotFoundError:
            if not folder.exists():
                raise
            return False
        return True

    @contextmanager
    def _brought(self, place: str, partial: Path, size: int) -> Iterator[None]:
        """Copy an object to a file, which is gone after the block unless it was renamed."""
        try:
            self._system.get_file(place, str(partial))
            if partial.stat().st_size != size:
                raise self._changed("it")
            yield
        finally:
            partial.unlink(missing_ok=True)

    def _now(self) -> Mapping[str, Any]:
        # Packages remember what they have listed, as long as the process lives.
        self._system.invalidate_cache()
        about: Mapping[str, Any] = self._system.info(self._place)
        return about

    def _changed(self, what: str) -> DataError:
        return DataError(
            f"--data {self.url}: {what} changed while it was copied; run it again once nothing "
            "writes there"
        )


def _remove_others(folder: Path, wanted: Iterable[Object], hold: io.BufferedReader) -> None:
    """Remove copies that are wanted no longer, unless another process reads them."""
    try:
        fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    kept = {item.copy for item in wanted} | {ABOUT, LOCK}
    for file in folder.iterdir():
        if file.name not in kept:
            file.unlink()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _version(url: str, about: Mapping[str, Any]) -> str:
    """Return a digest that changes with the object, as far as its store tells."""
    told = {key.lower(): str(value) for key, value in about.items() if key.lower() in VERSION}
    return _digest(json.dumps([url, about.get("size"), told], sort_keys=True))[:32]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


@contextmanager
def explain_store_errors(what: str) -> Iterator[None]:
    """Turn whatever a protocol's package raises into a line for the user.

    Parameters
    ----------
    what : where the address was given, and the address.

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
            f"{what}: a package for this protocol is not installed ({error}); install it, or "
            "name a path"
        ) from error
    except FileNotFoundError as error:
        raise DataError(
            f"{what}: no such object, or its store does not answer; correct the address"
        ) from error
    except Exception as error:
        # Each protocol's package has errors of its own.
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise DataError(
            f"{what}: cannot be had ({said}); mend that, or correct the address, or its "
            "credentials in the environment"
        ) from error
