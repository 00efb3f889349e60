"""A study's own Prefect server: whom it answers, and that it is started again if it is killed."""

import errno
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from support.prefect_database import add_prefect_database
from support.small_study import environment

from tasks.errors import OrchestratorError
from tasks.service import local_prefect as module
from tasks.service.access import CLIENT_PASSWORD, SERVER_PASSWORD
from tasks.service.local_prefect import LocalServer, local_prefect
from tasks.settings import Settings

FOREIGN = "http://pages.example.org"
#: What a page on another site would send to run a command with the worker.
DEPLOYMENT = {"name": "x", "flow_id": "x", "job_variables": {"command": "touch /tmp/x"}}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_API_URL", CLIENT_PASSWORD, SERVER_PASSWORD):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    folder = tmp_path_factory.mktemp("local")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(folder / "prefect"))
        started = LocalServer(folder / "server.log")
        try:
            started.wait()
            yield started
        finally:
            started.stop()


def _ask(server: LocalServer, method: str, path: str, **more: Any) -> httpx.Response:
    url = f"{server.api_url}/{path}"
    return httpx.request(method, url, trust_env=False, timeout=120, **more)


def _credentials(server: LocalServer) -> tuple[str, str]:
    user, _, password = server.password.partition(":")
    return user, password


def test_it_answers_programs_with_the_password_only(server: LocalServer) -> None:
    assert _ask(server, "GET", "admin/version").status_code == 401
    assert _ask(server, "POST", "deployments/", json=DEPLOYMENT).status_code == 401
    wrong = ("factorgrid", "wrong")
    assert _ask(server, "GET", "admin/version", auth=wrong).status_code == 401
    assert _ask(server, "GET", "admin/version", auth=_credentials(server)).status_code == 200


@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://127.0.0.1:1", "http://[", "x"])
def test_a_page_of_another_origin_is_refused_even_with_the_password(
    server: LocalServer, origin: str
) -> None:
    # Without a content type, as a browser sends a Blob: there is no preflight request.
    answer = _ask(
        server,
        "POST",
        "flows/filter",
        content=b"{}",
        headers={"Origin": origin},
        auth=_credentials(server),
    )
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_a_preflight_request_of_another_page_is_refused(server: LocalServer) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Origin": FOREIGN}
    asked["Access-Control-Request-Headers"] = "authorization,content-type"
    answer = _ask(server, "OPTIONS", "deployments/", headers=asked)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("host", [FOREIGN.removeprefix("http://"), "10.example.org:80", "["])
def test_a_request_under_another_name_is_refused(server: LocalServer, host: str) -> None:
    answer = _ask(server, "GET", "admin/version", headers={"Host": host}, auth=_credentials(server))
    assert answer.status_code == 400


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_its_own_pages_are_answered_under_each_of_its_names(server: LocalServer, name: str) -> None:
    host = f"{name}:{server.port}"
    own = {"Host": host, "Origin": f"http://{host}"}
    answer = _ask(server, "POST", "flows/filter", json={}, headers=own, auth=_credentials(server))
    assert answer.status_code == 200


def test_a_web_socket_of_another_page_is_refused(server: LocalServer) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol": "prefect",
    }
    foreign = _ask(server, "GET", "events/in", headers={**upgrade, "Origin": FOREIGN})
    assert foreign.status_code == 403


def test_the_password_is_in_no_command_line_and_in_no_log(server: LocalServer) -> None:
    secret = _credentials(server)[1]
    started = psutil.Process(server._program.pid)
    for process in [started, *started.children(recursive=True)]:
        assert secret not in " ".join(process.cmdline())
    assert secret not in server.log.read_text(encoding="utf-8")


def _prefect_itself(server: LocalServer) -> psutil.Process:
    (guard,) = psutil.Process(server._program.pid).children()
    (prefect,) = guard.children()
    return prefect


