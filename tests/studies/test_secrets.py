"""Secrets that a user gives are in nothing that a study leaves behind: files, databases, logs."""

import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from support.image_files import archive
from support.mlflow_server import mlflow_server
from support.small_study import factorgrid, write_study

#: Where a secret is given -> the secret. Each is found in a file as it is written here.
SECRETS = {
    "signature of the pictures": "planted-signature-7d1",
    "password of MLflow": "planted-mlflow-7d2",
    "variable of a store": "planted-store-7d3",
}


class SignedFiles(SimpleHTTPRequestHandler):
    """Serves files to requests with the signature only."""

    def do_GET(self) -> None:
        if self._is_signed():
            super().do_GET()

    def do_HEAD(self) -> None:
        if self._is_signed():
            super().do_HEAD()

    def _is_signed(self) -> bool:
        signature = parse_qs(urlsplit(self.path).query).get("sig")
        if signature == [SECRETS["signature of the pictures"]]:
            return True
        self.send_error(403)
        return False

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def signed_files(folder: Path) -> Iterator[str]:
    handler = partial(SignedFiles, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def found_in(folder: Path, secrets: Sequence[str]) -> list[str]:
    """Return the files below a folder that have a secret, and which."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    assert files
    return [f"{file}: {s}" for file in files for s in secrets if s.encode() in file.read_bytes()]


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Return a folder for temporary files: the path of a socket has at most 107 characters."""
    with tempfile.TemporaryDirectory(prefix="fg") as folder:
        yield Path(folder)


@pytest.mark.slow
def test_a_study_leaves_no_secret_behind(tmp_path: Path, short_folder: Path) -> None:
    pytest.importorskip("aiohttp", reason="fsspec reads http by it")
    for name in ("files", "state"):
        (tmp_path / name).mkdir()
    archive(tmp_path / "files" / "pets.zip", 240)
    path = write_study(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("drawn = 240\n", ""), encoding="utf-8")
    signature, password, store = SECRETS.values()
    with signed_files(tmp_path / "files") as site, mlflow_server(tmp_path / "mlflow") as server:

        def search(address: str) -> "tuple[int, str]":
            ended = factorgrid(
                *("search", path, "--data", address),
                home=tmp_path / "state" / "home",
                TMPDIR=str(short_folder),
                FACTORGRID_TEMPORARY="",
                MLFLOW_TRACKING_URI=server.uri.replace("://", f"://me:{password}@"),
                AWS_SECRET_ACCESS_KEY=store,
                FACTORGRID_LOG="json",
            )
            return ended.returncode, ended.stdout + ended.stderr

        # A wrong signature: the server of the pictures refuses it, and its library's error has the
        # whole address.
        status, said = search(f"{site}/pets.zip?version=3&sv=1&sig={store}")
        assert (status, said.count("pictures http")) == (2, 1), said
        assert store not in said

        status, said = search(f"{site}/pets.zip?version=3&sv=1&sig={signature}")
        assert status == 0, said
        assert "confirm    2/2" in said
        for secret in SECRETS.values():
            assert secret not in said
    for name in ("state", "mlflow"):
        assert found_in(tmp_path / name, list(SECRETS.values())) == []
    # The signature is no part of what the pictures are: a new one finds the same study done.
    assert b"pets.zip?version=3" in (tmp_path / "mlflow" / "server.db").read_bytes()
