"""Pictures in an object store: copied once, completely, and again when they change."""

import gc
import importlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest
from support.image_files import archive, drawn
from support.small_study import factorgrid

from tasks.data.check_images import check_images
from tasks.data.find_images import find_images
from tasks.data.metadata_store import MetadataStore
from tasks.data.object_store import StoreLocation
from tasks.data.reason import Reason
from tasks.data.source import url_of
from tasks.errors import DataError
from tasks.maintenance.cache import clear_caches, list_caches

PETS = Path("memory://bucket/pets")


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()


def test_a_url_survives_being_a_path() -> None:
    for url in ("s3://bucket/pets.zip", "file:///data/pets.zip", "https://host/a/pets.zip"):
        assert url_of(Path(url)) == url
    for path in ("pets.zip", "/data/pets.zip", "data/a:b/pets", "C:/pets"):
        assert url_of(Path(path)) is None


def test_an_archive_is_copied_once_and_again_when_it_changes(memory: Any, tmp_path: Path) -> None:
    url, scratch = "memory://bucket/pets.zip", tmp_path / "unpacked"
    memory.put_file(str(archive(tmp_path / "a.zip", 64)), "/bucket/pets.zip")
    first = find_images(Path(url), scratch)
    assert len(first.entries) == 64
    (copy,) = scratch.iterdir()
    before = copy.stat().st_mtime_ns
    assert StoreLocation(url).copy_archive(scratch) == copy
    assert copy.stat().st_mtime_ns == before
    memory.put_file(str(archive(tmp_path / "b.zip", 70)), "/bucket/pets.zip")
    second = find_images(Path(url), scratch)
    assert len(second.entries) == 70
    assert first.key == second.key == second.description == url
    assert len(list(scratch.iterdir())) == 2


