"""Locks on devices: one training per device at a time, for all workers, studies and users.

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

#: Seconds between two attempts to take a lock.
RETRY_SECONDS = 0.2


def machine_locks() -> Path:
    """Return the folder of the locks that all homes and users of this machine share: for GPUs.

    ``FACTORGRID_LOCKS`` names another folder, for containers that share a device but not ``/tmp``.
    """
    return Path(os.environ.get("FACTORGRID_LOCKS") or Path(tempfile.gettempdir()) / "factorgrid")


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
    """Open the file of a lock, which other users can open too; return its descriptor."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(PermissionError):
            folder.chmod(0o1777)
    file = folder / f"device-{device}.lock"
    # Created only if it is missing: in a folder for all users the system refuses O_CREAT for a
    # file of another user.
    with contextlib.suppress(FileNotFoundError):
        return os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    before = os.umask(0)
    try:
        return os.open(file, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    finally:
        os.umask(before)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
