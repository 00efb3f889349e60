"""A small study, carried out once by the real command, that many tests look at."""

import json
import os
import signal

import pytest
from support.small_study import Done, factorgrid, watched, write_study

from tasks.environment import QUIET

for name, value in QUIET.items():
    os.environ.setdefault(name, value)


# Started in the background of a shell, a process ignores Ctrl-C, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("study")
    path = write_study(folder)
    ended = factorgrid("search", path, "--json", home=folder / "home", **watched(folder))
    assert ended.returncode == 0, ended.stderr
    return Done(folder / "home", path, json.loads(ended.stdout), ended.stderr)
