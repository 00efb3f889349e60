"""Changed inputs: a result or one line, never a traceback, a hang or a lost picture."""

import json
import os
import random
import signal
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from unittest import mock

import pytest
from attack.mutations import OF_BYTES, mutate
from click.testing import CliRunner, Result
from support.image_files import archive, drawn
from support.small_study import STUDY, environment

from flows.cli import main
from tasks.escaping import UNSAFE

pytestmark = [pytest.mark.slow, pytest.mark.attack]

#: Seconds after which a command counts as hanging.
HANG = 120
#: Inputs per kind.
NUMBERS = {
    "study": 120,
    "csv": 120,
    "cells": 60,
    "rules": 60,
    "archive": 60,
    "picture": 60,
    "address": 40,
}
STUDY_TEXT = (
    STUDY
    + """
[data.exclude]
"dog.3.jpg" = "a cartoon"
[pilot]
runs = 4
[compare]
runs = [8, 12]
"""
)
CSV = """run;filters;dropout;optimizer;accuracy
1;16;0,1;adam;0,81
2;32;0,1;adam;0,84
3;16;0,3;adam;0,79
4;32;0,3;adam;0,88
5;16;0,1;sgd;0,71
6;32;0,1;sgd;0,74
7;16;0,3;sgd;0,69
8;32;0,3;sgd;0,76
"""
CELLS = """conv_layers,learning_rate,replicate,val_accuracy,train_seconds
1,0.001,1,0.71,1.2
1,0.001,2,0.72,1.3
2,0.001,1,0.81,1.9
2,0.001,2,0.83,1.8
1,0.01,1,0.65,1.2
1,0.01,2,0.61,1.1
2,0.01,1,0.70,1.7
2,0.01,2,0.74,2.0
"""
RULES = (Path(__file__).parents[2] / "tasks" / "data" / "rules.toml").read_bytes()


@contextmanager
def _hang_limit() -> Iterator[None]:
    def end(_: int, __: FrameType | None) -> None:
        raise TimeoutError("the command hangs")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(HANG)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run(folder: Path, *words: str | Path) -> Result:
    """Run a command in this process, in a home below a folder."""
    given = environment(folder / "home")
    before = Path.cwd()
    with mock.patch.dict(os.environ, given, clear=True), _hang_limit():
        os.chdir(folder)
        try:
            return CliRunner().invoke(main, [str(word) for word in words])
        finally:
            os.chdir(before)


def check(result: Result) -> None:
    """Check that a command gave a result, or one line for the user."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 2), result.output
    assert "Traceback" not in result.output
    if result.exit_code == 2 and "Usage:" not in result.stderr and not result.stdout:
        (line,) = result.stderr.splitlines()[-1:]
        assert line.startswith("factorgrid: ")
        assert not UNSAFE.search(line), line
        assert len(line) < 2000, line


def _numbers(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("number", range(NUMBERS[kind]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutations")


@_numbers("study")
def test_a_changed_study(number: int, folder: Path) -> None:
    path = folder / "study.toml"
    path.write_bytes(mutate(STUDY_TEXT.encode(), number))
    check(run(folder, "plan", path))


@_numbers("csv")
def test_a_changed_table_of_runs(number: int, folder: Path) -> None:
    path = folder / "runs.csv"
    path.write_bytes(mutate(CSV.encode(), number))
    check(run(folder, "analyze", "--csv", path, "--response", "accuracy"))


@_numbers("cells")
def test_a_changed_table_of_cells(number: int, folder: Path) -> None:
    study, table = folder / "whole.toml", folder / "cells.csv"
    study.write_text(STUDY, encoding="utf-8")
    table.write_bytes(mutate(CELLS.encode(), number))
    check(run(folder, "compare", study, "--table", table, "--repeats", "2"))


def _check_sums(result: Result) -> None:
    check(result)
    if not result.stdout.startswith("{"):
        return
    found = json.loads(result.stdout)
    assert found["accepted"] + found["quarantined"] == found["found"]
    assert sum(found["classes"].values()) == found["accepted"]
    assert len(found["reasons"]) == found["quarantined"]
    assert len(found["passed_over_reasons"]) == found["passed_over"]


@_numbers("rules")
def test_changed_rules(number: int, folder: Path) -> None:
    pictures, rules = folder / "whole.zip", folder / "rules.toml"
    if not pictures.exists():
        archive(pictures, 64)
    rules.write_bytes(mutate(RULES, number))
    _check_sums(run(folder, "validate", "--data", pictures, "--rules", rules, "--json"))


@_numbers("archive")
def test_a_changed_archive(number: int, folder: Path) -> None:
    path = folder / f"archive-{number}.zip"
    archive(path, 64)
    path.write_bytes(mutate(path.read_bytes(), number, OF_BYTES))
    _check_sums(run(folder, "validate", "--data", path, "--json"))


@_numbers("picture")
def test_changed_pictures(number: int, folder: Path) -> None:
    path, rng = folder / f"pictures-{number}.zip", random.Random(number)
    with zipfile.ZipFile(path, "w") as written:
        for name, data in drawn(64).items():
            changed = rng.random() < 0.3
            written.writestr(
                name, mutate(data, rng.randrange(10**6), OF_BYTES) if changed else data
            )
    result = run(folder, "validate", "--data", path, "--json")
    _check_sums(result)
    assert json.loads(result.stdout)["found"] == 64


@_numbers("address")
def test_a_changed_address(number: int, folder: Path) -> None:
    addresses = (b"http://127.0.0.1:9/pets.zip?sig=abc", b"file:///tmp/none.zip", b"data/pets.zip")
    address = mutate(random.Random(number).choice(addresses), number)
    given = address.decode("utf-8", "surrogateescape").replace("\0", "")
    check(run(folder, "validate", "--data", given, "--json"))
