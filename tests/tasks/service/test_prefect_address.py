"""A wrong `PREFECT_API_URL` is reported in one line that says what is wrong with it."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tasks.errors import OrchestratorError
from tasks.service.prefect_address import check_prefect_address


class _Server(http.server.BaseHTTPRequestHandler):
    """Answers by path: /api as Prefect's API, /locked with 401, /renamed with 400, or a page."""

    def do_GET(self) -> None:
        is_api = self.path == "/api/admin/version"
        is_refused = self.path.startswith("/renamed")
        self.send_response(401 if self.path.startswith("/locked") else 400 if is_refused else 200)
        self.end_headers()
        if is_refused:  # the answer of Starlette's TrustedHostMiddleware
            self.wfile.write(b"Invalid host header")
            return
        self.wfile.write(b'"3.8.8"' if is_api and self.server.is_prefect else b"<html>")  # type: ignore[attr-defined] # set below

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _server(*, is_prefect: bool) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
        server.is_prefect = is_prefect  # type: ignore[attr-defined] # for the handler
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def prefect() -> Iterator[str]:
    with _server(is_prefect=True) as url:
        yield url


@pytest.mark.parametrize("end", ["/api", "/api/"])
def test_the_address_of_the_api_is_accepted(prefect: str, end: str) -> None:
    check_prefect_address(f"{prefect}{end}")


@pytest.mark.parametrize("end", ["", "/", "/api/v2"])
def test_an_address_without_api_names_the_right_one(prefect: str, end: str) -> None:
    with pytest.raises(OrchestratorError, match=f"not the API of that server; .* {prefect}/api$"):
        check_prefect_address(f"{prefect}{end}")


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:4200/api",
        "localhost:4200/api",
        "ftp://host/api",
        "http:///api",
        "http://host:99999/api",
        "http://user:secret@[::1/api",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(OrchestratorError, match="not an address; write it as http://") as caught:
        check_prefect_address(url)
    assert "secret" not in str(caught.value)


def test_a_port_without_a_server_is_reported_without_the_password() -> None:
    with pytest.raises(OrchestratorError, match=r"no server answers \(.*refused\)") as caught:
        check_prefect_address("http://user:secret@127.0.0.1:9/api")
    assert "secret" not in str(caught.value)


def test_another_server_is_not_taken_for_prefect() -> None:
    with (
        _server(is_prefect=False) as url,
        pytest.raises(OrchestratorError, match="what answers is not a Prefect server"),
    ):
        check_prefect_address(f"{url}/api")


def test_a_server_that_wants_a_password_names_its_variable(prefect: str) -> None:
    with pytest.raises(OrchestratorError, match=r"refuses access .*PREFECT_API_AUTH_STRING"):
        check_prefect_address(f"{prefect}/locked")


def test_a_server_that_does_not_accept_its_name_names_the_option(prefect: str) -> None:
    with pytest.raises(OrchestratorError, match=r"does not accept the name 127.* --allowed-hosts"):
        check_prefect_address(f"{prefect}/renamed")
