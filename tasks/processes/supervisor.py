"""Runs a command that must end when its caller ends.

Usage: ``python -m tasks.processes.supervisor COMMAND ...``.

The command runs in its own session, so that Ctrl-C in the terminal does not reach it. It is ended
when standard input closes: when the caller closes it, or ends for any reason. All processes that
the command started are ended as well, whatever their session: Prefect's worker gives each flow its
own session.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading

import psutil

#: Seconds between the request to end and the kill.
GRACE_SECONDS = 5
#: The option of Linux's ``prctl``; the ``ctypes`` module has no name for it.
PR_SET_CHILD_SUBREAPER = 36


def main(command: list[str]) -> int:
    """Run the command until it ends or standard input closes; return its exit status."""
    _adopt_orphans()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 # the caller's own command
    signal.signal(signal.SIGTERM, lambda *_: _terminate(child))
    threading.Thread(target=_end_with_caller, args=[child], daemon=True).start()
    status = child.wait()
    _kill_descendants()
    return status


def _adopt_orphans() -> None:
    """Become the parent of processes whose own parent was killed, so that they can be found."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_with_caller(child: subprocess.Popen[bytes]) -> None:
    # Unbuffered: if a thread holds the lock of a buffer at exit, Python stops with a fatal error.
    while os.read(0, 4096):
        pass
    _terminate(child)


def _terminate(child: subprocess.Popen[bytes]) -> None:
    """Ask the command and its process group to end; kill them after the grace period."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    timer = threading.Timer(GRACE_SECONDS, _kill_descendants)
    timer.daemon = True
    timer.start()


def _kill_descendants() -> None:
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
