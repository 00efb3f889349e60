"""A small study, carried out once by the real command, that many tests look at."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings
from support.mlflow_database import copy_or_make_database
from support.small_study import Done, factorgrid, network_log, write_study

from tasks.environment import QUIET
from tasks.tracking import prepare_database

for name, value in QUIET.items():
    os.environ.setdefault(name, value)


# No test depends on the speed of the machine.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# A process that a shell starts in the background ignores Ctrl-C, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


#: Folders whose tests carry out whole studies.
LONGEST_FIRST = ("studies", "old_home", "search", "comparison", "models/training")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes, so that both processes end at the same time."""
    items.sort(key=lambda item: not item.path.parent.as_posix().endswith(LONGEST_FIRST))


@pytest.fixture(scope="session", autouse=True)
def _databases_are_copied() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare_database, "make_database", copy_or_make_database)
        yield


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a temporary folder of this test run, the same one in all of its processes."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def done(shared_folder: Path) -> Done:
    """Return the finished study; the first process that needs it carries it out for all."""
    folder = shared_folder / "study"
    ended = folder / "ended.json"
    with FileLock(shared_folder / "study.lock"):
        if not ended.exists():
            folder.mkdir()
            process = factorgrid(
                "search",
                write_study(folder),
                "--json",
                home=folder / "home",
                **network_log(folder),
            )
            printed = (process.returncode, process.stdout, process.stderr)
            ended.write_text(json.dumps(printed), encoding="utf-8")
    returncode, output, errors = json.loads(ended.read_text(encoding="utf-8"))
    assert returncode == 0, errors
    return Done(folder / "home", folder / "study.toml", json.loads(output), errors)
