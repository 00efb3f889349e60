"""Whether `factorgrid up` runs on a home, and where its servers are."""

import json
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock, Timeout

ADDRESSES = "up.json"


def service_lock(home: Path) -> FileLock:
    """Return the lock that `factorgrid up` holds as long as it runs, by whatever means it ends."""
    (home / "locks").mkdir(parents=True, exist_ok=True)
    return FileLock(home / "locks" / "up.lock")


def write_addresses(home: Path, addresses: Mapping[str, str]) -> None:
    """Leave the servers' addresses for the other commands on this home."""
    (home / ADDRESSES).write_text(json.dumps(dict(addresses)), encoding="utf-8")


def running_service(home: Path) -> dict[str, str]:
    """Return the environment that reaches the service of a home; nothing where none runs."""
    file = home / ADDRESSES
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
