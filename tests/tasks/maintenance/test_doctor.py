"""What `factorgrid doctor` finds, with real faults."""

import http.server
import importlib.metadata
import json
import os
import socket
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from support.small_study import Done, factorgrid

from tasks.maintenance import doctor
from tasks.maintenance.disk_size import disk_size
from tasks.maintenance.doctor import Finding, examine, findings_as_text
from tasks.processes.own_folder import own_folder
from tasks.settings import Settings


@pytest.fixture(autouse=True)
def _no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "MLFLOW_TRACKING_USERNAME"):
        monkeypatch.delenv(name, raising=False)


def _found(settings: Settings, name: str) -> Finding:
    return next(f for f in examine(settings) if f.name == name)


def _local(home: Path) -> Settings:
    return Settings(home, f"sqlite:///{home / 'mlflow.db'}")


def test_an_installation_without_faults_has_exit_status_0(done: Done) -> None:
    ended = factorgrid("doctor", "--json", home=done.home)
    content = json.loads(ended.stdout)
    assert content["well"], content
    assert ended.returncode == 0
    names = {finding["name"] for finding in content["findings"]}
    assert {"Python", "packages", "home", "disk", "memory", "devices", "database"} <= names


def test_a_home_that_everybody_can_read_is_reported(tmp_path: Path) -> None:
    home = tmp_path / "a home"
    home.mkdir(mode=0o755)
    found = _found(_local(home), "home")
    assert found.state == "warn"
    assert found.remedy.endswith(f"chmod o-rwx '{home}'")
    home.chmod(0o750)
    assert _found(_local(home), "home").state == "ok"


def test_files_of_running_processes_are_reported(tmp_path: Path) -> None:
    (own_folder(tmp_path / "home" / "work") / "model.keras").write_bytes(b"x" * 2_000_000)
    assert (
        "2.0 MB of 1 running processes in" in _found(_local(tmp_path / "home"), "temporary").found
    )


def test_files_that_another_process_removes_meanwhile_are_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = own_folder(tmp_path / "home" / "work")
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "model.keras").write_bytes(b"x" * 1_000_000)
    scandir = os.scandir

    def too_late(path: Any) -> Any:
        if Path(path).name == "b":
            Path(path).rename(tmp_path / "elsewhere")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", too_late)
    assert (
        "1.0 MB of 1 running processes in" in _found(_local(tmp_path / "home"), "temporary").found
    )
    assert disk_size(folder / "gone") == 0


def test_servers_that_do_not_answer_give_exit_status_2_and_a_remedy(tmp_path: Path) -> None:
    more = {"MLFLOW_TRACKING_URI": "http://u:hidden-word@127.0.0.1:9"}
    more["PREFECT_API_URL"] = "http://me:hidden-word@127.0.0.1:9/api"
    ended = factorgrid("doctor", home=tmp_path / "home", **more)
    assert ended.returncode == 2
    for words in ("fail  MLflow", "fail  Prefect", "start it, or correct PREFECT_API_URL"):
        assert words in ended.stdout
    assert "http://127.0.0.1:9/api" in ended.stdout
    assert "hidden-word" not in ended.stdout + ended.stderr
    assert not (tmp_path / "home").exists()


def test_a_database_of_another_schema_is_reported_with_the_command_that_upgrades_it(
    done: Done, tmp_path: Path
) -> None:
    with sqlite3.connect(done.home / "mlflow.db") as source:
        copy = sqlite3.connect(tmp_path / "mlflow.db")
        source.backup(copy)
    copy.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    copy.commit()
    copy.close()
    found = _found(_local(tmp_path), "database")
    assert found.state == "fail"
    assert "451aebb31d03" in found.found
    assert "mlflow db upgrade sqlite:///" in found.remedy


def test_a_package_of_a_wrong_version_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ["prefect<3", "no-such-package>=1", "ruff>=99; extra == 'dev'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: wanted)
    found = {f.name: f for f in examine(_local(tmp_path)) if f.state == "fail"}
    assert found["prefect"].found.endswith("required <3")
    assert "not installed" in found["no-such-package"].found
    assert "ruff" not in found


def test_a_port_in_use_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(doctor, "MLFLOW_PORT", taken.getsockname()[1])
        found = _found(_local(tmp_path), "port")
    assert found.state == "warn"
    assert "--mlflow-port" in found.remedy


def test_a_disk_that_is_nearly_full_and_a_home_that_cannot_be_written_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "DISK", (1e9, 1e8))
    assert _found(_local(tmp_path), "disk").state == "fail"
    assert _found(_local(Path("/proc/home")), "home").state == "fail"
    assert "-> set FACTORGRID_HOME" in findings_as_text(examine(_local(Path("/proc/home"))))


class _OtherVersion(http.server.BaseHTTPRequestHandler):
    """A server of another version, which answers every other request with 404.

    Below /renamed it refuses the name by which it was called, as Prefect's server does.
    """

    def do_GET(self) -> None:
        body = b'"3.0.0"' if self.path.endswith("version") else b""
        is_refused = self.path.startswith("/renamed")
        body = b"Invalid host header" if is_refused else body
        self.send_response(400 if is_refused else 200 if body else 404)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_no_answer_of_a_server_shows_the_password_of_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _OtherVersion)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for path in ("api", "other"):
        url = f"http://me:hidden-word@127.0.0.1:{server.server_port}/{path}"
        monkeypatch.setenv("PREFECT_API_URL", url)
        assert "hidden-word" not in findings_as_text(examine(Settings(tmp_path, url)))
        assert (
            f"me:***@127.0.0.1:{server.server_port}"
            in _found(Settings(tmp_path, url), "Prefect").found
        )
    server.shutdown()


def test_a_server_that_does_not_accept_its_name_fails_and_names_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _OtherVersion)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}/renamed")
    found = _found(_local(tmp_path), "Prefect")
    server.shutdown()
    assert found.state == "fail"
    assert "does not accept the name 127.0.0.1" in found.found
    assert "--allowed-hosts" in found.remedy


def test_a_server_of_another_version_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _OtherVersion)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("PREFECT_API_URL", f"{url}/api")
    found = {f.name: f for f in examine(Settings(tmp_path, url))}
    server.shutdown()
    for name in ("MLflow", "Prefect"):
        assert found[name].state == "warn"
        assert "version 3.0.0, here" in found[name].found
    assert found["worker"].state == "warn"
