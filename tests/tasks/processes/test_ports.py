"""Finding free TCP ports."""

import socket

import pytest

from tasks.processes.ports import bind_briefly, free_port, is_free_port

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
