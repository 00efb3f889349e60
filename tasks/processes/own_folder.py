"""Folders for the files of one process: removed at its end, or later if it was killed.

A process holds a file lock on its folder. The system frees the lock when the process ends for any
reason, so a folder whose lock is free belongs to no living process.
"""

import atexit
import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from tasks.errors import SettingError

LOCK = ".lock"
#: The start of the names of these folders.
PREFIX = "process-"
#: The variable with the temporary folder of the process that started this one.
TEMPORARY = "FACTORGRID_TEMPORARY"
#: The longest path of a temporary folder: a socket below it may have 107 characters.
LONGEST = 60

# The locks of this process: they are freed when their objects are deleted.
_held: list[FileLock] = []


@cache
def own_folder(parent: Path) -> Path:
    """Return this process's own folder below another one, the same at each call.

    It is removed when the process ends.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with FileLock(parent / LOCK):  # nobody removes the folder before it is locked
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        lock = FileLock(folder / LOCK)
        lock.acquire()
    _held.append(lock)
    atexit.register(_remove_if_own, folder, os.getpid())
    return folder


def _remove_if_own(folder: Path, owner: int) -> None:
    # A child that was forked has the same exit handlers.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(parent: Path, pattern: str = f"{PREFIX}*") -> None:
    """Remove the folders below another one that no living process holds.

    Parameters
    ----------
    pattern : of the names of folders.
    """
    if not parent.is_dir():
        return
    # Another user's, or a read-only one: nothing is removed.
    with contextlib.suppress(OSError), FileLock(parent / LOCK):
        for folder in _abandoned(parent, pattern):
            shutil.rmtree(folder, ignore_errors=True)


def _abandoned(parent: Path, pattern: str) -> Iterator[Path]:
    for folder in sorted(parent.glob(pattern)):
        if folder.is_symlink() or not folder.is_dir():
            continue
        try:
            with FileLock(folder / LOCK, timeout=0):
                pass
        except Timeout:
            continue
        yield folder


def temporary_parent() -> Path:
    """Return the folder of this user's temporary folders and locks: ``factorgrid-UID``.

    It is below the system's temporary folder, and for its user only.

    Raises
    ------
    SettingError
        If it cannot be created, or others can write to it.
    """
    inherited = os.environ.get(TEMPORARY)
    if inherited:
        return Path(inherited).parent
    parent = Path(tempfile.gettempdir()) / f"factorgrid-{os.getuid()}"
    try:
        parent.mkdir(mode=0o700, exist_ok=True)
        state = parent.lstat()
    except OSError as error:
        raise SettingError(
            f"{parent}: cannot be created ({error.strerror}); set TMPDIR to a folder that you can "
            "write to"
        ) from error
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise SettingError(
            f"{parent}: is not a folder that only you can write to; remove it, or set TMPDIR to "
            "another folder"
        )
    return parent


def use_own_temporary_folder() -> None:
    """Put the temporary files of this process and its children into a folder of their own.

    The libraries leave temporary files behind if they are killed; those of processes that have
    ended are removed here.
    """
    parent = temporary_parent()
    remove_abandoned(parent)
    if len(str(parent)) > LONGEST:
        return
    folder = own_folder(parent)
    # Ray's sockets have long names; it cleans its own folder.
    os.environ.setdefault("RAY_TMPDIR", str(parent.parent))
    os.environ[TEMPORARY] = os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None  # read again from TMPDIR
