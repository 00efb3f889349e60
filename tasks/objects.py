"""Pictures in an object store: their archive is copied here once, whole, and read from there."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from tasks.errors import DataError

#: A protocol and what follows; a `Path` has kept one of its slashes.
URL = re.compile(r"^([a-z][a-z0-9+.-]+):/+(.+)$")
#: What stores say of an object's version, each under names of its own.
VERSION = ("etag", "content-md5", "digest", "mtime", "lastmodified", "last-modified", "created")


def address_of(path: Path) -> str | None:
    """Return the URL that a path was written as; None where it is a path."""
    found = URL.match(path.as_posix())
    if found is None:
        return None
    protocol, rest = found.groups()
    return f"{protocol}://{'/' if protocol in {'file', 'local'} else ''}{rest}"


def brought_here(url: str, folder: Path) -> Path:
    """Return an archive's copy on this machine, made now unless it is there.

    Parameters
    ----------
    url : of any protocol that fsspec knows.
    folder : gets the copy, named after the object's address and version, all of it or nothing.

    Raises
    ------
    DataError
        If the object cannot be had, is no single file, or changes while it is copied.
    """
    parts = urlsplit(url)
    if parts.password is not None:
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        raise DataError(
            f"--data {bare}: a password in the address would be kept in MLflow with the study; "
            "give credentials in the environment, as the store's package reads them"
        )
    with _said_in_words(url):
        return _copied(url, folder)


def _copied(url: str, folder: Path) -> Path:
    from fsspec.core import url_to_fs

    system, place = url_to_fs(url)
    about = system.info(place)
    if about["type"] != "file":
        raise DataError(
            f"--data {url}: a folder; name one zip, which is copied whole, or mount the folder and "
            "name its path"
        )
    target = folder / f"{_version(url, about)}-{PurePosixPath(urlsplit(url).path).name[-80:]}"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".partial-{os.getpid()}-{target.name}"
    try:
        system.get_file(place, str(partial))
        system.invalidate_cache()
        now = _version(url, system.info(place))
        if not target.name.startswith(now) or partial.stat().st_size != about["size"]:
            raise DataError(
                f"--data {url}: changed while it was copied; run it again once nothing writes there"
            )
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def _version(url: str, about: Mapping[str, Any]) -> str:
    """Return a digest that changes with the object, as far as its store tells."""
    told = {key.lower(): str(value) for key, value in about.items() if key.lower() in VERSION}
    content = json.dumps([url, about.get("size"), told], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


@contextmanager
def _said_in_words(url: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except ImportError as error:
        raise DataError(
            f"--data {url}: a package for this protocol is not installed ({error}); install it, or "
            "name a path"
        ) from error
    except FileNotFoundError as error:
        raise DataError(
            f"--data {url}: no such object, or its store does not answer; correct the address"
        ) from error
    except Exception as error:
        # Each protocol's package has errors of its own.
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise DataError(
            f"--data {url}: cannot be had ({said}); mend that, or correct the address, or its "
            "credentials in the environment"
        ) from error
