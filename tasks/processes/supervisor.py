"""Runs a command that must not outlive its caller.

Usage: ``python -m tasks.processes.supervisor COMMAND ...``.

The command runs in a session of its own, so that a terminal's Ctrl-C does not reach it, and is
ended when standard input closes: when the caller lets go of it, or dies by whatever means. So is
everything that it started, in whatever session: Prefect's worker gives each flow one of its own.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading

import psutil

PATIENCE_SECONDS = 5
PR_SET_CHILD_SUBREAPER = 36


def main(command: list[str]) -> int:
    """Run the command until it ends or standard input closes; return its exit status."""
    _adopt_orphans()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 # the caller's own command
    signal.signal(signal.SIGTERM, lambda *_: _ask(child))
    threading.Thread(target=_end_with_caller, args=[child], daemon=True).start()
    status = child.wait()
    _kill_what_is_left()
    return status


def _adopt_orphans() -> None:
    """Become the parent of what a killed child leaves, so that it can be found."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_with_caller(child: subprocess.Popen[bytes]) -> None:
    # Unbuffered: a buffer's lock, held at exit, is a fatal error.
    while os.read(0, 4096):
        pass
    _ask(child)


def _ask(child: subprocess.Popen[bytes]) -> None:
    """Ask the command and its group to end; a timer makes them."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    timer = threading.Timer(PATIENCE_SECONDS, _kill_what_is_left)
    timer.daemon = True
    timer.start()


def _kill_what_is_left() -> None:
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
