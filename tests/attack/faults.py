"""Faults at seeded moments: which process is killed or stopped, in which phase, how late in it."""

import contextlib
import random
import re
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil
from attack.study_process import LONGEST_COMMAND, PROCESSES, AttackedStudy


@dataclass(frozen=True)
class Phase:
    """A part of a study.

    Attributes
    ----------
    name : what the study does.
    has_begun : whether its last command has come this far.
    seconds : a fault comes at most this long after the beginning.
    """

    name: str
    has_begun: Callable[[AttackedStudy], bool]
    seconds: float


#: Each line of a study's progress begins with the time.
CLOCK = r"\d\d:\d\d:\d\d  "


def _has_line(pattern: str) -> Callable[[AttackedStudy], bool]:
    expression = re.compile(CLOCK + pattern)

    def has_begun(study: AttackedStudy) -> bool:
        return any(expression.match(line) for line in list(study.command.lines))

    return has_begun


def _has_file(pattern: str) -> Callable[[AttackedStudy], bool]:
    def has_begun(study: AttackedStudy) -> bool:
        return any(study.home.glob(pattern))

    return has_begun


#: In the order in which a study goes through them.
PHASES = (
    Phase("start", lambda _: True, 4),
    Phase("MLflow's database is made", _has_file("mlflow.db*"), 3),
    Phase("Prefect's database is made", _has_file("prefect/prefect.db*"), 3),
    Phase("images", _has_file("metadata.db*"), 6),
    Phase("screen", _has_line("screen: "), 4),
    Phase("refine", _has_line("refine: "), 3),
    Phase("confirm", _has_line("confirm: "), 2),
    Phase("register", _has_line(r"  confirm +2/2 "), 4),
)
#: What a fault can meet: one process of a name, or every process of the home at once.
TARGETS = (*PROCESSES, "all")
#: From this phase on there are a fork server and its children.
FIRST_FORK = 3


@dataclass(frozen=True)
class Fault:
    """What happens to one process at one moment.

    Attributes
    ----------
    process : its name, see `TARGETS`.
    phase : index of the phase.
    delay : seconds after the beginning of the phase.
    stopped : seconds for which the process is stopped; 0 to kill it.
    pick : which of several processes of this name, from 0 to 1.
    """

    process: str
    phase: int
    delay: float
    stopped: float = 0.0
    pick: float = 0.0

    @property
    def ends_command(self) -> bool:
        return not self.stopped and self.process in ("main", "all")

    def __str__(self) -> str:
        action = f"stopped for {self.stopped:.1f} s" if self.stopped else "killed"
        return f"{self.process} {action}, {PHASES[self.phase].name} + {self.delay:.2f} s"

    def happen(self, study: AttackedStudy) -> bool:
        """Wait for the moment and do it; False if the command ended before.

        A process that does not exist at this moment is waited for.
        """
        if not wait_for_phase(study, self.phase):
            return False
        time.sleep(self.delay)
        deadline = time.monotonic() + LONGEST_COMMAND
        while study.is_running and time.monotonic() < deadline:
            found = study.processes() if self.process == "all" else study.named(self.process)
            if found:
                chosen = found if self.process == "all" else [found[int(self.pick * len(found))]]
                self._strike(chosen)
                return True
            time.sleep(0.02)
        return False

    def _strike(self, chosen: Sequence[psutil.Process]) -> None:
        if not self.stopped:
            send_signal(chosen, signal.SIGKILL)
            return
        send_signal(chosen, signal.SIGSTOP)
        time.sleep(self.stopped)
        send_signal(chosen, signal.SIGCONT)


def wait_for_phase(study: AttackedStudy, phase: int) -> bool:
    """Wait until a study is in a phase; False if its command ended before."""
    deadline = time.monotonic() + LONGEST_COMMAND
    while not PHASES[phase].has_begun(study):
        if not study.is_running or time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return study.is_running


def send_signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to processes; some may have ended."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def seeded_faults(seed: int, count: int, *, stopped: tuple[float, float] = (0, 0)) -> list[Fault]:
    """Return faults in the order of their moments.

    The processes take turns, so that every kind is attacked equally often; the phases and the
    delays are random.

    Parameters
    ----------
    seed : decides everything.
    count : how many faults.
    stopped : the shortest and the longest time for which a process is stopped; zeros to kill it.
    """
    chance = random.Random(seed)
    faults = []
    for i in range(count):
        process = TARGETS[(seed * count + i) % len(TARGETS)]
        first = FIRST_FORK if process in ("fork server", "slot child") else 0
        phase = chance.randrange(first, len(PHASES))
        delay = chance.uniform(0, PHASES[phase].seconds)
        faults.append(Fault(process, phase, delay, chance.uniform(*stopped), chance.random()))
    return sorted(faults, key=lambda fault: (fault.phase, fault.delay))
