"""The real command on a small study, and its state read back: what several tests need."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from support.forked_commands import Template, needs_new_process
from support.mlflow_database import add_mlflow_database
from support.prefect_database import add_prefect_database, remove_unused

from tasks.environment import QUIET
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


ROOT = Path(__file__).parents[2]
#: Accuracies of the study's cells: conv_layers=2 learning_rate=0.001 is the best, and with three
#: layers it is the second best. They differ by three of the 41 validation images: no seed changes
#: their order, but it is too little to distinguish them. All other cells are lower by that again,
#: and none is so near to chance that it counts as collapsed. See studies/test_known_accuracy.py.
ACCURACY: dict[str, Any] = {
    "best": 0.96,
    "noise": 0.02,
    "losses": {
        "conv_layers": {1: 0.16, 2: 0.0, 3: 0.08},
        "learning_rate": {1e-4: 0.17, 1e-3: 0.0, 1e-2: 0.17},
    },
}
#: What the study finds, whatever the seeds are.
BEST = {"conv_layers": 2, "learning_rate": 0.001}
CONFIRMED = [BEST, {"conv_layers": 3, "learning_rate": 0.001}]
GRID = {"conv_layers": [2, 3], "learning_rate": [0.0001, 0.001, 0.01]}
#: Parts of an outcome that differ between two executions of one study.
OF_ONE_EXECUTION = ("run_id", "tracking_uri", "links")
#: The environment of a study that trains its networks instead of taking a known accuracy.
REAL_TRAINING = {"TESTS_ACCURACY": ""}
#: Commands that start Prefect's server.
STARTS_PREFECT = {"search", "compare"}


def command(*words: str | Path) -> list[str]:
    """Return the words of a `factorgrid` command, run by this interpreter."""
    return [sys.executable, "-m", "flows.cli", *map(str, words)]


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment with all state below a folder, and networks of known accuracy."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PREFECT_"))}
    site = Path(__file__).parent / "site"
    fixed = {
        "FACTORGRID_HOME": str(home),
        "PYTHONPATH": f"{site}{os.pathsep}{ROOT}",
        "COLUMNS": "100",
        **known_accuracy(ACCURACY),
    }
    return {**kept, **fixed, **more}


def known_accuracy(table: Mapping[str, Any]) -> dict[str, str]:
    """Return an environment in which training reaches the accuracies of a table.

    See ``site/known_training.py``.
    """
    return {"TESTS_ACCURACY": json.dumps(table)}


def factorgrid(*words: str | Path, home: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end; pytest's own limit of time ends it, too."""
    env = environment(home, **more)
    added = _add_databases(home, env, words[0]) if words[0] in STARTS_PREFECT else []
    try:
        if not needs_new_process(more):
            return template().run(["flows.cli", *map(str, words)], env, home.parent)
        return subprocess.run(
            command(*words), env=env, cwd=home.parent, capture_output=True, text=True, check=False
        )
    finally:
        remove_unused(home, added)


def _add_databases(home: Path, env: Mapping[str, str], name: str | Path) -> list[Path]:
    """Copy Prefect's and MLflow's databases to a home that has none, and return those."""
    added = [add_prefect_database(home)]
    if name == "search" and "MLFLOW_TRACKING_URI" not in env:
        added.append(add_mlflow_database(home))
    return [file for file in added if file is not None]


@cache
def template() -> Template:
    """Return this process's template of commands."""
    return Template(environment(Path(), TESTS_ACCURACY="") | QUIET)


def network_log(folder: Path) -> dict[str, str]:
    """Return an environment whose processes log to ``network.txt`` what leaves this machine."""
    return {"TESTS_NETWORK_LOG": str(folder / "network.txt")}


def start_study(path: Path, home: Path, **more: str) -> "subprocess.Popen[str]":
    """Start a study in a home that has Prefect's database, so that no time is spent on it."""
    add_prefect_database(home)
    return start_study_as_given(path, home, **more)


def start_study_as_given(path: Path, home: Path, **more: str) -> "subprocess.Popen[str]":
    """Start `factorgrid search --json` in a process group of its own."""
    return subprocess.Popen(
        command("search", path, "--json"),
        env=environment(home, **more),
        cwd=home.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def read_until(process: "subprocess.Popen[str]", text: str) -> list[str]:
    """Read a process's standard error up to the first line with a text, and return its lines."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line.rstrip())
        if text in line:
            return lines
    raise AssertionError(f"{text!r} was not printed: {lines}")


def comparable(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """Return an outcome without what differs between two executions of one study."""
    same = {key: value for key, value in outcome.items() if key not in OF_ONE_EXECUTION}
    registered = {k: v for k, v in outcome["registered"].items() if k not in OF_ONE_EXECUTION}
    return {**same, "registered": registered}


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


def easy_study(folder: Path) -> Path:
    """Write a study on bright and dark noise, which every network learns on every processor."""
    rng = np.random.default_rng(1)
    for name, darkest in {"bright": 155, "dark": 0}.items():
        (folder / "pictures" / name).mkdir(parents=True)
        for number in range(120):
            pixels = (darkest + rng.integers(0, 100, (16, 16, 3))).astype(np.uint8)
            assert cv2.imwrite(str(folder / "pictures" / name / f"{number}.png"), pixels)
    source = f"source = {json.dumps(str(folder / 'pictures'))}"
    return write_study(folder, STUDY.replace("drawn = 240", source))
