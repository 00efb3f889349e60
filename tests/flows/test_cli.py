"""The command line: help, and one-line errors for wrong input."""

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
import zipfile
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path

import pytest
from support.small_study import STUDY, Done, command, factorgrid, write_study

from flows.cli import COMMANDS, GROUPS


def _changed_study(folder: Path, old: str, new: str) -> list[str | Path]:
    assert old in STUDY
    return ["search", write_study(folder, STUDY.replace(old, new))]


def _one_class(folder: Path) -> list[str | Path]:
    path = folder / "pictures.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(50):
            archive.writestr(f"train/cat.{number}.jpg", b"")
    return ["search", "quick", "--data", path]


def _no_zip(folder: Path) -> list[str | Path]:
    (folder / "pictures.zip").write_bytes(b"no zip at all")
    return ["search", "quick", "--data", folder / "pictures.zip"]


def _empty(folder: Path) -> list[str | Path]:
    (folder / "pictures").mkdir()
    return ["search", "quick", "--data", folder / "pictures"]


#: Per mistake, the command line, and the text that the error must contain: field, value, remedy.
MISTAKES: dict[str, tuple[Callable[[Path], list[str | Path]], tuple[str, ...]]] = {
    "a missing path": (
        lambda f: ["search", "quick", "--data", f / "nowhere.zip"],
        ("pictures ", "nowhere.zip", "no such file", "name a folder or zip"),
    ),
    "a zip that is not one": (_no_zip, ("pictures ", "pictures.zip", "not a zip", "name a folder")),
    "a folder without pictures": (_empty, ("pictures ", "no pictures", "cat.0.jpg")),
    "pictures of one class": (_one_class, ("pictures ", "one class", "'cat'", "cat.0.jpg")),
    "a study that is not there": (
        lambda _: ["search", "nowhere.toml"],
        ("nowhere.toml", "quick", "name one of these"),
    ),
    "an unknown key": (
        lambda f: _changed_study(f, "epochs", "epoch"),
        ("training.epoch", "unknown key", "epochs"),
    ),
    "low not below high": (
        lambda f: _changed_study(f, "low = 1\n", "low = 2\n"),
        ("conv_layers", "low 2", "not below high 2", "swap them"),
    ),
    "no study yet": (
        lambda _: ["analyze", "--experiment", "nowhere"],
        ("mlflow.db", "no such database", "factorgrid search"),
    ),
    "a database that is not MLflow's server": (
        lambda f: ["search", write_study(f)],
        ("127.0.0.1:9", "no server answers", "MLFLOW_TRACKING_URI"),
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_wrong_input_is_a_one_line_error_with_exit_status_2(mistake: str, tmp_path: Path) -> None:
    arguments, parts = MISTAKES[mistake]
    run = factorgrid
    if "server" in mistake:
        run = partial(factorgrid, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    ended = run(*arguments(tmp_path), home=tmp_path / "home")
    assert ended.returncode == 2
    assert ended.stdout == ""
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith("factorgrid: ")
    for part in parts:
        assert part in line


def test_the_commands_are_shown_in_groups_with_the_exit_statuses(tmp_path: Path) -> None:
    shown = factorgrid("--help", home=tmp_path / "home").stdout
    assert set(chain.from_iterable(GROUPS.values())) == set(COMMANDS)
    for title, names in GROUPS.items():
        assert f"\n{title}:\n" in shown
        assert all(re.search(rf"^  {name} ", shown, re.MULTILINE) for name in names)
    assert "..." not in shown.partition("Run a study")[2]
    assert "2 for an error that you can correct" in " ".join(shown.split())


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["list", "--json"], ["no such database"]),
        (["search", "nowhere.toml", "--json"], ["nowhere.toml", "not a file"]),
        (["search", "--json", "--nonsense"], ["--nonsense"]),
    ],
)
def test_a_command_with_json_that_fails_prints_one_object(
    words: list[str], parts: list[str], tmp_path: Path
) -> None:
    ended = factorgrid(*words, home=tmp_path / "home")
    assert ended.returncode == 2
    content = json.loads(ended.stdout)
    assert content["exit_status"] == 2
    for part in parts:
        assert part in content["error"]


def test_an_invalid_study_creates_no_files(tmp_path: Path) -> None:
    factorgrid(*_changed_study(tmp_path, "epochs", "epoch"), home=tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_the_error_for_a_missing_experiment_names_the_existing_ones(done: Done) -> None:
    ended = factorgrid("analyze", "--experiment", "nowhere", home=done.home)
    assert ended.returncode == 2
    assert "'nowhere'" in ended.stderr
    assert "there are: tiny" in ended.stderr


@pytest.mark.parametrize(
    "command",
    [
        "search",
        "validate",
        "analyze",
        "design",
        "report",
        "promote",
        "predict",
        "convert",
        "plan",
        "compare",
        "cache",
        "ui",
        "up",
        "deploy",
        "doctor",
        "prune",
        "init",
        "list",
        "show",
        "export",
        "delete",
        "schema",
    ],
)
def test_every_command_explains_itself(command: str, tmp_path: Path) -> None:
    ended = factorgrid(command, "--help", home=tmp_path / "home")
    assert ended.returncode == 0
    assert ended.stdout.startswith(f"Usage: python -m flows.cli {command}")


def test_validate_prints_one_json_object(tmp_path: Path) -> None:
    import cv2

    from models.images.drawn import draw

    images, labels, classes = draw(60, 32, seed=3)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = tmp_path / "pictures" / classes[label] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
    (tmp_path / "pictures" / "cat" / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (tmp_path / "pictures" / "Thumbs.db").write_bytes(b"")
    ended = factorgrid("validate", "--data", tmp_path / "pictures", "--json", home=tmp_path / "h")
    assert ended.returncode == 0, ended.stderr
    printed = json.loads(ended.stdout)
    counts = {name: printed[name] for name in ("found", "accepted", "quarantined", "passed_over")}
    assert counts == {"found": 62, "accepted": 60, "quarantined": 1, "passed_over": 1}
    assert list(printed["reasons"]) == ["cat/broken.jpg"]


def _in_a_terminal(columns: int, *words: str | Path, **environment: str) -> str:
    """Return what a command prints in a terminal of a width."""
    read, write = pty.openpty()
    fcntl.ioctl(write, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    given = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "NO_COLOR"}}
    with subprocess.Popen(command(*words), stdout=write, env={**given, **environment}) as process:
        os.close(write)
        output = b""
        with contextlib.suppress(OSError):  # how Linux reports the end of a terminal
            while block := os.read(read, 65536):
                output += block
    os.close(read)
    assert process.returncode == 0
    return output.decode()


@pytest.mark.parametrize("columns", [80, 120])
def test_a_plan_fits_the_terminal_and_has_bold_titles(columns: int, tmp_path: Path) -> None:
    words = ("plan", write_study(tmp_path), "--no-probe")
    plain = _in_a_terminal(columns, *words, FACTORGRID_HOME=str(tmp_path), NO_COLOR="1")
    lines = plain.splitlines()
    assert "\x1b" not in plain
    assert columns - 20 < max(map(len, lines)) <= columns
    shown = _in_a_terminal(columns, *words, FACTORGRID_HOME=str(tmp_path))
    assert "\x1b[1mTrainings\x1b[0m" in shown
