"""Finding pictures: the known layouts, and paths that are not a source."""

import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.picture_files import JPEG, encode, picture, write_zip

from tasks.data.find_images import check_source, find_images
from tasks.errors import DataError


def overlapping(path: Path) -> None:
    """Write a zip whose many members all share the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(300):
            archive.writestr(f"cat.{index}.jpg", bytes(1_000_000 if index == 0 else 1))
    with zipfile.ZipFile(path, "a") as archive:
        first = archive.infolist()[0]
        for member in archive.infolist()[1:]:
            for key in ("CRC", "compress_size", "file_size", "header_offset"):
                setattr(member, key, getattr(first, key))
        archive._didModify = True  # type: ignore[attr-defined] # the directory is written again


def one_class(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(3):
            archive.writestr(f"cat/{index}.jpg", JPEG)


def outer(path: Path, inner: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train.zip", inner)


def damaged_outer(path: Path) -> None:
    outer(path, write_zip(path.with_name("in.zip")).read_bytes())
    content = bytearray(path.read_bytes())
    content[5000] ^= 0xFF
    path.write_bytes(content)


def tar(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("cat.0.jpg"))


def truncated(path: Path) -> None:
    write_zip(path)
    path.write_bytes(path.read_bytes()[:5000])


def utf8_lie(path: Path) -> None:
    """Write a zip with a name that is flagged as UTF-8 but is not."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("\xe9\xe9cat.0.jpg", JPEG)
    content = path.read_bytes().replace("\xe9\xe9cat".encode(), b"\xff\xfe\xff\xfecat")
    path.write_bytes(content)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing there": (Path.exists, "no such file or folder"),
    "a pipe": (os.mkfifo, "neither a file nor a folder"),
    "an empty folder": (lambda p: p.mkdir(), "no pictures among its 0 files"),
    "an empty file": (lambda p: p.write_bytes(b""), "not a zip, or a damaged one"),
    "text": (lambda p: p.write_bytes(b"hello" * 100), "not a zip, or a damaged one"),
    "a picture": (lambda p: p.write_bytes(JPEG), "not a zip, or a damaged one"),
    "a tar": (tar, "not a zip, or a damaged one"),
    "a cut-off zip": (truncated, "not a zip, or a damaged one"),
    "an empty zip": (lambda p: zipfile.ZipFile(p, "w").close(), "no pictures among its 0 files"),
    "one class": (one_class, "one class, 'cat', in 3 pictures"),
    "a bomb of overlapping members": (overlapping, "a decompression bomb"),
    "a damaged inner zip": (damaged_outer, "not a zip, or a damaged one (Bad CRC-32"),
    "no zip inside": (lambda p: outer(p, b"hello"), "not a zip, or a damaged one"),
    "a name that lies": (utf8_lie, "not a zip, or a damaged one"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_path_that_is_not_a_source_is_one_line(tmp_path: Path, name: str) -> None:
    write, message = REFUSED[name]
    path = tmp_path / "given"
    write(path)
    with pytest.raises(DataError) as caught:
        find_images(path, tmp_path / "unpacked")
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        ["train/cat.0.jpg", "train/dog.0.jpg"],
        ["PetImages/Cat/0.jpg", "PetImages/Dog/0.jpg"],
        ["training/cats/cat.0.JPG", "training/dogs/dog.0.JPEG"],
        ["Кошки/кот 1.jpg", "狗/二.PNG"],
        ["a/b/c/cat/x.webp", "z/dog/y.bmp"],
        ["train/cat.0.jpg", "train/dog.0.jpg", "test1/1.jpg", "sampleSubmission.csv"],
    ],
)
def test_the_known_layouts_have_two_classes(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG)
    source = find_images(tmp_path / "data", tmp_path)
    assert len({entry.label for entry in source.entries}) == 2
    assert [entry.path for entry in source.entries] == sorted(names[:2])
    assert len(source.passed_over) == len(names) - 2


def test_kaggles_outer_zip_is_unpacked_once(tmp_path: Path) -> None:
    outer(tmp_path / "dogs-vs-cats.zip", write_zip(tmp_path / "in.zip").read_bytes())
    first = find_images(tmp_path / "dogs-vs-cats.zip", tmp_path / "unpacked")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    written = unpacked.stat().st_mtime_ns
    second = find_images(tmp_path / "dogs-vs-cats.zip", tmp_path / "unpacked")
    assert unpacked.stat().st_mtime_ns == written
    assert first.entries == second.entries
    assert len(first.entries) == 16
    assert first.reader.read(first.entries[0]) == encode(picture(100))


def test_a_name_that_is_not_text_is_read_and_can_be_printed(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        (tmp_path / label / os.fsdecode(b"\xff\xfe.jpg")).write_bytes(JPEG)
    source = find_images(tmp_path, tmp_path / "x")
    assert [entry.path for entry in source.entries] == ["cat/%FF%FE.jpg", "dog/%FF%FE.jpg"]
    assert source.reader.read(source.entries[0]) == JPEG


def test_a_source_of_two_classes_is_checked_without_a_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_zip(tmp_path / "in.zip")
    for label in ("cat", "dog"):
        (tmp_path / "folder" / label).mkdir(parents=True)
        (tmp_path / "folder" / label / "1.jpg").write_bytes(JPEG)
    monkeypatch.setattr("tasks.data.find_images._find_on_this_machine", None)
    for name in ("in.zip", "folder"):
        check_source(tmp_path / name, tmp_path / "x")


def test_a_source_of_one_class_is_refused_by_the_check(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.jpg").write_bytes(JPEG)
    with pytest.raises(DataError, match="one class, 'cat', in 1 picture"):
        check_source(tmp_path, tmp_path / "x")
