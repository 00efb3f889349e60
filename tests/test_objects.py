"""Pictures in an object store: copied once, whole, and again when they change."""

import importlib
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import fsspec
import pytest
from harness import factorgrid

from models.drawn import draw
from tasks.errors import DataError
from tasks.ingest import find_images
from tasks.objects import address_of, brought_here


def _archive(path: Path, pictures: int) -> Path:
    images, labels, classes = draw(pictures, 16, seed=3)
    with zipfile.ZipFile(path, "w") as archive:
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            data = cv2.imencode(".png", image)[1].tobytes()
            archive.writestr(f"{classes[label]}/{index}.png", data)
    return path


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()


def test_an_address_survives_being_a_path() -> None:
    for url in ("s3://bucket/pets.zip", "file:///data/pets.zip", "https://host/a/pets.zip"):
        assert address_of(Path(url)) == url
    for path in ("pets.zip", "/data/pets.zip", "data/a:b/pets", "C:/pets"):
        assert address_of(Path(path)) is None


def test_an_archive_is_copied_once_and_again_when_it_changes(memory: Any, tmp_path: Path) -> None:
    url, scratch = "memory://bucket/pets.zip", tmp_path / "unpacked"
    memory.put_file(str(_archive(tmp_path / "a.zip", 64)), "/bucket/pets.zip")
    first = find_images(Path(url), scratch)
    assert len(first.entries) == 64
    (copy,) = scratch.iterdir()
    before = copy.stat().st_mtime_ns
    assert brought_here(url, scratch) == copy
    assert copy.stat().st_mtime_ns == before
    memory.put_file(str(_archive(tmp_path / "b.zip", 70)), "/bucket/pets.zip")
    second = find_images(Path(url), scratch)
    assert len(second.entries) == 70
    assert first.key == second.key == second.words == url
    assert len(list(scratch.iterdir())) == 2


def test_a_copy_that_breaks_off_leaves_nothing(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe_file("/bucket/pets.zip", b"x" * 1000)

    def broken(_: Any, __: str, target: str, **___: Any) -> None:
        Path(target).write_bytes(b"x" * 500)
        raise ConnectionResetError("the store hung up")

    monkeypatch.setattr(type(memory), "get_file", broken)
    with pytest.raises(DataError, match="the store hung up"):
        brought_here("memory://bucket/pets.zip", tmp_path / "unpacked")
    assert list((tmp_path / "unpacked").iterdir()) == []


def test_what_is_shorter_than_announced_is_no_copy(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe_file("/bucket/pets.zip", b"x" * 1000)

    def short(_: Any, __: str, target: str, **___: Any) -> None:
        Path(target).write_bytes(b"x" * 500)

    monkeypatch.setattr(type(memory), "get_file", short)
    with pytest.raises(DataError, match="changed while it was copied"):
        brought_here("memory://bucket/pets.zip", tmp_path / "unpacked")
    assert list((tmp_path / "unpacked").iterdir()) == []


#: An address, and words that its one line must have.
BAD = {
    "memory://bucket/none.zip": "no such object",
    "nosuch://bucket/pets.zip": "Protocol not known: nosuch",
    "memory://folder": "a folder; name one zip",
    "https://me:secret@host/pets.zip": "a password in the address would be kept in MLflow",
}


@pytest.mark.parametrize("url", BAD)
def test_an_address_that_leads_nowhere_is_one_line(memory: Any, url: str, tmp_path: Path) -> None:
    memory.pipe_file("/folder/a.png", b"x")
    with pytest.raises(DataError) as error:
        find_images(Path(url), tmp_path)
    assert str(error.value).startswith(f"--data {url.replace('me:secret@', '')}: ")
    assert BAD[url] in str(error.value)


def test_a_protocol_without_its_package_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = importlib.import_module("fsspec.registry")  # the package's own name is a table
    wanted = {"class": "no_such_package.System", "err": "Install no-such-package to read it"}
    monkeypatch.setitem(registry.known_implementations, "shelf", wanted)
    with pytest.raises(DataError, match=r"not installed .*Install no-such-package"):
        find_images(Path("shelf://bucket/pets.zip"), tmp_path)


def test_validate_takes_a_url(tmp_path: Path) -> None:
    _archive(tmp_path / "pets.zip", 64)
    url = (tmp_path / "pets.zip").as_uri()
    ended = factorgrid("validate", "--data", url, "--json", home=tmp_path / "home")
    assert ended.returncode == 0, ended.stderr
    missing = factorgrid("validate", "--data", f"{url}x", home=tmp_path / "home")
    assert missing.returncode == 2
    (line,) = missing.stderr.strip().splitlines()
    assert f"--data {url}x: no such object" in line


def test_an_archive_behind_http_is_read(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="fsspec reads http by it")
    (tmp_path / "served").mkdir()
    _archive(tmp_path / "served" / "pets.zip", 64)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/pets.zip"
        assert len(find_images(Path(url), tmp_path / "unpacked").entries) == 64
        server.shutdown()
