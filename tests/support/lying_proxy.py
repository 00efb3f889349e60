"""A proxy that lies: it passes requests on to a server, and disturbs some of them by a seed.

It works on whole requests of HTTP/1.1, so that it can be put before MLflow's server and before
Prefect's. Each fault may happen to a request with the probability that a test sets:

============  ==================================================================================
fault         what the client sees
============  ==================================================================================
``error``     the answer has status 503; the server does not get the request
``drop``      the connection is closed; the server does not get the request
``lose``      the connection is closed; the server has carried the request out
``break``     the answer breaks off in its middle, and the connection is closed
``halve``     the answer is the first half, with a Content-Length that says it is complete
``double``    the answer's content comes twice, with a Content-Length that says it is complete
``repeat``    the server gets the request twice, and the client gets the second answer
``hang``      no answer, until the proxy is closed or `Faults.hang_seconds` have passed
============  ==================================================================================
"""

import contextlib
import http.client
import random
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = ("error", "drop", "lose", "break", "halve", "double", "repeat", "hang")
#: Headers that belong to one connection, and are written anew.
OF_A_CONNECTION = {"transfer-encoding", "content-length", "connection", "keep-alive"}


@dataclass
class Faults:
    """What a proxy does to requests; a test may change it at any time.

    Attributes
    ----------
    shares : fault -> probability for each request; their sum is at most 1.
    path : only requests whose path contains this text are disturbed.
    seed : of the choice.
    hang_seconds : how long a request hangs.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    path: str = ""
    seed: int = 1
    hang_seconds: float = 3600

    def __post_init__(self) -> None:
        unknown = set(self.shares) - set(FAULTS)
        assert not unknown, f"unknown faults: {unknown}"
        assert sum(self.shares.values()) <= 1 + 1e-9
        self._random = random.Random(self.seed)
        self._lock = threading.Lock()

    def choose(self, path: str) -> str:
        """Return the fault of the next request; empty if it is not disturbed."""
        if self.path not in path:
            return ""
        with self._lock:
            place = self._random.random()
        for fault, share in self.shares.items():
            place -= share
            if place < 0:
                return fault
        return ""


class LyingProxy:
    """A proxy before the server at a port of this machine.

    Attributes
    ----------
    faults : what it does to requests.
    counts : how often each fault happened; ``""`` counts the undisturbed requests.
    """

    def __init__(self, to_port: int, faults: Faults | None = None) -> None:
        self.to_port, self.faults = to_port, faults or Faults()
        self.counts: Counter[str] = Counter()
        self.closed = threading.Event()
        handler = type("Handler", (_Handler,), {"proxy": self, "protocol_version": "HTTP/1.1"})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.uri = f"http://127.0.0.1:{self.port}"

    def forward(self, method: str, path: str, headers: Any, body: bytes) -> "_Answer":
        connection = http.client.HTTPConnection("127.0.0.1", self.to_port, timeout=120)
        with contextlib.closing(connection):
            kept = {k: v for k, v in headers.items() if k.lower() != "connection"}
            connection.request(method, path, body, kept)
            answer = connection.getresponse()
            return _Answer(answer.status, answer.getheaders(), answer.read())

    @contextlib.contextmanager
    def running(self) -> Iterator["LyingProxy"]:
        """Serve in a thread while the block runs."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.closed.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: list[tuple[str, str]]
    content: bytes


class _Handler(BaseHTTPRequestHandler):
    proxy: LyingProxy

    def _pass(self) -> None:
        proxy = self.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = proxy.faults.choose(self.path)
        proxy.counts[fault] += 1
        if fault == "error":
            return self._answer(_Answer(503, [], b""))
        if fault == "hang":
            proxy.closed.wait(proxy.faults.hang_seconds)
        if fault in {"hang", "drop"}:
            return self._close()
        try:
            if fault == "repeat":
                proxy.forward(self.command, self.path, self.headers, body)
            answer = proxy.forward(self.command, self.path, self.headers, body)
        except OSError:  # the server is not there
            return self._close()
        content = answer.content
        if fault == "lose":
            return self._close()
        if fault == "break":
            return self._answer(answer, content[: len(content) // 2])
        if fault == "halve":
            content = content[: len(content) // 2]
        elif fault == "double":
            content *= 2
        return self._answer(_Answer(answer.status, answer.headers, content))

    def _close(self) -> None:
        self.close_connection = True

    def _answer(self, answer: _Answer, part: bytes | None = None) -> None:
        """Send an answer, or only a part of its content."""
        self.send_response(answer.status)
        for name, value in answer.headers:
            if name.lower() not in OF_A_CONNECTION:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the client is gone
            self.wfile.write(answer.content if part is None else part)
        if part is not None:
            self._close()

    # The names that http.server calls.
    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _pass  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass
