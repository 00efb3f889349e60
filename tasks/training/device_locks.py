"""Locks on devices: one training per device at a time, for all workers and studies of a user.

Each lock is a file lock: the system frees it when its holder ends, even if the holder is killed.
Prefect's own limits are freed only minutes after a holder was killed, and studies that run without
a server do not take part in them.
"""

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tasks.errors import SettingError
from tasks.processes.own_folder import temporary_parent

#: Seconds between two attempts to take a lock.
RETRY_SECONDS = 0.2


def machine_locks() -> Path:
    """Return the folder of the locks that all homes of a user on this machine share: for GPUs.

    Nobody else can hold these locks. ``FACTORGRID_LOCKS`` names another folder, for users or
    containers that share a device and trust each other; its permissions say who takes part.

    Raises
    ------
    SettingError
        If the user's own folder cannot be made.
    """
    given, parent = os.environ.get("FACTORGRID_LOCKS"), temporary_parent()
    if given:
        return Path(given)
    if parent is None:
        raise SettingError(
            f"{Path(tempfile.gettempdir()) / f'factorgrid-{os.getuid()}'}: is not a folder that "
            "only you can write to, as the locks of GPUs need; set FACTORGRID_LOCKS to another one"
        )
    return parent / "locks"


@contextlib.contextmanager
def device_lock(
    device: str, folder: Path, check: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Wait for a device and hold it while the block runs.

    Parameters
    ----------
    device : its name: ``cpu``, or the UUID of a GPU.
    folder : the folder of the lock files: `machine_locks` for devices that all processes of the
        machine share, the home's own folder for the CPU.
    check : called repeatedly during the wait; an exception that it raises ends the wait.
    """
    descriptor = _open_lock_file(folder, device)
    try:
        while not _try_lock(descriptor):
            check()
            time.sleep(RETRY_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _open_lock_file(folder: Path, device: str) -> int:
    """Open the file of a lock, and return its descriptor.

    The folder's permissions say who can open it: a folder that is made here is for its user only.
    """
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / f"device-{device}.lock"
    # Created only if it is missing: in a folder with the sticky bit the system refuses O_CREAT for
    # a file of another user.
    with contextlib.suppress(FileNotFoundError):
        return os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    before = os.umask(0)
    try:
        return os.open(file, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o660)
    finally:
        os.umask(before)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
