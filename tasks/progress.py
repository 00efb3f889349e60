"""The progress display of a study: a live table in a terminal, one line per replicate in a log."""

import math
import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from analysis.runs.response import DEFAULT, Response, response_of
from tasks.escaping import printable, printable_lines
from tasks.languages import counted
from tasks.redaction import redact

#: The row of a table that ends so is that of the chosen cell.
CHOSEN = "*"
#: A log gets a line about a training after this time (seconds) without any other.
SILENCE_SECONDS = 300
#: What a terminal understands as bold, and as the end of it.
BOLD, PLAIN = "\x1b[1m", "\x1b[0m"


@dataclass
class ReplicateProgress:
    """A replicate in training."""

    name: str
    epochs: int
    epoch: int = 0
    figure: float = float("nan")
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


@dataclass
class StudyProgress:
    """How far a whole study is.

    Attributes
    ----------
    sizes : trainings of each stage, at most, in the order of the stages.
    lengths : of a training of each stage, the mean, in any unit; a stage that is missing has 1.
    stage : the current stage; empty before the first.
    done : replicates that ended, in all stages.
    done_length : of these, in the same unit.
    trained_length : of those of them that were trained now.
    response : what the replicates are compared by.
    best, best_name, best_epochs : the best response so far among the longest trainings so far, its
        replicate and their length; a short training is no measure of a full one.
    started : when the first stage began.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, float] = field(default_factory=dict)
    stage: str = ""
    done: int = 0
    done_length: float = 0.0
    trained_length: float = 0.0
    response: Response = field(default_factory=lambda: response_of(DEFAULT))
    best: float = float("nan")
    best_name: str = ""
    best_epochs: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def total(self) -> int:
        """Replicates of all stages, at most."""
        return max(sum(self.sizes.values()), self.done)

    def seconds_left(self, in_training: float = 0.0) -> float:
        """Return the seconds until the last replicate, from those that were trained so far.

        A training counts by its length: the final one may take as long as many others.

        Parameters
        ----------
        in_training : the trained parts of the replicates that are in training; half of one is 0.5.
        """
        part = in_training * self.length
        trained = self.trained_length + part
        if not trained:
            return float("nan")
        total = sum(size * self.lengths.get(stage, 1.0) for stage, size in self.sizes.items())
        left = total - self.done_length - part
        return (time.monotonic() - self.started) / trained * left

    @property
    def length(self) -> float:
        """The length of a training of the current stage."""
        return self.lengths.get(self.stage, 1.0)

    def count(self, *, trained: bool) -> None:
        """Count a replicate that ended."""
        self.done += 1
        self.done_length += self.length
        self.trained_length += self.length * trained

    def keep_best(self, figure: float, name: str, epochs: int) -> None:
        """Keep a result if it is the best so far; NaN is none."""
        longer, sign = epochs > self.best_epochs, self.response.sign
        if not math.isnan(figure) and (
            longer or (epochs == self.best_epochs and not sign * self.best >= sign * figure)
        ):
            self.best, self.best_name, self.best_epochs = figure, name, epochs

    def as_line(self, in_training: float = 0.0) -> str:
        """Return it as ``stage 2 of 3, run 9 of 23, 4:10 left, best so far 0.913 (...)``.

        Parameters
        ----------
        in_training : see `seconds_left`.
        """
        stages = list(self.sizes)
        position = stages.index(self.stage) + 1 if self.stage in stages else len(stages)
        parts = [f"stage {position} of {len(stages)}", f"run {self.done} of {self.total}"]
        left = self.seconds_left(in_training)
        if left > 0:
            parts.append(f"{minutes_and_seconds(left)} left")
        if self.best_name:
            parts.append(f"best so far {self.best:.3f} ({printable(self.best_name)})")
        return ", ".join(parts)


class Progress:
    """The display of a study; any thread may call it.

    In a terminal it redraws a small table: the stage, each replicate in training with its epoch,
    response, images per second and remaining time, and one line for the whole study. If the output
    is no terminal, it prints one line when each replicate ends, with the time. Everything goes to
    standard error; standard output has the results only.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._console = Console(file=stream or sys.stderr, highlight=False)
        self._lock = threading.Lock()
        self._replicates: dict[str, ReplicateProgress] = {}
        self._stage, self._done, self._total = "", 0, 0
        self._stepwise = False
        self._stage_started = time.monotonic()
        self._study: StudyProgress | None = None
        self._count: CountProgress | None = None
        self._live: Live | None = None
        self._status = ""
        self._last_line = time.monotonic()

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

    @property
    def columns(self) -> int | None:
        """The width of the terminal; None if the output is none."""
        return self._console.width if self._console.is_terminal else None

    def print_line(self, text: str) -> None:
        """Print a line that stays; without a terminal, with the time."""
        self._last_line = time.monotonic()
        time_of_day = "" if self._console.is_terminal else f"{time.strftime('%H:%M:%S')}  "
        safe = printable_lines(redact(text))
        self._console.print(f"{time_of_day}{safe}", markup=False, soft_wrap=True)

    def print_text(self, text: str) -> None:
        """Print a text of several lines that stays; in a terminal, with bold titles."""
        safe = printable_lines(redact(text))
        if self._console.is_terminal and "NO_COLOR" not in os.environ:
            self._console.print(Text.from_ansi(emphasized(safe)), soft_wrap=True)
        else:
            self._console.print(safe, markup=False, soft_wrap=True)

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

    def begin_study(
        self,
        sizes: Mapping[str, int],
        response: str = DEFAULT,
        lengths: Mapping[str, float] | None = None,
    ) -> None:
        """Begin a study whose stages have these numbers of trainings, at most.

        Parameters
        ----------
        response : the name of what its replicates are compared by.
        lengths : of a training of each stage, the mean, in any unit. By default all trainings are
            of one length.
        """
        used = {name: size for name, size in sizes.items() if size}
        with self._lock:
            self._study = StudyProgress(used, dict(lengths or {}), response=response_of(response))

    def stage(self, name: str, total: int, *, at_once: int | None = None) -> None:
        """Begin a stage with this many replicates, or a further step of the stage that runs.

        Parameters
        ----------
        total : of this step.
        at_once : for a stage of many steps, which are one stage for a user: how many replicates are
            trained at once, at most.
        """
        with self._lock:
            study = self._study
            if at_once and name == self._stage:
                self._total = max(self._total, self._done + total)
                return
            if study is not None and self._stepwise and name != self._stage:
                # It has ended, perhaps with fewer than it could have.
                study.sizes[self._stage] = self._done
            self._stage, self._done, self._total = name, 0, total
            self._stepwise = bool(at_once)
            self._stage_started = time.monotonic()
            what = f"{name}: {counted(total, 'replicate')}"
            if study is not None:
                if not study.stage:
                    study.started = time.monotonic()
                if at_once:
                    self._total = max(total, study.sizes.get(name, 0))
                    together = "one" if at_once == 1 else f"{at_once}"
                    most = counted(self._total, "replicate")
                    what = f"{name}: at most {most}, {together} at a time"
                elif study.stage != name:
                    # Only now is it known how many there are.
                    study.sizes[name] = total
                else:
                    study.sizes[name] += total  # a grid that moved
                study.stage = name
        self.print_line(what)

    def started(self, key: str, name: str, epochs: int) -> None:
        """Show a replicate whose training starts."""
        with self._lock:
            self._replicates[key] = ReplicateProgress(name, epochs)

    def epoch(self, key: str, report: Mapping[str, float]) -> None:
        """Show the last epoch of a replicate; in a log, if there was no other line for long."""
        with self._lock:
            replicate = self._replicates.get(key)
            if replicate is None:
                return
            replicate.epoch = int(report["epoch"])
            replicate.figure = report.get(self._response.name, float("nan"))
            replicate.images_per_second = report.get("images_per_second", float("nan"))
            silent = time.monotonic() - self._last_line
            if self._console.is_terminal or silent < SILENCE_SECONDS:
                return
            line = (
                f"  {self._stage}  {replicate.name}: epoch {replicate.epoch} of "
                f"{replicate.epochs}, {self._response.title} "
                f"{number_or_dash(replicate.figure, '.3f')}"
            )
            if self._study is not None:
                line += f" ({self._study.as_line(self._in_training)})"
        self.print_line(line)

    @property
    def _in_training(self) -> float:
        return sum(replicate.epoch / replicate.epochs for replicate in self._replicates.values())

    @property
    def _response(self) -> Response:
        return self._study.response if self._study else response_of(DEFAULT)

    def finished(
        self, key: str, name: str, result: str, figure: float = float("nan"), epochs: int = 0
    ) -> None:
        """Remove a replicate from the display, and print its result.

        Parameters
        ----------
        figure : the response; NaN if it failed.
        epochs : length of the training.
        """
        with self._lock:
            trained = self._replicates.pop(key, None) is not None
            self._done += 1
            # The worker of a cluster does not know the stage.
            count = f"{self._stage} {f'{self._done}/{self._total}':>6}  " if self._total else ""
            line = f"  {count}{name}: {result}"
            study = self._study
            if study is not None:
                study.count(trained=trained)
                study.keep_best(figure, name, epochs)
                if not self._console.is_terminal:
                    line += f" ({study.as_line(self._in_training)})"
        self.print_line(line)

    def __rich__(self) -> RenderableType:
        """Draw the count if there is one, otherwise the replicates in training."""
        with self._lock:
            if self._count is not None or not self._total:
                return self._count or self._status or "preparing"
            done, total = self._done, self._total
            replicates = list(self._replicates.values())
            study = self._study.as_line(self._in_training) if self._study else ""
            lines = [study, self._status]
            response = self._response.title
        table = Table(box=None, pad_edge=False)
        table.add_column(f"{self._stage} {done}/{total}", overflow="ellipsis", no_wrap=True)
        for title in ("epoch", response, "images/s", "left"):
            table.add_column(title, justify="right", no_wrap=True)
        for replicate in replicates:
            table.add_row(
                Text(printable(replicate.name)),
                f"{replicate.epoch}/{replicate.epochs}",
                number_or_dash(replicate.figure, ".3f"),
                number_or_dash(replicate.images_per_second, ",.0f"),
                minutes_and_seconds(replicate.seconds_left),
            )
        below = [Text(line, no_wrap=True, overflow="ellipsis") for line in lines if line]
        return Group(table, *below)


@contextmanager
def status_line(text: str) -> Iterator[None]:
    """Show a text in the terminal while the block runs; nothing if the output is no terminal.

    A command that is refused prints one line, and a log has nothing before it.
    """
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


def emphasized(text: str) -> str:
    """Return printable text with bold titles and a bold row of the chosen cell, for a terminal."""
    lines: list[str] = []
    for line in text.splitlines():
        if lines and line and set(line) == {"-"} and len(line) <= len(lines[-1]):
            lines[-1] = f"{BOLD}{lines[-1]}{PLAIN}"
            continue
        chosen = re.search(rf"\d +{re.escape(CHOSEN)}$", line)
        lines.append(f"{BOLD}{line}{PLAIN}" if chosen else line)
    return "\n".join(lines)
