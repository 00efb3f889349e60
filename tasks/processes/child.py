"""What every child process that trains does first."""

import multiprocessing
import os
import signal
import threading


def follow_parent() -> None:
    """Ignore Ctrl-C, which the parent handles, and end when the parent ends.

    Ctrl-C goes to the whole process group; the parent decides what it means. If the parent is
    killed, no child keeps running.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
