"""Who may use the servers: names of this machine, and the password in the home."""

import os
import socket
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow.server.security_utils import is_allowed_host_header

from tasks.errors import OrchestratorError
from tasks.service import mlflow_ui
from tasks.service.access import (
    CLIENT_PASSWORD,
    PASSWORD_FILE,
    SERVER_PASSWORD,
    checked_host_names,
    host_names,
    mlflow_access,
    stored_password,
    user_password,
)
from tasks.settings import Settings
from tasks.tracking.tracker import Tracker


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (SERVER_PASSWORD, CLIENT_PASSWORD, "MLFLOW_SERVER_ALLOWED_HOSTS"):
        monkeypatch.delenv(name, raising=False)


def test_a_server_on_loopback_is_called_by_the_names_of_loopback_only() -> None:
    assert host_names("127.0.0.1") == ["127.0.0.1", "::1", "localhost"]
    assert "pc.example.org" in host_names("127.0.0.1", ["PC.example.org"])


def test_a_server_on_all_addresses_is_called_by_the_names_of_this_machine() -> None:
    names = host_names("0.0.0.0")  # noqa: S104 # nothing is bound
    assert socket.gethostname().lower() in names
    assert socket.getfqdn().lower() in names
    assert "127.0.0.1" in names
    assert "0.0.0.0" not in names  # noqa: S104 # nothing is bound


def test_mlflow_accepts_no_name_that_only_begins_like_a_private_address() -> None:
    hosts = mlflow_access(host_names("127.0.0.1"), 5000)["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    for name in ("localhost", "127.0.0.1", "[::1]"):
        for end in ("", ":5000", ":15000"):  # an SSH tunnel may begin at another port
            assert is_allowed_host_header(hosts, f"{name}{end}")
    for name in ("10.example.org", "localhost.example.org", "127.0.0.1.example.org", "[::2]", ":"):
        for end in ("", ":5000"):
            assert not is_allowed_host_header(hosts, f"{name}{end}")


def test_mlflow_accepts_pages_of_its_own_port_and_of_a_proxy_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", raising=False)
    access = mlflow_access(["::1", "localhost", "pc.org"], 5000, ["pc.org"])
    assert set(access["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"].split(",")) == {
        *("http://[::1]:5000", "https://[::1]:5000"),
        *("http://localhost:5000", "https://localhost:5000"),
        *("http://pc.org:5000", "https://pc.org:5000", "http://pc.org", "https://pc.org"),
    }


def test_names_that_the_user_has_set_for_mlflow_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SERVER_ALLOWED_HOSTS", "mine:80")
    assert mlflow_access(["localhost"], 5000)["MLFLOW_SERVER_ALLOWED_HOSTS"] == "mine:80"


@pytest.mark.parametrize("given", ["http://pc", "pc:80", "*", "*.org", "a b", "a\nb"])
def test_what_is_not_the_name_of_a_host_is_refused(given: str) -> None:
    with pytest.raises(
        OrchestratorError, match=r"--allowed-hosts .*: .* is not the name of a host"
    ):
        checked_host_names("--allowed-hosts", given)


def test_names_are_separated_by_commas() -> None:
    assert checked_host_names("--allowed-hosts", "pc7, [::1],x.org") == ["pc7", "::1", "x.org"]
    assert checked_host_names("--allowed-hosts", None) == []


@pytest.mark.parametrize("name", [SERVER_PASSWORD, CLIENT_PASSWORD])
def test_a_password_that_the_user_has_set_is_used(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert user_password() is None
    monkeypatch.setenv(name, "me:word")
    assert user_password() == "me:word"


def test_different_passwords_of_server_and_clients_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(SERVER_PASSWORD, "me:word")
    monkeypatch.setenv(CLIENT_PASSWORD, "me:other")
    with pytest.raises(OrchestratorError, match=r"differ.* set both to the same value") as caught:
        user_password()
    assert "word" not in str(caught.value)


@pytest.mark.parametrize("given", ["secret", ":", "a b:secret", "me:se cret"])
def test_what_is_not_user_and_password_is_refused_and_not_shown(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SERVER_PASSWORD, given)
    with pytest.raises(OrchestratorError, match="is not user:password") as caught:
        user_password()
    assert "secret" not in str(caught.value)


def _mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_the_password_is_created_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    first, file = stored_password(tmp_path), tmp_path / PASSWORD_FILE
    assert len(first) > 40
    assert _mode(file) == 0o600
    file.chmod(0o644)
    assert stored_password(tmp_path) == first
    assert _mode(file) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [PASSWORD_FILE]


def test_a_half_written_password_is_made_again(tmp_path: Path) -> None:
    (tmp_path / PASSWORD_FILE).with_suffix(".new").write_text("fac")
    assert len(stored_password(tmp_path)) > 40


@pytest.mark.parametrize(
    "content", [b"", b"word", b"\xff\x00:\x01", b"two:words here\n", b"a:b\nc:d"]
)
def test_a_damaged_password_is_reported_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / PASSWORD_FILE).write_bytes(content)
    with pytest.raises(OrchestratorError, match="is not one line user:password; delete it"):
        stored_password(tmp_path)


def test_a_folder_in_place_of_the_password_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / PASSWORD_FILE).mkdir(0o755)
    with pytest.raises(OrchestratorError, match=r"cannot be read .*; rename"):
        stored_password(tmp_path)
    assert _mode(tmp_path / PASSWORD_FILE) == 0o755


def test_the_command_line_of_the_pages_has_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = "mysql+pymysql://me:secretpw9@127.0.0.1/runs"
    commands: list[list[str]] = []
    monkeypatch.setattr(Tracker, "open", lambda *_: SimpleNamespace(experiments=list))
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(os, "execv", lambda _, command: commands.append(command))
    monkeypatch.chdir(tmp_path)
    mlflow_ui.serve_mlflow_ui(Settings(tmp_path / "home", uri), "127.0.0.1", 0)
    (command,) = commands
    assert "secretpw9" not in " ".join(command)
    assert os.environ["MLFLOW_BACKEND_STORE_URI"] == uri
