"""Folders for the files of one process: removed at its end, or later if it was killed.

A process holds a lock on its folder. The system frees the lock when the process ends for any
reason, so a folder whose lock is free belongs to no living process. Programs that clean the
system's temporary folder, such as systemd-tmpfiles, do not touch a locked folder either.
"""

import contextlib
import fcntl
import os
import platform
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from multiprocessing.util import Finalize
from pathlib import Path

from filelock import FileLock

#: The lock in a folder of such folders: one is made or removed at a time.
LOCK = ".lock"
#: The start of the names of these folders. Locks of another machine may not be visible here.
PREFIX = f"process-{platform.node()[:12]}-"
#: The variable with the temporary folder of the process that started this one.
TEMPORARY = "FACTORGRID_TEMPORARY"
#: The longest path of the folder of temporary folders: a socket below one has up to 107 characters.
LONGEST = 50

# Folder of folders -> this process's own folder there, and the descriptor with its lock.
_own: dict[Path, tuple[Path, int]] = {}
_making = threading.Lock()


def own_folder(parent: Path) -> Path:
    """Return this process's own folder below another one, the same at each call.

    It is removed when the process ends.
    """
    with _making:
        if parent not in _own:
            parent.mkdir(parents=True, exist_ok=True)
            with FileLock(parent / LOCK):  # nobody removes the folder before it is locked
                folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
                descriptor = os.open(folder, os.O_RDONLY)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            _own[parent] = folder, descriptor
            # After multiprocessing has removed its folder in it, with priority -100. An exit
            # handler of `atexit` would be called before, and multiprocessing prints a traceback.
            Finalize(None, shutil.rmtree, (folder,), {"ignore_errors": True}, exitpriority=-200)
        return _own[parent][0]


def keep_own_folders_over_exec() -> None:
    """Keep the locks when this process becomes another program (`os.execv`)."""
    for _, descriptor in _own.values():
        os.set_inheritable(descriptor, True)  # noqa: FBT003 # of the standard library


def remove_abandoned(parent: Path) -> None:
    """Remove the folders below another one that no living process holds."""
    if not parent.is_dir():
        return
    # Another user's, or a read-only one: nothing is removed.
    with contextlib.suppress(OSError), FileLock(parent / LOCK):
        for folder in _abandoned(parent):
            shutil.rmtree(folder, ignore_errors=True)


def _abandoned(parent: Path) -> Iterator[Path]:
    for folder in sorted(parent.glob(f"{PREFIX}*")):
        if folder.is_symlink() or not folder.is_dir():
            continue
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            yield folder
        finally:
            os.close(descriptor)


def temporary_parent() -> Path | None:
    """Return the folder of this user's temporary folders and locks: ``factorgrid-UID``.

    It is below the system's temporary folder, and for its user only. None if there is no such
    folder and it cannot be made, for example because another user has made it.
    """
    inherited = os.environ.get(TEMPORARY)
    if inherited:
        return Path(inherited).parent
    parent = Path(tempfile.gettempdir()) / f"factorgrid-{os.getuid()}"
    try:
        parent.mkdir(mode=0o700, exist_ok=True)
        state = parent.lstat()
    except OSError:
        return None
    is_private = state.st_uid == os.getuid() and not state.st_mode & 0o022
    return parent if stat.S_ISDIR(state.st_mode) and is_private else None


def use_own_temporary_folder() -> None:
    """Put the temporary files of this process and its children into a folder of their own.

    The libraries leave temporary files behind if they are killed; those of processes that have
    ended are removed here.
    """
    parent = temporary_parent()
    if parent is None or len(str(parent)) > LONGEST:
        return
    remove_abandoned(parent)
    folder = own_folder(parent)
    # Ray's sockets have long names; it cleans its own folder.
    os.environ.setdefault("RAY_TMPDIR", str(parent.parent))
    os.environ[TEMPORARY] = os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None  # read again from TMPDIR