def test_an_interrupted_copy_leaves_nothing(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe_file("/bucket/pets.zip", b"x" * 1000)

    def broken(_: Any, __: str, target: str, **___: Any) -> None:
        Path(target).write_bytes(b"x" * 500)
        raise ConnectionResetError("the store closed the connection")

    monkeypatch.setattr(type(memory), "get_file", broken)
    with pytest.raises(DataError, match="the store closed the connection"):
        StoreLocation("memory://bucket/pets.zip").copy_archive(tmp_path / "unpacked")
    assert list((tmp_path / "unpacked").iterdir()) == []


def test_a_copy_that_is_too_short_is_an_error(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe_file("/bucket/pets.zip", b"x" * 1000)

    def short(_: Any, __: str, target: str, **___: Any) -> None:
        Path(target).write_bytes(b"x" * 500)

    monkeypatch.setattr(type(memory), "get_file", short)
    with pytest.raises(DataError, match="changed while it was copied"):
        StoreLocation("memory://bucket/pets.zip").copy_archive(tmp_path / "unpacked")
    assert list((tmp_path / "unpacked").iterdir()) == []


#: URL -> text that the error must contain.
BAD = {
    "memory://bucket/none.zip": "no such object",
    "nosuch://bucket/pets.zip": "Protocol not known: nosuch",
    "memory://folder": "no class in the names of 1 picture;",
    "https://me:secret@host/pets.zip": "a password, token or signature in the address",
    "https://t0ken@host/pets.zip": "in the environment, as the store's package reads them",
    "https://host/pets.zip?sv=2&sig=abc%3D": "signed address in FACTORGRID_SIGNED_URLS",
}


@pytest.mark.parametrize("url", BAD)
def test_a_url_without_pictures_is_one_line(memory: Any, url: str, tmp_path: Path) -> None:
    memory.pipe_file("/folder/a.png", b"x")
    with pytest.raises(DataError) as error:
        find_images(Path(url), tmp_path)
    shown = url.replace(":secret@", ":***@").replace("t0ken@", "***@").replace("abc%3D", "***")
    assert str(error.value).startswith(f"pictures {shown}: ")
    assert BAD[url] in str(error.value)


def test_a_protocol_without_its_package_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = importlib.import_module("fsspec.registry")  # the package's own name is a table
    wanted = {"class": "no_such_package.System", "err": "Install no-such-package to read it"}
    monkeypatch.setitem(registry.known_implementations, "shelf", wanted)
    with pytest.raises(DataError, match=r"not installed .*Install no-such-package"):
        find_images(Path("shelf://bucket/pets.zip"), tmp_path)


def test_validate_takes_a_url(tmp_path: Path) -> None:
    archive(tmp_path / "pets.zip", 64)
    url = (tmp_path / "pets.zip").as_uri()
    ended = factorgrid("validate", "--data", url, "--json", home=tmp_path / "home")
    assert ended.returncode == 0, ended.stderr
    missing = factorgrid("validate", "--data", f"{url}x", home=tmp_path / "home")
    assert missing.returncode == 2
    (line,) = missing.stderr.strip().splitlines()
    assert f"pictures {url}x: no such object" in line


def test_an_archive_behind_http_is_read(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="fsspec reads http by it")
    (tmp_path / "served").mkdir()
    archive(tmp_path / "served" / "pets.zip", 64)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/pets.zip"
        assert len(find_images(Path(url), tmp_path / "unpacked").entries) == 64
        server.shutdown()


# -- folders ------------------------------------------------------------------------------------


@pytest.fixture
def pets(memory: Any) -> Any:
    """A store with a folder of 64 pictures and a text file."""
    for name, data in drawn(64).items():
        memory.pipe_file(f"/bucket/pets/{name}", data)
    memory.pipe_file("/bucket/pets/readme.txt", b"drawn")
    return memory


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch, memory: Any) -> list[str]:
    """The objects that are copied from the store, in order."""
    seen: list[str] = []
    real = type(memory).get_file

    def noted(self: Any, place: str, *given: Any, **named: Any) -> Any:
        seen.append(place)
        return real(self, place, *given, **named)

    monkeypatch.setattr(type(memory), "get_file", noted)
    return seen


def test_a_folder_in_a_store_is_read_like_a_folder_on_disk(pets: Any, tmp_path: Path) -> None:
    reported: list[tuple[str, int, int]] = []
    found = find_images(PETS, tmp_path / "unpacked", lambda *given: reported.append(given))
    local = tmp_path / "pets"
    pets.get("/bucket/pets", str(local), recursive=True)
    expected = find_images(local, tmp_path)
    assert [e[:2] for e in found.entries] == [e[:2] for e in expected.entries]
    assert found.passed_over == expected.passed_over == {"readme.txt": Reason("not_a_picture_name")}
    assert found.description == found.key == "memory://bucket/pets"
    assert reported[-1] == ("copying pictures", 64, 64)
    store = MetadataStore(tmp_path / "metadata.db", tmp_path / "locks")
    there, here = check_images(found, store), check_images(expected, store)
    assert there.metadata["digest"].tolist() == here.metadata["digest"].tolist()


def test_only_new_and_changed_objects_are_copied_and_read(
    pets: Any, copied: list[str], tmp_path: Path
) -> None:
    store = MetadataStore(tmp_path / "metadata.db", tmp_path / "locks")

    def read() -> tuple[int, int]:
        gc.collect()  # reference cycles of the last scan would keep its lock on the copies
        checked = check_images(find_images(PETS, tmp_path / "unpacked"), store)
        return len(checked.metadata), checked.read

    assert read() == (64, 64)
    assert len(copied) == 64
    assert read() == (64, 0)
    assert len(copied) == 64
    more = drawn(66)
    first, *_, new = more
    pets.pipe_file(f"/bucket/pets/{first}", more[new])
    pets.pipe_file(f"/bucket/pets/{new}", more[first])
    pets.rm_file(f"/bucket/pets/{list(more)[1]}")
    assert read() == (64, 2)
    assert sorted(copied[64:]) == sorted(f"/bucket/pets/{name}" for name in (first, new))
    (folder,) = (tmp_path / "unpacked").iterdir()
    assert len([file for file in folder.iterdir() if file.suffix == ""]) == 64 + 1  # and the lock


def test_an_interrupted_copy_of_a_folder_is_continued(
    pets: Any, copied: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = type(pets).get_file

    def breaks(self: Any, place: str, target: str, **named: Any) -> Any:
        if len(copied) >= 40:
            Path(target).write_bytes(b"half")
            raise ConnectionResetError("the store closed the connection")
        return real(self, place, target, **named)

    with monkeypatch.context() as patch:
        patch.setattr(type(pets), "get_file", breaks)
        with pytest.raises(DataError, match="the store closed the connection"):
            find_images(PETS, tmp_path)
    (folder,) = tmp_path.iterdir()
    assert not list(folder.glob(".partial-*"))
    (folder / ".partial-of-a-killed-one").write_bytes(b"half")
    before = len(copied)
    assert 40 <= before < 64
    assert len(find_images(PETS, tmp_path).entries) == 64
    assert len(copied) == 64
    assert not list(folder.glob(".partial-*"))


def test_an_object_that_changes_while_it_is_copied_is_not_kept(
    pets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = type(pets).get_file

    def changes(self: Any, place: str, target: str, **named: Any) -> Any:
        real(self, place, target, **named)
        if place.endswith("cat/0.png"):
            self.pipe_file(place, b"another picture")

    with monkeypatch.context() as patch:
        patch.setattr(type(pets), "get_file", changes)
        with pytest.raises(DataError, match=r"1 of its objects \('cat/0.png' first\) changed"):
            find_images(PETS, tmp_path)
    found = find_images(PETS, tmp_path)
    (entry,) = (e for e in found.entries if e.path == "cat/0.png")
    assert found.reader.read(entry) == b"another picture"


def test_copies_are_kept_while_a_process_reads_them(pets: Any, tmp_path: Path) -> None:
    first = find_images(PETS, tmp_path / "unpacked")
    entry = first.entries[0]
    data = first.reader.read(entry)
    pets.pipe_file(f"/bucket/pets/{entry.path}", b"another picture")
    second = find_images(PETS, tmp_path / "unpacked")
    assert first.reader.read(entry) == data
    assert second.reader.read(second.entries[0]) == b"another picture"
    (cached,) = list_caches(tmp_path / "cache", tmp_path / "unpacked")
    assert (cached.state, cached.source, cached.in_use) == (
        "copies of objects",
        str(second.key),
        True,
    )
    assert clear_caches([cached]) == []
    del first, second
    third = find_images(PETS, tmp_path / "unpacked")
    state: Any = third.reader.__getstate__()
    assert not Path(state["root"], entry.location).exists()
    del third
    assert clear_caches([cached]) == [cached]


def test_an_object_that_the_store_does_not_provide_is_quarantined(
    pets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = type(pets).get_file

    def refuses(self: Any, place: str, target: str, **named: Any) -> Any:
        if place.endswith("cat/0.png"):
            raise FileNotFoundError(place)
        return real(self, place, target, **named)

    monkeypatch.setattr(type(pets), "get_file", refuses)
    found = find_images(PETS, tmp_path)
    assert len(found.entries) == 64
    assert {e.path: e.fault for e in found.entries if e.fault} == {
        "cat/0.png": Reason("not_provided")
    }


def test_validate_takes_a_folder_by_url(tmp_path: Path) -> None:
    for name, data in {**drawn(64), "notes.txt": b"x", "cat/bad.png": b"no picture"}.items():
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pets" / name).write_bytes(data)
    url = (tmp_path / "pets").as_uri()
    ended = factorgrid("validate", "--data", url, "--json", home=tmp_path / "home")
    assert ended.returncode == 0, ended.stderr
    answer = json.loads(ended.stdout)
    assert [answer[k] for k in ("found", "accepted", "quarantined", "passed_over")] == [
        66,
        64,
        1,
        1,
    ]
