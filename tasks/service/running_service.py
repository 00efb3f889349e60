"""Whether `factorgrid up` runs on a home, and the addresses of its servers."""

import json
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock, Timeout

ADDRESSES_FILE = "up.json"


def service_lock(home: Path) -> FileLock:
    """Return the lock that `factorgrid up` holds while it runs; it is freed even by a kill."""
    (home / "locks").mkdir(parents=True, exist_ok=True)
    return FileLock(home / "locks" / "up.lock")


def write_addresses(home: Path, addresses: Mapping[str, str]) -> None:
    """Write the addresses of the servers, for the other commands on this home."""
    (home / ADDRESSES_FILE).write_text(json.dumps(dict(addresses)), encoding="utf-8")


def running_service(home: Path) -> dict[str, str]:
    """Return the environment variables that address a home's servers; empty if none run."""
    file = home / ADDRESSES_FILE
    if not file.exists():
        return {}
    lock = service_lock(home)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        content: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        return content
    lock.release()
    return {}
