"""The peak memory of a process, for as long as it lives: a process that was killed reports nothing.

The system tells only the parent of a process how much memory it used, and only when it has ended;
the parent of a training process is the server that it was forked from. So the memory is read while
the process lives.
"""

import re
import threading
from pathlib import Path

#: Seconds between two readings. The system keeps the peak between them.
READING_SECONDS = 0.1


class PeakMemory:
    """Reads the peak memory of a process in a thread, until the process ends."""

    def __init__(self) -> None:
        #: The peak so far, MiB; 0 before `watch`, and on systems other than Linux.
        self.megabytes = 0.0

    def watch(self, process_id: int | None) -> None:
        """Start to read."""
        thread = threading.Thread(target=self._read, args=(process_id,), daemon=True, name="memory")
        thread.start()

    def _read(self, process_id: int | None) -> None:
        pause = threading.Event()
        while found := peak_memory_mb(process_id):
            self.megabytes = max(self.megabytes, found)
            pause.wait(READING_SECONDS)


def peak_memory_mb(process_id: int | None) -> float:
    """Return the peak memory of a process so far, MiB; 0 if it has ended, or outside Linux."""
    try:
        status = Path(f"/proc/{process_id}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    found = re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
