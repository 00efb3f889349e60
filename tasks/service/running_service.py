"""Whether `factorgrid up` runs on a home, and the addresses of its servers."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tasks.errors import OrchestratorError
from tasks.service.access import CLIENT_PASSWORD, read_password
from tasks.whole_file import write_whole

ADDRESSES_FILE = "up.json"
#: The variables that the file sets; nothing else in it reaches the environment.
ADDRESSES = ("MLFLOW_TRACKING_URI", "PREFECT_API_URL")
#: The entry with the path of the password, if the user has set none.
PASSWORD_ENTRY = "password_file"  # noqa: S105 # the name of the entry

_ADDRESS = re.compile(r"http://[!-~]+")


def service_lock(home: Path) -> FileLock:
    """Return the lock that `factorgrid up` holds while it runs; it is freed even by a kill."""
    (home / "locks").mkdir(parents=True, exist_ok=True)
    return FileLock(home / "locks" / "up.lock")


def write_addresses(
    home: Path, addresses: Mapping[str, str], password_file: Path | None = None
) -> None:
    """Write the addresses of the servers, for the other commands on this home."""
    content = dict(addresses)
    if password_file is not None:
        content[PASSWORD_ENTRY] = str(password_file)
    write_whole(home / ADDRESSES_FILE, json.dumps(content))


def delete_addresses(home: Path) -> None:
    """Delete the addresses of servers that have ended."""
    (home / ADDRESSES_FILE).unlink(missing_ok=True)


def running_service(home: Path) -> dict[str, str]:
    """Return the environment variables that address a home's servers; empty if none run.

    The password of Prefect's server is among them, unless the user has named another server in
    ``PREFECT_API_URL``: that one must not get it.

    Raises
    ------
    OrchestratorError
        If the service runs, but the file with its addresses, or that with its password, is damaged.
    """
    return _read_addresses(home / ADDRESSES_FILE) if _is_running(home) else {}


def _is_running(home: Path) -> bool:
    if not (home / ADDRESSES_FILE).exists():
        return False
    lock = service_lock(home)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def password_file(home: Path, url: str) -> Path | None:
    """Return the file with the password of the home's Prefect server, if that is at an address."""
    content = _read(home / ADDRESSES_FILE) if _is_running(home) else {}
    is_own = content.get("PREFECT_API_URL") == url and PASSWORD_ENTRY in content
    return Path(content[PASSWORD_ENTRY]) if is_own else None


def _read_addresses(file: Path) -> dict[str, str]:
    content = _read(file)
    addresses = {name: content[name] for name in ADDRESSES}
    own = addresses["PREFECT_API_URL"]
    if PASSWORD_ENTRY in content and os.environ.get("PREFECT_API_URL", own) == own:
        addresses[CLIENT_PASSWORD] = read_password(Path(content[PASSWORD_ENTRY]))
    return addresses


def _read(file: Path) -> dict[str, str]:
    try:
        content: Any = json.loads(file.read_bytes())
        addresses = [content[name] for name in ADDRESSES]
        is_valid = all(_ADDRESS.fullmatch(address) for address in addresses)
        is_valid &= "\0" not in Path(content.get(PASSWORD_ENTRY, "")).name
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError):
        is_valid = False
    if not is_valid:
        raise OrchestratorError(
            f"{file}: does not have the addresses of the servers that run on this home; end "
            "`factorgrid up` and start it again, which writes the file"
        )
    return dict(content)
