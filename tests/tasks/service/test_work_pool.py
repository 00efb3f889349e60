"""The plain requests to a Prefect server."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from tasks.service import work_pool


@contextmanager
def _server(*statuses: int) -> Iterator[tuple[str, list[str]]]:
    """Answer with these statuses in turn, the last one from then on; note what was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.send_response(statuses[min(len(asked), len(statuses) - 1)])
            asked.append(self.path)
            body = b'{"id": 7}'
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name
            del format, args

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_pool, "BUSY_SECONDS", 0.01)


def test_a_server_that_is_busy_is_asked_again() -> None:
    with _server(503, 503, 200) as (url, asked):
        assert work_pool.Api(url).post("flows", {}) == {"id": 7}
        assert asked == ["/api/flows"] * 3


def test_a_server_that_stays_busy_is_given_up() -> None:
    with _server(503) as (url, asked):
        with pytest.raises(httpx.HTTPStatusError):
            work_pool.Api(url).post("flows", {})
        assert len(asked) == work_pool.BUSY_TRIES


def test_what_a_server_refuses_is_not_asked_again() -> None:
    with _server(404, 200) as (url, asked):
        with pytest.raises(httpx.HTTPStatusError):
            work_pool.Api(url).post("flows", {})
        assert len(asked) == 1
