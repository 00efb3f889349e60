"""MLflow's own server as a process, on SQLite or PostgreSQL, and a proxy that disturbs it."""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from tasks.processes.ports import free_port

#: The system's folder of temporary files. That of a command of FactorGrid is for its user only, and
#: PostgreSQL refuses to run as root.
FOR_EVERY_USER = tempfile.gettempdir()


class MlflowServer:
    """MLflow's server with one worker; it can be killed and started again on the same port."""

    def __init__(self, folder: Path, backend: str = "") -> None:
        self.folder, self.port = folder, free_port()
        self.backend = backend or f"sqlite:///{folder / 'server.db'}"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "-w", "1", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--backend-store-uri", self.backend]
        command += ["--artifacts-destination", (self.folder / "artifacts").as_uri()]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "server.log").open("ab"),
            start_new_session=True,
        )

    def wait(self, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.2)
        raise AssertionError((self.folder / "server.log").read_text()[-2000:])

    def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def mlflow_server(folder: Path, backend: str = "") -> Iterator[MlflowServer]:
    folder.mkdir(parents=True, exist_ok=True)
    server = MlflowServer(folder, backend)
    server.start()
    try:
        server.wait()
        yield server
    finally:
        server.kill()


#: Decides what happens to a request from its method, path, and the number of earlier requests.
#: None: it is passed on. A number: it is answered with that status. "hang up": the connection is
#: closed. "lose": it is passed on, and the connection is closed without the answer.
Trouble = Callable[[str, str, int], "int | str | None"]


class Proxy:
    """Passes requests on to a server, except for those that a test disturbs."""

    def __init__(self, to_port: int) -> None:
        self.to_port = to_port
        self.trouble: Trouble = lambda *_: None
        self.seen: list[str] = []
        handler = type("Handler", (_Handler,), {"proxy": self, "protocol_version": "HTTP/1.1"})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        trouble = self.proxy.trouble(self.command, self.path, len(self.proxy.seen))
        self.proxy.seen.append(f"{self.command} {self.path.partition('?')[0]}")
        if isinstance(trouble, int):
            self.send_response(trouble)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if trouble == "hang up":
            self.close_connection = True
            return
        if trouble == "repeat":
            self._forward(body)
        status, headers, content = self._forward(body)
        if trouble == "lose":
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in {"transfer-encoding", "content-length", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.to_port, timeout=60)
        with contextlib.closing(connection):
            kept = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
            connection.request(self.command, self.path, body, kept)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()

    # The names that http.server calls.
    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


def postgresql() -> Path | None:
    """Return the folder of PostgreSQL's programs on Debian; None if it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Start PostgreSQL on a free port with temporary data; yields its address."""
    programs, port = postgresql(), free_port()
    assert programs is not None
    # PostgreSQL refuses to run as root, and needs a short path to its socket.
    other = "postgres" if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory(
        prefix="postgres-", dir=FOR_EVERY_USER, ignore_cleanup_errors=True
    ) as text:
        folder = Path(text)
        if other:
            shutil.chown(folder, other, other)

        def run(program: str, *words: str) -> None:
            ended = subprocess.run(
                [str(programs / program), *words],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # the server keeps a pipe open
                stderr=(folder / "errors").open("ab"),
                check=False,
                user=other,
                group=other,
            )
            assert ended.returncode == 0, (folder / "errors").read_text()

        data = str(folder / "data")
        run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
        run("pg_ctl", "-D", data, "-o", options, "-l", f"{data}/log", "-w", "start")
        try:
            run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "mlflow")
            yield f"postgresql://postgres@127.0.0.1:{port}/mlflow"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "stop")
