"""Who may use the servers: the names of this machine that a request may give, and the password.

A web page that a person opens can send requests to servers on the same machine. It is refused
because its origin is another one, because it reached the server under another name (DNS rebinding),
and because it does not know the password. Another local user does not know the password either.
"""

import os
import re
import secrets
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

from tasks.errors import OrchestratorError
from tasks.whole_file import write_whole

#: Addresses that other machines cannot reach, and addresses that stand for all of a machine.
LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 # compared, not bound to
#: The variables from which Prefect's server and Prefect's clients read ``user:password``.
SERVER_PASSWORD, CLIENT_PASSWORD = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"
#: The file in the home with the user and password of the Prefect server that `up` starts.
PASSWORD_FILE = "prefect-password"  # noqa: S105 # the name of the file
USER = "factorgrid"
#: Starts MLflow's server; see `tasks.service.mlflow_program`. It has one worker: by default it uses
#: 15 processes and 2.6 GB.
MLFLOW_PROGRAM = (
    *(sys.executable, "-P", "-m", "mlflow", "server"),
    *("--app-name", "factorgrid", "--workers", "1"),
)
#: Starts Prefect's server; see `tasks.service.prefect_program` for the arguments that follow.
PREFECT_PROGRAM = (sys.executable, "-P", "-m", "tasks.service.prefect_program")
_HOST_NAME = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:]+")
_PASSWORD = re.compile(r"[!-9;-~]+:[!-~]+")


def host_names(host: str, more: Sequence[str] = ()) -> list[str]:
    """Return the names and addresses by which a server may be called, without ports.

    Parameters
    ----------
    host : the address that the server binds to.
    more : further names of this machine, for example that of a proxy.
    """
    names = {*LOOPBACK, *more}
    if host not in LOOPBACK:
        names |= {host, socket.gethostname(), socket.getfqdn(), *_own_addresses()}
    return sorted(name.lower() for name in names if name not in ANY_ADDRESS)


def _own_addresses() -> list[str]:
    """Return the addresses of this machine's network cards; IPv6's without their zone."""
    families = (socket.AF_INET, socket.AF_INET6)
    cards = psutil.net_if_addrs().values()
    return [
        entry.address.partition("%")[0] for c in cards for entry in c if entry.family in families
    ]


def checked_host_names(option: str, given: str | None) -> list[str]:
    """Return the names of a comma-separated list.

    Raises
    ------
    OrchestratorError
        If one of them is not the name or address of a host.
    """
    names = [name.strip().strip("[]") for name in (given or "").split(",") if name.strip()]
    for name in names:
        if not _HOST_NAME.fullmatch(name):
            raise OrchestratorError(
                f"{option} {given!r}: {name!r} is not the name of a host; give names without "
                "http:// and port, separated by commas, as in pc7,pc7.example.org"
            )
    return names


def as_hosts(names: Sequence[str]) -> list[str]:
    """Return names as they stand in an address: IPv6 in brackets."""
    return [f"[{name}]" if ":" in name else name for name in names]


def mlflow_access(
    names: Sequence[str], port: int, proxy_names: Sequence[str] = ()
) -> dict[str, str]:
    """Return the variables by which MLflow's server accepts only these names, and its own pages.

    Without them it accepts any name that begins like a private address, such as 10.example.org. A
    variable that the user has set is not changed.

    Parameters
    ----------
    names : the names by which the server may be called, on any port: an SSH tunnel may begin at
        another one.
    port : the port of the server, and so of its pages.
    proxy_names : those of the names that a proxy may serve on the ports 80 and 443, which
        browsers leave out.
    """
    hosts = as_hosts(names)
    # MLflow compares a name with `*` by `fnmatch`, where a bracket begins a set of characters.
    any_port = [f"{host.replace('[', '[[]')}:*" for host in hosts]
    served = {f":{port}": hosts, "": [host for host in hosts if host.strip("[]") in proxy_names]}
    wanted = {
        "MLFLOW_SERVER_ALLOWED_HOSTS": [*hosts, *any_port],
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": [
            f"{scheme}://{host}{end}"
            for end, its_hosts in served.items()
            for host in its_hosts
            for scheme in ("http", "https")
        ],
    }
    return {name: os.environ.get(name) or ",".join(values) for name, values in wanted.items()}


def prefect_access(password: str) -> dict[str, str]:
    """Return the variables by which Prefect's server asks for a password.

    No page of another origin may read its answers; those of its own need no permission.
    """
    return {
        SERVER_PASSWORD: password,
        CLIENT_PASSWORD: password,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "",
    }


def user_password() -> str | None:
    """Return the ``user:password`` for Prefect that the user has set, None without one.

    Raises
    ------
    OrchestratorError
        If it is not of that form, or server and clients have different ones.
    """
    given = {name: os.environ.get(name) for name in (SERVER_PASSWORD, CLIENT_PASSWORD)}
    found = {name: value for name, value in given.items() if value}
    for name, value in found.items():
        if not _PASSWORD.fullmatch(value):
            raise OrchestratorError(
                f"{name}: is not user:password in ASCII without spaces; correct it, or unset it, "
                "and a password is generated"
            )
    if len(set(found.values())) > 1:
        raise OrchestratorError(
            f"{SERVER_PASSWORD} and {CLIENT_PASSWORD} differ: FactorGrid's own programs could not "
            "use its server; set both to the same value, or unset one"
        )
    return next(iter(found.values()), None)


def new_password() -> str:
    """Return a random ``user:password``."""
    return f"{USER}:{secrets.token_urlsafe(32)}"


def stored_password(home: Path) -> str:
    """Return the ``user:password`` of a home's Prefect server; it is created once.

    Only the owner can read the file. The caller holds the lock of the service.

    Raises
    ------
    OrchestratorError
        If the file cannot be read, or has other content.
    OSError
        If the file cannot be written.
    """
    file = home / PASSWORD_FILE
    if not file.exists():
        write_whole(file, f"{new_password()}\n", private=True)
    password = read_password(file)
    file.chmod(0o600)
    return password


def read_password(file: Path) -> str:
    """Return the ``user:password`` in a file.

    Raises
    ------
    OrchestratorError
        If the file cannot be read, or has other content.
    """
    try:
        content = file.read_bytes().decode("ascii", errors="replace").strip()
    except OSError as error:
        raise OrchestratorError(
            f"{file}: the password of Prefect's server cannot be read ({error.strerror}); rename "
            "what has this name, and start `factorgrid up` again, which generates a new one"
        ) from error
    if not _PASSWORD.fullmatch(content):
        raise OrchestratorError(
            f"{file}: is not one line user:password; delete it, and start `factorgrid up` again, "
            "which generates a new one"
        )
    return content
