"""The real command on a small study, and its state read back: what several tests need."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.settings import Settings
from tasks.tracking import execution as executions
from tasks.tracking.execution import Execution
from tasks.tracking.tracker import Tracker

STUDY = """
name = "tiny"
[data]
drawn = 240
image_size = 16
[factors.conv_layers]
low = 1
high = 2
[factors.learning_rate]
low = 0.001
high = 0.1
[model]
filters = 4
dense_units = 8
[training]
epochs = 4
batch_size = 32
[refine]
budget = 6
rounds = 1
[confirm]
replicates = 1
cells = 2
"""
SHARED = Path(__file__).parents[3] / "shared"


def command(*words: str | Path) -> list[str]:
    """Return the words of a `factorgrid` command, run by this interpreter."""
    return [sys.executable, "-m", "flows.cli", *map(str, words)]


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment in which all state is below a folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PREFECT_"))}
    root = str(Path(__file__).parents[2])
    fixed = {"FACTORGRID_HOME": str(home), "PYTHONPATH": root, "COLUMNS": "100"}
    return {**kept, **fixed, **more}


def factorgrid(
    *words: str | Path, home: Path, timeout: int = 300, **more: str
) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    return subprocess.run(
        command(*words),
        env=environment(home, **more),
        cwd=home.parent,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


#: Notes every look-up and connection of a process and its children that leaves this machine.
WATCH = """
import os, sys

def watch(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple):
        host = str(args[1][0])
    elif event == "socket.getaddrinfo":
        host = str(args[0])
    else:
        return
    if host not in {"127.0.0.1", "::1", "localhost", "0.0.0.0", "None"}:
        with open(os.environ["WATCHED"], "a") as file:
            file.write(f"{event} {host} {sys.argv[:3]}\\n")

sys.addaudithook(watch)
"""


def watched(folder: Path) -> dict[str, str]:
    """Return an environment whose processes note in ``watched.txt`` what leaves this machine."""
    (folder / "sitecustomize.py").write_text(WATCH, encoding="utf-8")
    root = Path(__file__).parents[2]
    return {"WATCHED": str(folder / "watched.txt"), "PYTHONPATH": f"{folder}{os.pathsep}{root}"}


def write_study(folder: Path, text: str = STUDY) -> Path:
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return path


@dataclass(frozen=True)
class Done:
    """A study that was carried out.

    Attributes
    ----------
    home : its state.
    path : its file.
    outcome : what ``--json`` printed.
    said : what went to standard error.
    """

    home: Path
    path: Path
    outcome: dict[str, Any]
    said: str

    @property
    def tracker(self) -> Tracker:
        return open_tracker(self.home)

    @property
    def execution(self) -> Execution:
        return last_execution(self.home, "tiny")


def open_tracker(home: Path) -> Tracker:
    return Tracker.open(Settings(home, f"sqlite:///{home / 'mlflow.db'}"))


def last_execution(home: Path, name: str) -> Execution:
    tracker = open_tracker(home)
    return executions.last_execution(tracker, name)
