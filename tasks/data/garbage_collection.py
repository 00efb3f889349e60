"""Python's search for cycles, where it costs more than it finds."""

import contextlib
import gc
from collections.abc import Iterator

#: New objects between two looks.
SELDOM = 20_000


@contextlib.contextmanager
def rare_garbage_collection() -> Iterator[None]:
    """Look for cycles seldom, and among the objects made here alone, not all those that were there.

    With this program's libraries these are so many that, as rows were made by the ten thousand,
    going through them again and again took a third of the time of everything done here.
    """
    often, *rest = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(max(often, SELDOM), *rest)
    try:
        yield
    finally:
        gc.set_threshold(often, *rest)
        gc.unfreeze()
