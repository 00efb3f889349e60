"""What a shell offers for a word that is begun."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from flows.cli import main
from tasks.tracking.known_names import known_names
from tasks.tracking.tags import KIND


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a study, other experiments, and models."""
    from tasks.settings import Settings
    from tasks.tracking.tracker import Tracker

    home = tmp_path_factory.mktemp("home")
    tracker = Tracker.open(Settings(home, f"sqlite:///{home / 'mlflow.db'}"))
    for name in ("pets", "고양이", "a b", "$(touch x)", "other", "deleted"):
        experiment = tracker.client.create_experiment(name)
        kind = "validation" if name == "other" else "study"
        tracker.client.create_run(experiment, tags={KIND: kind})
        if name == "deleted":
            tracker.client.delete_experiment(experiment)
    for name in ("pets", "dogs", "-x", "a;b"):
        tracker.client.create_registered_model(name)
    return home


@pytest.fixture(autouse=True)
def _use_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("FACTORGRID_HOME", str(home))


def _offered(*words: str) -> list[tuple[str, str]]:
    *before, begun = words
    found = ShellComplete(main, {}, "factorgrid", "_X").get_completions(before, begun)
    return [(item.type, item.value) for item in found]


@pytest.mark.parametrize("command", [["show"], ["export"], ["delete"], ["report", "--experiment"]])
def test_past_studies_are_offered_where_a_command_takes_one(command: list[str]) -> None:
    assert sorted(_offered(*command, "")) == [("plain", "pets"), ("plain", "고양이")]
    assert _offered(*command, "pe") == [("plain", "pets")]
    assert _offered(*command, "quick") == []


def test_experiments_are_offered_for_an_analysis() -> None:
    names = [name for _, name in _offered("analyze", "--experiment", "")]
    assert {"pets", "other"} <= set(names)
    assert not {"deleted", "a b", "$(touch x)"} & set(names)


@pytest.mark.parametrize("command", ["predict", "promote", "convert"])
def test_models_are_offered_where_a_command_takes_one(command: str) -> None:
    assert sorted(_offered(command, "")) == [("plain", "dogs"), ("plain", "pets")]


@pytest.mark.parametrize("command", ["search", "plan", "compare", "deploy"])
def test_built_in_studies_and_files_are_offered(command: str) -> None:
    assert _offered(command, "q") == [("file", "q"), ("plain", "quick")]
    assert _offered(command, "./mine") == [("file", "./mine")]


def test_nothing_is_offered_and_nothing_created_without_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACTORGRID_HOME", str(tmp_path / "none"))
    assert _offered("show", "") == []
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:1", "postgresql://a:b@host/c", "sqlite://", "sqlite:///:memory:"]
)
def test_no_server_is_asked(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert _offered("predict", "") == []


@pytest.mark.parametrize("fault", ["text", "tables", "folder", "locked", "setting"])
def test_a_fault_offers_nothing(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACTORGRID_HOME", str(tmp_path))
    database = tmp_path / "mlflow.db"
    held = None
    if fault == "text":
        database.write_text("no database " * 100)
    elif fault == "folder":
        database.mkdir()
    elif fault == "setting":
        monkeypatch.setenv("FACTORGRID_PATIENCE", "soon")
    else:
        held = sqlite3.connect(database)
        held.execute("CREATE TABLE experiments (name TEXT)")
        if fault == "locked":
            held.commit()
            held.execute("BEGIN EXCLUSIVE")
    assert known_names("studies") == []
    if held is not None:
        held.close()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_names_without_an_import_that_takes_seconds(shell: str, home: Path) -> None:
    words = {"bash": "factorgrid show p", "zsh": "factorgrid show p", "fish": "factorgrid show p"}
    code = (
        "import sys, json, factorgrid\n"
        "import atexit\n"
        "heavy = {'mlflow', 'pandas', 'numpy', 'prefect', 'sqlalchemy', 'matplotlib'}\n"
        "from flows.cli import main\n"
        "try:\n    main(prog_name='factorgrid')\n"
        "finally:\n    print(json.dumps(sorted(heavy & set(sys.modules))), file=sys.stderr)\n"
    )
    environment = {
        **os.environ,
        "_FACTORGRID_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": words[shell],
        "COMP_CWORD": "p" if shell == "fish" else "2",
    }
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "pets" in ended.stdout
    assert json.loads(ended.stderr) == []
