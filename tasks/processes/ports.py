"""Finding free TCP ports."""

import errno
import socket

#: How many ports are tried from the first one up.
TRIES = 100


def free_port(host: str = "127.0.0.1", first: int = 0) -> int:
    """Return a port on which nothing listens.

    Parameters
    ----------
    first : the lowest port to try; 0 for any port that the system chooses.

    Raises
    ------
    OSError
        If none of the tried ports is free.
    """
    for port in range(first, first + TRIES) if first else [0]:
        try:
            return bind_briefly(host, port)
        except OSError:
            continue
    raise OSError(f"no port from {first} to {first + TRIES - 1} is free at {host}")


def is_free_port(host: str, port: int) -> bool:
    """Whether nothing listens on a port."""
    try:
        bind_briefly(host, port)
    except OSError:
        return False
    return True


def bind_briefly(host: str, port: int) -> int:
    """Bind a port, release it, and return its number.

    Raises
    ------
    OSError
        If it cannot be bound: it is in use, the user must not use it, or it is no port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OverflowError:
            raise OSError(errno.EINVAL, "ports are numbers from 0 to 65535") from None
        return int(probe.getsockname()[1])
