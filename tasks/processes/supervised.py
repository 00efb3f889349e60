"""Programs that run beside a command of ours and end with it, by whatever means it ends."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


class Supervised:
    """A program under `tasks.processes.supervisor`: deaf to the terminal, gone with its caller.

    Parameters
    ----------
    command : what to run.
    log : gets what it says; lines of earlier runs stay.
    more : environment variables on top of today's.
    """

    def __init__(
        self, command: Sequence[str], log: Path, more: Mapping[str, str] | None = None
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            self._process = subprocess.Popen(  # noqa: S603 # our own interpreter and words
                [sys.executable, "-m", "tasks.processes.supervisor", *command],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(more or {})},
            )

    @property
    def pid(self) -> int:
        """The guard's process id; the program is its child."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """What the program answered; None while it runs."""
        return self._process.poll()

    def release(self) -> None:
        """Let go of it: it and all that it started are asked to end, and made to after 5 s."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def stop(self) -> None:
        """End it, and all that it started."""
        self.release()
        self._process.wait()


def free_port(host: str = "127.0.0.1", first: int = 0) -> int:
    """Return a port that nothing listens on: from `first` up, or any where that is 0."""
    for port in range(first, first + 100) if first else [0]:
        found = bind(host, port)
        if found is not None:
            return found
    raise OSError(f"no port from {first} to {first + 99} is free at {host}")


def is_free(host: str, port: int) -> bool:
    """Whether nothing listens on a port."""
    return bind(host, port) is not None


def bind(host: str, port: int) -> int | None:
    """Return the port that could be bound for a moment; None where it could not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return None
        return int(probe.getsockname()[1])
