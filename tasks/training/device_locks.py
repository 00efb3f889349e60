"""One training a device at a time, whichever worker, study or user runs it.

A file lock each: it goes with its holder, by whatever means that ends. Prefect's own limits are
freed minutes after a killed holder, and know nothing of studies without a server.
"""

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PULSE_SECONDS = 0.2


def machine_locks() -> Path:
    """Return the folder of the locks that every home and user of this machine shares: for GPUs.

    ``FACTORGRID_LOCKS`` names another, where containers share a device but not ``/tmp``.
    """
    return Path(os.environ.get("FACTORGRID_LOCKS") or Path(tempfile.gettempdir()) / "factorgrid")


@contextlib.contextmanager
def device_lock(
    device: str, folder: Path, check: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Wait for a device and hold it while the block runs.

    Parameters
    ----------
    device : its name: ``cpu-0``, a GPU's UUID.
    folder : of the locks: `machine_locks` for what all share, the home's for its own.
    check : called while it waits; what it raises ends the wait.
    """
    descriptor = _open(folder, device)
    try:
        while not _try(descriptor):
            check()
            time.sleep(PULSE_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _open(folder: Path, device: str) -> int:
    """Open a lock's file, which other users may open as well."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(PermissionError):
            folder.chmod(0o1777)
    file = folder / f"device-{device}.lock"
    # Made only where it is missing: in a folder for all, making what is another's is refused.
    with contextlib.suppress(FileNotFoundError):
        return os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    before = os.umask(0)
    try:
        return os.open(file, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    finally:
        os.umask(before)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
