"""Runs a command that must not outlive its caller: ``python -m tasks.guard COMMAND ...``.

The command runs in a session of its own, so that a terminal's Ctrl-C does not reach it, and is
ended when standard input closes: when the caller lets go of it, or dies by whatever means.
"""

import os
import signal
import subprocess
import sys
import threading

PATIENCE_SECONDS = 5


def main(command: list[str]) -> int:
    """Run the command until it ends or standard input closes; return its exit status."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 # the caller's own command
    signal.signal(signal.SIGTERM, lambda *_: _end(child))
    threading.Thread(target=_end_with_caller, args=[child], daemon=True).start()
    return child.wait()


def _end_with_caller(child: subprocess.Popen[bytes]) -> None:
    sys.stdin.buffer.read()
    _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask the command and what it started to end, then make them."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, sign)
            child.wait(PATIENCE_SECONDS)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        else:
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
