"""The undisturbed study, the record of the attacks, and their options."""

import dataclasses
import datetime as dt
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest
from attack.compare import StudyState, read_state
from attack.record import LINES, Attack, write_tables
from attack.study_process import AttackedStudy
from filelock import FileLock


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("attack")
    help_text = "homes in which processes are killed; other faults get a quarter of this number"
    group.addoption("--attack-homes", type=int, default=HOMES, help=help_text)
    group.addoption("--attack-seed", type=int, default=0, help="the first seed")
    group.addoption("--attack-report", help="folder for the lines and counts of the attacks")


#: Homes if the option is not given, as in `make test-slow`, and the test that gets all of them.
HOMES, MOST_HOMES = 4, "test_killed_processes"


def _option(config: pytest.Config, name: str, default: object) -> object:
    # Where this file is read after the command line, as in `make test-slow`, there are no options.
    return config.getoption(name, default) or default


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test with a seed one seed per home."""
    if "seed" in metafunc.fixturenames:
        homes = int(str(_option(metafunc.config, "attack_homes", HOMES)))
        first = int(str(_option(metafunc.config, "attack_seed", 0)))
        if metafunc.definition.originalname != MOST_HOMES:
            homes = max(1, homes // 4)
        metafunc.parametrize("seed", range(first, first + homes), ids=str)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin a new record; the processes of a parallel run share it."""
    folder = _option(session.config, "attack_report", None)
    if folder and "PYTEST_XDIST_WORKER" not in os.environ:
        (Path(str(folder)) / LINES).unlink(missing_ok=True)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    folder = _option(config, "attack_report", None)
    if folder and (Path(str(folder)) / LINES).exists():
        about = {
            "run": f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d %H:%M} UTC",
            "Python": platform.python_version(),
            "cores": str(os.cpu_count()),
        }
        terminalreporter.section("attacks")
        terminalreporter.write_line(write_tables(Path(str(folder)), about))


@pytest.fixture
def attack(request: pytest.FixtureRequest) -> Iterator[Attack]:
    """Return the record of this test's home; it is written when the test ends."""
    parameters = dict(request.node.callspec.params)
    seed = parameters.pop("seed")
    kind = request.node.callspec.id.removeprefix(f"{seed}-") if parameters else ""
    name = request.node.originalname.removeprefix("test_").replace("_", " ")
    record = Attack(f"{name}: {kind}" if kind else name, seed)
    yield record
    if folder := _option(request.config, "attack_report", None):
        record.append_to(Path(str(folder)))


@pytest.fixture(scope="session")
def undisturbed(shared_folder: Path) -> StudyState:
    """Return the state of the study that nothing disturbs; carried out once for all processes."""
    return StudyState(**json.loads((_undisturbed(shared_folder) / "state.json").read_text()))


@pytest.fixture(scope="session")
def undisturbed_folder(shared_folder: Path) -> Path:
    """Return the folder of the undisturbed study, with its home; it must not be changed."""
    return _undisturbed(shared_folder)


def _undisturbed(shared: Path) -> Path:
    folder = shared / "undisturbed"
    with FileLock(shared / "undisturbed.lock"):
        if not (folder / "state.json").exists():
            study = AttackedStudy(folder)
            wrong = study.finish()
            assert wrong == []
            assert len(study.commands) == 1
            state = read_state(study)
            text = json.dumps(dataclasses.asdict(state))
            (folder / "state.json").write_text(text, encoding="utf-8")
            study.close()
    return folder
