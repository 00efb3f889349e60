"""What is seen while a study runs: live lines at a terminal, quiet lines elsewhere."""

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


@dataclass
class Line:
    """One replicate in training, as it is shown."""

    name: str
    epochs: int
    epoch: int = 0
    accuracy: float = float("nan")
    images_per_second: float = float("nan")
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds_left(self) -> float:
        """Seconds to the last epoch, at the pace so far."""
        if not self.epoch:
            return float("nan")
        return (time.monotonic() - self.started) / self.epoch * (self.epochs - self.epoch)


@dataclass(frozen=True)
class Count:
    """A count on its way to its end, as it is shown."""

    what: str
    done: int
    total: int
    started: float

    def __rich__(self) -> Table:
        """Draw a bar, with the time that is left at the pace so far."""
        elapsed = time.monotonic() - self.started
        left = elapsed / self.done * (self.total - self.done) if self.done else float("nan")
        table = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=self.total, completed=self.done, width=30)
        table.add_row(self.what, bar, f"{self.done:,}/{self.total:,}", f"{clock(left)} left")
        return table


class Progress:
    """The display of a study; any thread may call it.

    At a terminal it redraws a small table: the stage, each replicate in training with its epoch,
    accuracy, images a second and time left. Elsewhere it prints a line as each replicate ends.
    All of it goes to standard error, which leaves standard output to the results.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._console = Console(file=stream or sys.stderr, highlight=False)
        self._lock = threading.Lock()
        self._lines: dict[str, Line] = {}
        self._stage, self._done, self._total = "", 0, 0
        self._stage_started = time.monotonic()
        self._count: Count | None = None
        self._live: Live | None = None
        self._waits = ""

    @contextmanager
    def shown(self) -> Iterator["Progress"]:
        """Show it while the block runs; the lines above it stay."""
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

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, markup=False, soft_wrap=True)

    def waits(self, text: str, shown: str) -> None:
        """Say a line about waiting for something outside; show another while that goes on."""
        with self._lock:
            self._waits = shown
        self.say(text)

    def counted(self, what: str, done: int, total: int) -> None:
        """Show how far a count is, from its first figure to its last."""
        with self._lock:
            last = self._count
            same = last is not None and last.what == what
            started = last.started if last is not None and same else time.monotonic()
            self._count = Count(what, done, total, started) if done < total else None

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of so many replicates."""
        with self._lock:
            self._stage, self._done, self._total = name, 0, total
            self._stage_started = time.monotonic()
        self.say(f"{name}: {total} replicates")

    def started(self, key: str, name: str, epochs: int) -> None:
        """Show a replicate from its start."""
        with self._lock:
            self._lines[key] = Line(name, epochs)

    def epoch(self, key: str, report: Mapping[str, float]) -> None:
        """Show a replicate's newest epoch."""
        with self._lock:
            line = self._lines.get(key)
            if line is not None:
                line.epoch = int(report["epoch"])
                line.accuracy = report.get("val_accuracy", float("nan"))
                line.images_per_second = report.get("images_per_second", float("nan"))

    def finished(self, key: str, name: str, words: str) -> None:
        """Take a replicate off the display, and say how it went."""
        with self._lock:
            self._lines.pop(key, None)
            self._done += 1
            count = f"{self._done}/{self._total}"
        self.say(f"  {self._stage} {count:>6}  {name}: {words}")

    def __rich__(self) -> RenderableType:
        """Draw the count that is on its way, else the replicates in training."""
        with self._lock:
            if self._count is not None or not self._total:
                return self._count or self._waits or "preparing"
            lines, done, total = list(self._lines.values()), self._done, self._total
            elapsed = time.monotonic() - self._stage_started
        left = elapsed / done * (total - done) if done else float("nan")
        table = Table(box=None, pad_edge=False, caption=self._waits or None, caption_justify="left")
        table.add_column(f"{self._stage or 'preparing'} {done}/{total}")
        for title in ("epoch", "accuracy", "images/s", "left", "stage left"):
            table.add_column(title, justify="right")
        for line in lines:
            table.add_row(
                line.name,
                f"{line.epoch}/{line.epochs}",
                _figure(line.accuracy, ".3f"),
                _figure(line.images_per_second, ",.0f"),
                clock(line.seconds_left),
                clock(left),
            )
        return table


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say at a terminal what is waited for, while the block runs; elsewhere nothing."""
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


def clock(seconds: float) -> str:
    """Return seconds as ``m:ss``; nothing where they are unknown."""
    if seconds != seconds:  # noqa: PLR0124 # NaN, without importing math for it
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _figure(value: float, style: str) -> str:
    return "-" if value != value else format(value, style)  # noqa: PLR0124 # NaN
