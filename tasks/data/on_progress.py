"""The callback that reports how far a long step is."""

from collections.abc import Callable

#: Called with what is being done, how many items are done, and how many there are.
OnProgress = Callable[[str, int, int], None]
