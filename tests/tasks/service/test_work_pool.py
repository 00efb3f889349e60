"""The HTTP requests to a Prefect server."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from tasks.service import work_pool


@contextmanager
def _server(*statuses: int) -> Iterator[tuple[str, list[str]]]:
    """Answer with these statuses in turn, then always with the last one; record the requests."""
    requested: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.send_response(statuses[min(len(requested), len(statuses) - 1)])
            requested.append(self.path)
            body = b'{"id": 7}'
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the name in the base class
            del format, args

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api", requested
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_pool, "BUSY_SECONDS", 0.01)


def test_a_request_to_a_busy_server_is_repeated() -> None:
    with _server(503, 503, 200) as (url, requested):
        assert work_pool.Api(url).post("flows", {}) == {"id": 7}
        assert requested == ["/api/flows"] * 3


def test_a_request_to_a_server_that_stays_busy_fails() -> None:
    with _server(503) as (url, requested):
        with pytest.raises(httpx.HTTPStatusError):
            work_pool.Api(url).post("flows", {})
        assert len(requested) == work_pool.BUSY_TRIES


def test_a_refused_request_is_not_repeated() -> None:
    with _server(404, 200) as (url, requested):
        with pytest.raises(httpx.HTTPStatusError):
            work_pool.Api(url).post("flows", {})
        assert len(requested) == 1
