"""Pictures in an object store, a zip or a folder: copied once, whole, again when they change."""

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

from tasks.data.dataset import check_images
from tasks.data.find_images import find_images
from tasks.data.metadata_store import Metadata
from tasks.data.object_store import Store, address_of
from tasks.errors import DataError
from tasks.maintenance.cache import clear_caches, list_caches

PETS = Path("memory://bucket/pets")


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
    memory.put_file(str(archive(tmp_path / "a.zip", 64)), "/bucket/pets.zip")
    first = find_images(Path(url), scratch)
    assert len(first.entries) == 64
    (copy,) = scratch.iterdir()
    before = copy.stat().st_mtime_ns
    assert Store(url).archive(scratch) == copy
    assert copy.stat().st_mtime_ns == before
    memory.put_file(str(archive(tmp_path / "b.zip", 70)), "/bucket/pets.zip")
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
        Store("memory://bucket/pets.zip").archive(tmp_path / "unpacked")
    assert list((tmp_path / "unpacked").iterdir()) == []


def test_what_is_shorter_than_announced_is_no_copy(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe_file("/bucket/pets.zip", b"x" * 1000)

    def short(_: Any, __: str, target: str, **___: Any) -> None:
        Path(target).write_bytes(b"x" * 500)

    monkeypatch.setattr(type(memory), "get_file", short)
    with pytest.raises(DataError, match="changed while it was copied"):
        Store("memory://bucket/pets.zip").archive(tmp_path / "unpacked")
    assert list((tmp_path / "unpacked").iterdir()) == []


#: An address, and words that its one line must have.
BAD = {
    "memory://bucket/none.zip": "no such object",
    "nosuch://bucket/pets.zip": "Protocol not known: nosuch",
    "memory://folder": "all 1 pictures are of no class that their names tell",
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
    archive(tmp_path / "pets.zip", 64)
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
    """The folder, with 64 pictures and a text."""
    for name, data in drawn(64).items():
        memory.pipe_file(f"/bucket/pets/{name}", data)
    memory.pipe_file("/bucket/pets/readme.txt", b"drawn")
    return memory


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch, memory: Any) -> list[str]:
    """What is copied from the store."""
    seen: list[str] = []
    real = type(memory).get_file

    def noted(self: Any, place: str, *given: Any, **named: Any) -> Any:
        seen.append(place)
        return real(self, place, *given, **named)

    monkeypatch.setattr(type(memory), "get_file", noted)
    return seen


def test_a_folder_is_read_as_one_on_disk_is(pets: Any, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    found = find_images(PETS, tmp_path / "unpacked", lambda *given: told.append(given))
    local = tmp_path / "pets"
    pets.get("/bucket/pets", str(local), recursive=True)
    expected = find_images(local, tmp_path)
    assert [e[:2] for e in found.entries] == [e[:2] for e in expected.entries]
    assert found.passed_over == expected.passed_over == {"readme.txt": "not a picture, by its name"}
    assert found.words == found.key == "memory://bucket/pets"
    assert told[-1] == ("bringing pictures here", 64, 64)
    store = Metadata(tmp_path / "metadata.db", tmp_path / "locks")
    there, here = check_images(found, store), check_images(expected, store)
    assert there.metadata["digest"].tolist() == here.metadata["digest"].tolist()


def test_only_new_and_changed_objects_are_brought_and_read(
    pets: Any, brought: list[str], tmp_path: Path
) -> None:
    store = Metadata(tmp_path / "metadata.db", tmp_path / "locks")

    def read() -> tuple[int, int]:
        gc.collect()  # the last pass's processes leave cycles, and with them hold of the copies
        checked = check_images(find_images(PETS, tmp_path / "unpacked"), store)
        return len(checked.metadata), checked.read

    assert read() == (64, 64)
    assert len(brought) == 64
    assert read() == (64, 0)
    assert len(brought) == 64
    more = drawn(66)
    first, *_, new = more
    pets.pipe_file(f"/bucket/pets/{first}", more[new])
    pets.pipe_file(f"/bucket/pets/{new}", more[first])
    pets.rm_file(f"/bucket/pets/{list(more)[1]}")
    assert read() == (64, 2)
    assert sorted(brought[64:]) == sorted(f"/bucket/pets/{name}" for name in (first, new))
    (folder,) = (tmp_path / "unpacked").iterdir()
    assert len([file for file in folder.iterdir() if file.suffix == ""]) == 64 + 1  # and a lock


def test_a_copy_that_was_cut_off_goes_on(
    pets: Any, brought: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = type(pets).get_file

    def breaks(self: Any, place: str, target: str, **named: Any) -> Any:
        if len(brought) >= 40:
            Path(target).write_bytes(b"half")
            raise ConnectionResetError("the store hung up")
        return real(self, place, target, **named)

    with monkeypatch.context() as patch:
        patch.setattr(type(pets), "get_file", breaks)
        with pytest.raises(DataError, match="the store hung up"):
            find_images(PETS, tmp_path)
    (folder,) = tmp_path.iterdir()
    assert not list(folder.glob(".partial-*"))
    (folder / ".partial-of-a-killed-one").write_bytes(b"half")
    before = len(brought)
    assert 40 <= before < 64
    assert len(find_images(PETS, tmp_path).entries) == 64
    assert len(brought) == 64
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


def test_copies_stay_as_long_as_somebody_reads_them(pets: Any, tmp_path: Path) -> None:
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
    assert not Path(state["root"], entry.where).exists()
    del third
    assert clear_caches([cached]) == [cached]


def test_what_the_store_lists_and_does_not_give_goes_to_quarantine(
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
        "cat/0.png": "the store lists it only"
    }


def test_validate_takes_a_folder_by_url(tmp_path: Path) -> None:
    for name, data in {**drawn(64), "notes.txt": b"x", "cat/bad.png": b"no picture"}.items():
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pets" / name).write_bytes(data)
    url = (tmp_path / "pets").as_uri()
    ended = factorgrid("validate", "--data", url, "--json", home=tmp_path / "home")
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert [said[k] for k in ("found", "accepted", "quarantined", "passed_over")] == [66, 64, 1, 1]
