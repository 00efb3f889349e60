"""Runs a command that must end when its caller ends.

Usage: ``python -m tasks.processes.supervisor COMMAND ...``.

The command runs in its own session, so that Ctrl-C in the terminal does not reach it. It is ended
when standard input closes: when the caller closes it, or ends for any reason. All processes that
the command started are ended as well, whatever their session: Prefect's worker gives each flow its
own session.

The supervisor is two processes, so that killing one of them leaves nothing behind: the *guard*
starts the command and ends it; the *watcher*, the guard's parent, waits for the guard. If the
guard is killed, the watcher kills what the guard started; if the watcher is killed, the guard does.
If both are killed in the same moment, Linux kills the command.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

import psutil

#: Seconds between the request to end and the kill.
GRACE_SECONDS = 5
#: How often processes that were started while others were killed are looked for, and the seconds
#: between two searches. A process that waits for a device ends only later.
KILL_TRIES, KILL_SECONDS = 100, 0.05
#: Options of Linux's ``prctl``; the ``ctypes`` module has no names for them.
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def main(command: list[str]) -> int:
    """Run the command until it ends or standard input closes; return its exit status."""
    _set_process_option(PR_SET_CHILD_SUBREAPER, 1)
    # Nothing is written to this pipe: the guard's end closes when the watcher has ended.
    watched, held = os.pipe()
    guard = os.fork()
    if not guard:
        os.close(held)
        # Not `sys.exit`: what the interpreter does at its exit is the watcher's.
        os._exit(_guard(command, watched))
    os.close(watched)
    signal.signal(signal.SIGTERM, lambda *_: _request_end(guard))
    _, status = os.waitpid(guard, 0)
    _kill_descendants()
    return os.waitstatus_to_exitcode(status)


def _guard(command: list[str], watched: int) -> int:
    """Run the command until it ends, standard input closes, or the watcher ends."""
    _set_process_option(PR_SET_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(  # noqa: S603 # the caller's own command
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        # A listening socket that the caller handed down; everything else is closed at exec.
        close_fds=False,
        preexec_fn=_end_with_guard,  # noqa: PLW1509 # no thread runs yet
    )
    signal.signal(signal.SIGTERM, lambda *_: _terminate(child))
    threading.Thread(target=_end_with_caller, args=[child], daemon=True).start()
    threading.Thread(target=_end_with_watcher, args=[watched], daemon=True).start()
    status = _wait(child.pid)
    _kill_descendants()
    return status if status >= 0 else 128 - status


def _wait(process: int) -> int:
    """Wait for a process and return its exit status; end the entries of all adopted ones."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == process:
            return os.waitstatus_to_exitcode(status)


def _set_process_option(option: int, value: int) -> None:
    """Call Linux's ``prctl``; other systems have none."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _request_end(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)


def _end_with_guard() -> None:
    _set_process_option(PR_SET_PDEATHSIG, signal.SIGKILL)


def _read_to_end(descriptor: int) -> None:
    # Unbuffered: if a thread holds the lock of a buffer at exit, Python stops with a fatal error.
    while os.read(descriptor, 4096):
        pass


def _end_with_caller(child: subprocess.Popen[bytes]) -> None:
    _read_to_end(sys.stdin.fileno())
    _terminate(child)


def _end_with_watcher(watched: int) -> None:
    """Kill everything at once: a caller that starts the command again needs its port now."""
    _read_to_end(watched)
    _kill_descendants()
    os._exit(1)


def _terminate(child: subprocess.Popen[bytes]) -> None:
    """Ask the command and its process group to end; kill them after the grace period."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    timer = threading.Timer(GRACE_SECONDS, _kill_descendants)
    timer.daemon = True
    timer.start()


def _kill_descendants() -> None:
    """Kill all processes below this one, also those that are started meanwhile."""
    for _ in range(KILL_TRIES):
        living = _living_descendants()
        for process in living:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if not living:
            return
        time.sleep(KILL_SECONDS)


def _living_descendants() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
