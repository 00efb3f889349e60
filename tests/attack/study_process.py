"""A study that is attacked: the real command in a home of its own, and its processes by name."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from support import small_study

#: The whole procedure at the lowest price: 4 replicates in the screen, 4 in the grid of which some
#: are reused, 2 in the confirmation. The accuracies are those of `support.small_study.ACCURACY`.
STUDY = (
    small_study.STUDY.replace('"tiny"', '"attacked"')
    .replace("epochs = 4", "epochs = 3")
    .replace("budget = 6", "budget = 4")
)
#: No command of this study takes this long, unless it hangs; in seconds.
LONGEST_COMMAND = 300
#: Processes that outlive their command by this many seconds survive.
SURVIVAL_SECONDS = 20
#: The processes of a study that can be attacked. Watcher and guard: see
#: `tasks.processes.supervisor`.
PROCESSES = ("main", "watcher", "guard", "Prefect server", "fork server", "slot child")
#: By these texts in their command lines they are known.
FORK_SERVER, SUPERVISOR = "multiprocessing.forkserver", "tasks.processes.supervisor"
PREFECT_SERVER = "tasks.service.prefect_program"


@dataclass
class Command:
    """One start of the command.

    Attributes
    ----------
    process : the command's own process.
    lines : what it has written to standard error so far.
    output : what it has written to standard output so far.
    """

    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=list)
    readers: list[threading.Thread] = field(default_factory=list)

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def read_in_background(self) -> None:
        for stream, kept in (
            (self.process.stderr, self.lines),
            (self.process.stdout, self.output),
        ):
            assert stream is not None
            reader = threading.Thread(target=kept.extend, args=[stream], daemon=True)
            reader.start()
            self.readers.append(reader)


class AttackedStudy:
    """A study in an empty home below a folder.

    Parameters
    ----------
    folder : gets the study's file and the home.
    home : another place of the home, for example on a small disk.
    makes_databases : whether Prefect makes its database itself, instead of getting a copy.
    more : variables of the environment.
    """

    def __init__(
        self,
        folder: Path,
        home: Path | None = None,
        *,
        makes_databases: bool = False,
        **more: str,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.home = folder, home or folder / "home"
        self.makes_databases = makes_databases
        # Short: with a long path, the product does not use folders of its own, because of sockets.
        self.temporary = Path(tempfile.mkdtemp(prefix="attack-"))
        self.path = small_study.write_study(folder, STUDY)
        self.environment = {"TMPDIR": str(self.temporary), "FACTORGRID_HEARTBEAT": "0.5", **more}
        self.commands: list[Command] = []

    # -- commands ---------------------------------------------------------------------------------

    @property
    def command(self) -> Command:
        """The last start of the command."""
        return self.commands[-1]

    @property
    def is_running(self) -> bool:
        return bool(self.commands) and not self.command.has_ended

    def start(self) -> Command:
        """Start the command; it must not be running."""
        start = small_study.start_study
        if self.makes_databases:
            start = small_study.start_study_as_given
        process = start(self.path, self.home, **self.environment)
        self.commands.append(Command(process))
        self.command.read_in_background()
        return self.command

    def wait(self, seconds: float = LONGEST_COMMAND) -> list[str]:
        """Wait until the command has ended, and return what is wrong with its end."""
        command = self.command
        wrong = []
        try:
            command.process.wait(seconds)
        except subprocess.TimeoutExpired:
            wrong.append(f"hang: no end after {seconds:.0f} s; {_last(command.lines)}")
            self.kill_all()
        wrong += [f"survivor: {name}" for name in self.survivors()]
        self.kill_all()
        for reader in command.readers:
            reader.join(10)
        text = "".join(command.lines)
        (self.folder / f"stderr-{len(self.commands)}.txt").write_text(text, encoding="utf-8")
        for start in ("Traceback (most recent call last)", "Fatal Python error"):
            if start in text:
                # What comes after the lines of the call stack is the error.
                after = text.partition(start)[2].splitlines()[1:]
                error = next((line for line in after if not line.startswith(" ")), "")
                wrong.append(f"traceback: {error}")
        status = command.process.returncode
        if status not in (0, -9) and not _last(command.lines).startswith("factorgrid: "):
            wrong.append(f"no reason: exit status {status}; {_last(command.lines)!r}")
        return wrong

    @property
    def has_finished(self) -> bool:
        """Whether the last command ended well."""
        return bool(self.commands) and self.command.process.poll() == 0

    def finish(self, starts: int = 1) -> list[str]:
        """Wait for the command if it runs, and start it until it ends well.

        A command that was attacked may end with a reason.

        Parameters
        ----------
        starts : at most this many new starts.

        Returns
        -------
        What is wrong, as a list of texts.
        """
        wrong = self.wait() if self.is_running else []
        for _ in range(starts):
            if self.has_finished:
                break
            self.start()
            wrong += self.wait()
        if not self.has_finished:
            status, said = self.command.process.returncode, _last(self.command.lines)
            wrong.append(f"not continued: exit status {status}; {said!r}")
        return wrong

    # -- processes --------------------------------------------------------------------------------

    def processes(self) -> list[psutil.Process]:
        """Return the living processes that have this home in their environment."""
        mark = f"FACTORGRID_HOME={self.home}\0".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, psutil.Error):
                if mark in (folder / "environ").read_bytes() + b"\0":
                    process = psutil.Process(int(folder.name))
                    if process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                        found.append(process)
        return found

    def named(self, name: str) -> list[psutil.Process]:
        """Return the living processes of a name, see `PROCESSES`."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if self.name_of(process) == name:
                    found.append(process)
        return sorted(found, key=lambda process: process.pid)

    def name_of(self, process: psutil.Process) -> str:
        """Return the name of a process; that of its program if it has none here."""
        if self.commands and process.pid == self.command.process.pid:
            return "main"
        text = " ".join(process.cmdline())
        parent = process.parent()
        above = " ".join(parent.cmdline()) if parent is not None else ""
        if FORK_SERVER in text:
            return "slot child" if FORK_SERVER in above else "fork server"
        if SUPERVISOR in text:
            return "guard" if SUPERVISOR in above else "watcher"
        return "Prefect server" if PREFECT_SERVER in text else text[:120]

    def survivors(self) -> list[str]:
        """Return the names of the processes that outlive the command."""
        deadline = time.monotonic() + SURVIVAL_SECONDS
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        names = []
        for process in left:
            with contextlib.suppress(psutil.Error):
                names.append(self.name_of(process))
        return names

    def close(self) -> None:
        """Kill every process of this home, and remove the temporary files."""
        self.kill_all()
        shutil.rmtree(self.temporary, ignore_errors=True)

    def kill_all(self) -> None:
        """Kill every process of this home."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        if self.commands:
            self.command.process.wait()


def _last(lines: list[str]) -> str:
    """Return the last line that is not empty."""
    kept = [line.strip() for line in lines if line.strip()]
    return kept[-1] if kept else ""
