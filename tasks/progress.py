"""The progress display of a study: a live table in a terminal, one line per replicate in a log."""

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tasks.escaping import printable, printable_lines
from tasks.redaction import redact


@dataclass
class ReplicateProgress:
    """A replicate in training."""

    name: str
    epochs: int
    epoch: int = 0
    accuracy: float = float("nan")
    images_per_second: float = float("nan")
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds_left(self) -> float:
        """Seconds until the last epoch, from the average time per epoch."""
        if not self.epoch:
            return float("nan")
        return (time.monotonic() - self.started) / self.epoch * (self.epochs - self.epoch)


@dataclass(frozen=True)
class CountProgress:
    """A count of things that are processed, for example of images."""

    what: str
    done: int
    total: int
    started: float

    def __rich__(self) -> Table:
        """Draw a bar with the remaining time, from the average time so far."""
        elapsed = time.monotonic() - self.started
        left = elapsed / self.done * (self.total - self.done) if self.done else float("nan")
        table = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=self.total, completed=self.done, width=30)
        table.add_row(
            printable(self.what),
            bar,
            f"{self.done:,}/{self.total:,}",
            f"{minutes_and_seconds(left)} left",
        )
        return table


class Progress:
    """The display of a study; any thread may call it.

    In a terminal it redraws a small table: the stage, and each replicate in training with its
    epoch, accuracy, images per second and remaining time. If the output is no terminal, it prints
    one line when each replicate ends. Everything goes to standard error; standard output has the
    results only.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._console = Console(file=stream or sys.stderr, highlight=False)
        self._lock = threading.Lock()
        self._replicates: dict[str, ReplicateProgress] = {}
        self._stage, self._done, self._total = "", 0, 0
        self._stage_started = time.monotonic()
        self._count: CountProgress | None = None
        self._live: Live | None = None
        self._status = ""

    @contextmanager
    def display(self) -> Iterator["Progress"]:
        """Show the display while the block runs; lines that were printed above it stay."""
        if not self._console.is_terminal:
            yield self
            return
        # vertical_overflow keeps a small terminal from scrolling the table away at every redraw.
        with Live(console=self._console, transient=True, vertical_overflow="crop") as live:
            live.update(self, refresh=True)
            self._live = live
            try:
                yield self
            finally:
                self._live = None

    def print_line(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(printable_lines(redact(text)), markup=False, soft_wrap=True)

    def show_waiting(self, text: str, status: str) -> None:
        """Print a line about something that the study waits for, and show a status until the next.

        An empty status clears it.
        """
        with self._lock:
            self._status = status
        self.print_line(text)

    def show_count(self, what: str, done: int, total: int) -> None:
        """Show how many of a total are done, until all are."""
        with self._lock:
            last = self._count
            same = last is not None and last.what == what
            started = last.started if last is not None and same else time.monotonic()
            self._count = CountProgress(what, done, total, started) if done < total else None

    def stage(self, name: str, total: int) -> None:
        """Begin a stage with this many replicates."""
        with self._lock:
            self._stage, self._done, self._total = name, 0, total
            self._stage_started = time.monotonic()
        self.print_line(f"{name}: {total} replicates")

    def started(self, key: str, name: str, epochs: int) -> None:
        """Show a replicate whose training starts."""
        with self._lock:
            self._replicates[key] = ReplicateProgress(name, epochs)

    def epoch(self, key: str, report: Mapping[str, float]) -> None:
        """Show the last epoch of a replicate."""
        with self._lock:
            replicate = self._replicates.get(key)
            if replicate is not None:
                replicate.epoch = int(report["epoch"])
                replicate.accuracy = report.get("val_accuracy", float("nan"))
                replicate.images_per_second = report.get("images_per_second", float("nan"))

    def finished(self, key: str, name: str, result: str) -> None:
        """Remove a replicate from the display, and print its result."""
        with self._lock:
            self._replicates.pop(key, None)
            self._done += 1
            count = f"{self._done}/{self._total}"
        self.print_line(f"  {self._stage} {count:>6}  {name}: {result}")

    def __rich__(self) -> RenderableType:
        """Draw the count if there is one, otherwise the replicates in training."""
        with self._lock:
            if self._count is not None or not self._total:
                return self._count or self._status or "preparing"
            done, total = self._done, self._total
            replicates = list(self._replicates.values())
            elapsed = time.monotonic() - self._stage_started
        left = elapsed / done * (total - done) if done else float("nan")
        table = Table(
            box=None, pad_edge=False, caption=self._status or None, caption_justify="left"
        )
        table.add_column(f"{self._stage or 'preparing'} {done}/{total}")
        for title in ("epoch", "accuracy", "images/s", "left", "stage left"):
            table.add_column(title, justify="right")
        for replicate in replicates:
            table.add_row(
                Text(printable(replicate.name)),
                f"{replicate.epoch}/{replicate.epochs}",
                number_or_dash(replicate.accuracy, ".3f"),
                number_or_dash(replicate.images_per_second, ",.0f"),
                minutes_and_seconds(replicate.seconds_left),
                minutes_and_seconds(left),
            )
        return table


@contextmanager
def status_line(text: str) -> Iterator[None]:
    """Show a text in the terminal while the block runs; nothing if the output is no terminal."""
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield
        return
    with console.status(text):
        yield


def minutes_and_seconds(seconds: float) -> str:
    """Return seconds as ``m:ss``; ``-`` if they are unknown (NaN)."""
    if seconds != seconds:  # noqa: PLR0124 # NaN, without importing math for it
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def number_or_dash(value: float, style: str) -> str:
    """Return a number in a format; ``-`` if it is unknown (NaN)."""
    return "-" if value != value else format(value, style)  # noqa: PLR0124 # NaN
