"""A cluster's address at which no cluster answers: one line, before anything is prepared."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.service_process import until
from support.small_study import factorgrid, write_study

from tasks.errors import UserError
from tasks.processes.ports import free_port
from tasks.settings import Settings
from tasks.training.cluster import require_cluster


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Return a port at which connections are accepted, and nothing answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


#: Runner, address (PORT is one at which nothing listens), and the reason.
UNREACHABLE = [
    ("dask", "tcp://127.0.0.1:PORT", "Connection refused"),
    ("dask", "127.0.0.1:PORT", "Connection refused"),
    ("ray", "127.0.0.1:PORT", "Connection refused"),
    ("ray", "ray://127.0.0.1:PORT", "Connection refused"),
    ("ray", "nohost", "it is not a host and a port"),
    ("dask", "tcp://127.0.0.1:99999", "Port out of range"),
]


@pytest.mark.parametrize(("runner", "address", "reason"), UNREACHABLE)
def test_an_address_at_which_nothing_listens_is_reported(
    runner: str, address: str, reason: str, tmp_path: Path
) -> None:
    address = address.replace("PORT", str(free_port()))
    with pytest.raises(UserError, match=reason) as caught:
        require_cluster(Settings(tmp_path, "", runner=runner, runner_address=address))
    line = str(caught.value)
    assert line.startswith(f"FACTORGRID_RUNNER_ADDRESS={address}: no cluster of {runner} answers")
    assert "start it, correct the address, or unset it" in line


@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_a_port_of_another_program_is_reported(
    runner: str, silent_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.training.cluster.ANSWER_SECONDS", 3)
    settings = Settings(tmp_path, "", runner=runner, runner_address=f"127.0.0.1:{silent_port}")
    with pytest.raises(UserError, match="something else listens at that port"):
        require_cluster(settings)


@pytest.mark.parametrize("address", ["", "auto"])
def test_a_cluster_that_is_started_or_found_by_its_library_has_no_address(
    address: str, tmp_path: Path
) -> None:
    require_cluster(Settings(tmp_path, "", runner="ray", runner_address=address))


def test_a_scheduler_that_answers_is_accepted(tmp_path: Path) -> None:
    port = str(free_port())
    words = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port]
    log = tmp_path / "log"
    with log.open("wb") as file:
        scheduler = subprocess.Popen(
            [sys.executable, "-m", *words, "--no-dashboard"], stdout=file, stderr=file
        )
    try:
        until(lambda: "Scheduler at" in log.read_text(), 100, "the scheduler")
        address = f"tcp://127.0.0.1:{port}"
        require_cluster(Settings(tmp_path, "", runner="dask", runner_address=address))
    finally:
        scheduler.kill()
        scheduler.wait()


@pytest.mark.parametrize("runner", ["dask", pytest.param("ray", marks=pytest.mark.slow)])
def test_a_study_ends_with_one_line_before_anything_is_prepared(
    runner: str, tmp_path: Path
) -> None:
    address = f"127.0.0.1:{free_port()}"
    home = tmp_path / "home"
    ended = factorgrid(
        "search",
        write_study(tmp_path),
        home=home,
        FACTORGRID_RUNNER=runner,
        FACTORGRID_RUNNER_ADDRESS=address,
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr == (
        f"factorgrid: FACTORGRID_RUNNER_ADDRESS={address}: no cluster of {runner} answers there "
        "(Connection refused); start it, correct the address, or unset it to start a cluster on "
        "this machine\n"
    )
    assert not any((home / name).exists() for name in ("cache", "metadata.db", "validation"))
