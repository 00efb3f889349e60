"""Python's garbage collector, made less frequent where it costs more than it frees."""

import contextlib
import gc
from collections.abc import Iterator

#: New objects between two collections.
THRESHOLD = 20_000


@contextlib.contextmanager
def rare_garbage_collection() -> Iterator[None]:
    """Collect garbage less often, and only among objects that are made in the block.

    The libraries of this program make so many objects that the collector, which examines all of
    them again and again while tens of thousands of rows are made, took a third of the time.
    """
    usual, *others = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(max(usual, THRESHOLD), *others)
    try:
        yield
    finally:
        gc.set_threshold(usual, *others)
        gc.unfreeze()
