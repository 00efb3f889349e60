"""Python's search for cycles, put off where it costs more than it finds."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Make rows by the ten thousand without looking for cycles among them: they have none.

    Each look goes through every object there is, and with this program's libraries these are so
    many that the looks took a third of the time of everything here.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