@pytest.mark.parametrize("which", ["server", "guard", "supervisor"])
def test_a_killed_server_is_started_again_and_requests_wait(
    server: LocalServer, which: str
) -> None:
    supervisor, prefect = psutil.Process(server._program.pid), _prefect_itself(server)
    victims = {"server": prefect, "guard": prefect.parent(), "supervisor": supervisor}
    made = _ask(server, "POST", "flows/", json={"name": which}, auth=_credentials(server)).json()
    victim = victims[which]
    assert victim is not None
    victim.kill()
    deadline = time.monotonic() + 60
    while prefect.is_running() and prefect.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # A new connection, which is not refused: the same port and the same database.
    found = _ask(server, "GET", f"flows/name/{which}", auth=_credentials(server))
    assert found.json()["id"] == made["id"]
    server._started_at = -1e6  # so that the next one does not end the server for good


class _Ended:
    """A program that has ended."""

    pid, exit_status = 0, 1

    def stop(self) -> None:
        pass


def _use_until_it_ends(server: LocalServer | None) -> None:
    assert server is not None
    assert os.environ[CLIENT_PASSWORD] == server.password
    server.wait()
    server._watch.join()
    httpx.get(server.api_url, trust_env=False)


def _with_starts(
    start: Callable[[LocalServer], _Ended], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Let this be what starts a server; return the settings of a home."""
    monkeypatch.setattr(LocalServer, "_start", start)
    monkeypatch.setattr(LocalServer, "_started_at", float("inf"), raising=False)
    monkeypatch.setattr(LocalServer, "_wait_until", lambda *_: None)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    settings = Settings(folder, "")
    settings.logs.mkdir()
    return settings


def test_a_server_that_always_ends_makes_one_line_of_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _with_starts(lambda _: _Ended(), tmp_path, monkeypatch)

    with (
        pytest.raises(OrchestratorError, match=r"ended 3 times in a row; .*prefect-server\.log"),
        local_prefect(settings) as server,
    ):
        _use_until_it_ends(server)
    assert CLIENT_PASSWORD not in os.environ
    assert "PREFECT_API_URL" not in os.environ


def test_a_server_that_cannot_be_started_again_makes_one_line_of_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = iter([_Ended()])

    def start(_: LocalServer) -> _Ended:
        for ended in starts:
            return ended
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    settings = _with_starts(start, tmp_path, monkeypatch)

    with (
        pytest.raises(OrchestratorError, match=r"could not be started again \(.*unavailable"),
        local_prefect(settings) as server,
    ):
        _use_until_it_ends(server)


#: A flow whose server is killed when it has ended.
KILLED_AT_THE_END = """
import time
import psutil
from tasks.environment import prepare_environment
from tasks.service.local_prefect import local_prefect

with local_prefect(prepare_environment().create()) as server:
    server.wait()
    from prefect import flow
    from prefect.events import emit_event

    @flow
    def work():
        emit_event("own.first", {"prefect.resource.id": "own"})

    work()
    (guard,) = psutil.Process(server._program.pid).children()
    (prefect,) = guard.children()
    prefect.kill()
    time.sleep(1)  # until the client knows that its connection is broken
    emit_event("own.last", {"prefect.resource.id": "own"})
"""


def test_a_server_that_is_killed_at_the_end_gets_all_events_and_nothing_is_printed(
    tmp_path: Path,
) -> None:
    add_prefect_database(tmp_path)
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_AT_THE_END],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    with closing(sqlite3.connect(tmp_path / "prefect" / "prefect.db")) as database:
        events = database.execute("select event from events where event like 'own.%'").fetchall()
    assert {name for (name,) in events} == {"own.first", "own.last"}
    assert time.monotonic() - started < 120  # seconds; each event that is lost takes 7


def test_the_password_that_the_user_has_set_is_used_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalServer, "_start", lambda _: _Ended())
    monkeypatch.setenv(CLIENT_PASSWORD, "me:word")
    settings = Settings(tmp_path, "")
    settings.logs.mkdir()
    with local_prefect(settings) as server:
        assert server is not None
        assert server.environment[CLIENT_PASSWORD] == "me:word"
    assert os.environ[CLIENT_PASSWORD] == "me:word"
