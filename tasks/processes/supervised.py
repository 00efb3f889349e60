"""Programs that run beside a command and end with it, even if the command is killed."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


class SupervisedProgram:
    """A program under `tasks.processes.supervisor`: Ctrl-C does not reach it.

    It ends when the process that created this object ends.

    Parameters
    ----------
    command : the program and its arguments.
    log : file to which the output is appended; the program runs in its folder.
    environment : variables to set in addition to those of this process.
    descriptors : open files of this process that the program inherits, under the same numbers.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            self._process = subprocess.Popen(  # noqa: S603 # our own interpreter and command
                [sys.executable, "-P", "-m", "tasks.processes.supervisor", *command],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # MLflow's server imports from its current folder first, even with `-P`.
                cwd=log.parent,
                env={**os.environ, **(environment or {})},
                pass_fds=descriptors,
            )

    @property
    def pid(self) -> int:
        """The supervisor's process id; the program is below it."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """The program's exit status; None while it runs."""
        return self._process.poll()

    def request_stop(self) -> None:
        """Ask it and all processes that it started to end; after 5 s they are killed."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def stop(self) -> None:
        """End it and all processes that it started, and wait for it."""
        self.request_stop()
        self._process.wait()
