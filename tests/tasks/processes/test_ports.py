"""Finding free TCP ports."""

import socket
from pathlib import Path

import pytest

from tasks.errors import OrchestratorError, UserError
from tasks.processes.ports import bind_briefly, free_port, is_free_port
from tasks.service.mlflow_ui import serve_mlflow_ui
from tasks.service.programs import choose_port
from tasks.settings import Settings

HOST = "127.0.0.1"


def test_a_port_in_use_is_not_free_and_the_next_one_is_found() -> None:
    with socket.socket() as used:
        used.bind((HOST, 0))
        used.listen()
        port = used.getsockname()[1]
        assert not is_free_port(HOST, port)
        assert free_port(HOST, port) > port
        with pytest.raises(OSError, match="in use"):
            bind_briefly(HOST, port)


def test_a_free_port_can_be_used() -> None:
    port = free_port()
    assert is_free_port(HOST, port)
    assert free_port(HOST, port) == port


@pytest.mark.parametrize("port", [-1, 65536, 80000])
def test_a_number_that_is_no_port_is_not_free(port: int) -> None:
    assert not is_free_port(HOST, port)
    with pytest.raises(OSError, match="from 0 to 65535"):
        bind_briefly(HOST, port)


def test_the_reason_why_a_port_cannot_be_used_is_given(tmp_path: Path) -> None:
    settings = Settings(tmp_path, f"sqlite:///{tmp_path / 'mlflow.db'}")
    with pytest.raises(OrchestratorError, match=r"--prefect-port 80000 .*\(ports are numbers from"):
        choose_port("--prefect-port", 80000, 4200, HOST)
    with pytest.raises(UserError, match=r"--port 80000 at .*\(ports are numbers from 0 to 65535\)"):
        serve_mlflow_ui(settings, HOST, 80000)
    with pytest.raises(UserError, match=r"at nosuch\.invalid: .*\(.*not known.*\)"):
        serve_mlflow_ui(settings, "nosuch.invalid", 5000)
    assert not list(tmp_path.iterdir())
