"""The file with the addresses of a running service, and what is done if it is damaged."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.small_study import factorgrid

from tasks.errors import OrchestratorError
from tasks.service.access import CLIENT_PASSWORD, PASSWORD_FILE
from tasks.service.running_service import (
    ADDRESSES_FILE,
    password_file,
    running_service,
    service_lock,
    write_addresses,
)

OWN = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1", "PREFECT_API_URL": "http://127.0.0.1:2/api"}


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Return a home on which a service runs, as far as other commands can see."""
    (tmp_path / "home").mkdir()
    with service_lock(tmp_path / "home"):
        yield tmp_path / "home"


def _with_password(home: Path) -> Path:
    file = home / PASSWORD_FILE
    file.write_text("me:word\n")
    write_addresses(home, OWN, file)
    return file


def test_other_commands_get_the_addresses_and_the_password(home: Path) -> None:
    file = _with_password(home)
    assert running_service(home) == {**OWN, CLIENT_PASSWORD: "me:word"}
    assert password_file(home, OWN["PREFECT_API_URL"]) == file
    assert "me:word" not in (home / ADDRESSES_FILE).read_text()


def test_another_server_that_the_user_has_named_does_not_get_the_password(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_password(home)
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere:4200/api")
    assert running_service(home) == OWN
    assert password_file(home, "http://elsewhere:4200/api") is None


def test_a_password_that_the_user_has_set_is_not_in_a_file(home: Path) -> None:
    write_addresses(home, OWN)
    assert running_service(home) == OWN
    assert password_file(home, OWN["PREFECT_API_URL"]) is None


def test_nothing_else_in_the_file_reaches_the_environment(home: Path) -> None:
    write_addresses(home, {**OWN, "PYTHONPATH": "/tmp"})  # noqa: S108 # not used
    assert running_service(home) == OWN


def test_after_the_service_its_addresses_are_not_used(home: Path, tmp_path: Path) -> None:
    write_addresses(home, OWN)
    with service_lock(tmp_path / "other"):
        pass
    (tmp_path / "other" / ADDRESSES_FILE).write_text("{")
    assert running_service(tmp_path / "other") == {}


DAMAGED: list[Any] = [
    b"",
    b'{"MLFLOW_TRACKING_URI": "http://127',
    b"\xff\x00",
    b"[" * 100_000,
    [],
    None,
    7,
    {},
    {**OWN, "PREFECT_API_URL": 7},
    {**OWN, "PREFECT_API_URL": ["http://127.0.0.1:2/api"]},
    {**OWN, "PREFECT_API_URL": "http://127.0.0.1\0"},
    {**OWN, "MLFLOW_TRACKING_URI": ""},
    {**OWN, "password_file": 7},
    {**OWN, "password_file": "a\0b"},
    {**OWN, "password_file": "/nowhere/at/all"},
]


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_addresses_are_reported_in_one_line(content: object, home: Path) -> None:
    written = content if isinstance(content, bytes) else json.dumps(content).encode()
    (home / ADDRESSES_FILE).write_bytes(written)
    with pytest.raises(
        OrchestratorError, match=r"start(ed)? .*factorgrid up.* again|start it again"
    ):
        running_service(home)


def test_a_command_beside_a_service_with_damaged_addresses_has_exit_status_2(home: Path) -> None:
    (home / ADDRESSES_FILE).write_text('{"MLFLOW')
    ended = factorgrid("deploy", home=home)
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert f"{home / ADDRESSES_FILE}: does not have the addresses" in line


def _file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")


@pytest.mark.parametrize(
    ("place", "make"),
    [
        (ADDRESSES_FILE, Path.mkdir),
        (PASSWORD_FILE, Path.mkdir),
        (PASSWORD_FILE, _file),
        ("locks", _file),
        ("locks/up.lock", Path.mkdir),
        ("logs", _file),
        ("logs/mlflow.log", Path.mkdir),
        ("logs/prefect.log", Path.mkdir),
        ("prefect", _file),
    ],
)
def test_a_damaged_home_is_reported_in_one_line_when_the_service_starts(
    place: str, make: Any, tmp_path: Path
) -> None:
    damaged = tmp_path / "home" / place
    damaged.parent.mkdir(parents=True, exist_ok=True)
    make(damaged)
    ended = factorgrid("up", "--mlflow-port", "0", "--prefect-port", "0", home=tmp_path / "home")
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.strip().splitlines()
    assert str(damaged) in line
