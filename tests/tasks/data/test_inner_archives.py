"""Archives inside archives: known by their content, not by a checksum that can be forged."""

import io
import os
import zipfile
import zlib
from pathlib import Path

import pytest
from support.picture_files import encode, picture

from tasks.data import zip_archive
from tasks.data.find_images import find_images
from tasks.data.source import Source


def bytes_to_reach(prefix: bytes, checksum: int) -> bytes:
    """Return four bytes that give a prefix a CRC-32."""
    table = []
    for i in range(256):
        value = i
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
        table.append(value)
    wanted, steps = checksum ^ 0xFFFFFFFF, []
    for _ in range(4):
        steps.append(next(i for i in range(256) if table[i] >> 24 == wanted >> 24))
        wanted = (wanted ^ table[steps[-1]]) << 8 & 0xFFFFFFFF
    register, found = zlib.crc32(prefix) ^ 0xFFFFFFFF, []
    for step in reversed(steps):
        found.append((step ^ register) & 0xFF)
        register = register >> 8 ^ table[step]
    return bytes(found)


def inner_zip(first: int, comment: int = 0) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for index in range(8):
            label = ("cat", "dog")[index % 2]
            archive.writestr(f"{label}.{index}.jpg", encode(picture(first + index)))
        archive.comment = bytes(comment)
    return file.getvalue()


def write_outer(path: Path, inner: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train.zip", inner)
    return path


def contents(source: Source) -> list[bytes]:
    return [source.reader.read(entry) for entry in source.entries]


def test_a_forged_archive_does_not_replace_the_pictures_of_another(tmp_path: Path) -> None:
    honest, forged = inner_zip(0), inner_zip(100)
    spare = max(len(honest), len(forged)) + 4
    honest = inner_zip(0, spare - len(honest))
    forged = inner_zip(100, spare - len(forged))
    forged = forged[:-4] + bytes_to_reach(forged[:-4], zlib.crc32(honest))
    assert len(forged) == len(honest)
    assert zlib.crc32(forged) == zlib.crc32(honest)
    first = find_images(write_outer(tmp_path / "forged.zip", forged), tmp_path / "unpacked")
    second = find_images(write_outer(tmp_path / "honest.zip", honest), tmp_path / "unpacked")
    assert contents(first) == [encode(picture(100 + index)) for index in range(8)]
    assert contents(second) == [encode(picture(index)) for index in range(8)]


def test_an_inner_archive_is_unpacked_once_as_long_as_its_file_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, scratch = write_outer(tmp_path / "outer.zip", inner_zip(0)), tmp_path / "unpacked"
    first = contents(find_images(path, scratch))
    with monkeypatch.context() as patch:
        patch.setattr(zip_archive, "_copy_and_digest", None)
        assert contents(find_images(path, scratch)) == first
    (unpacked,) = scratch.iterdir()
    assert len(unpacked.stem) == 16 + 1 + 64  # of the file, and of the content: SHA-256


@pytest.mark.parametrize("damaged", [b"", b"PK\x03\x04 half"])
def test_a_copy_that_is_incomplete_is_unpacked_again(tmp_path: Path, damaged: bytes) -> None:
    path, scratch = write_outer(tmp_path / "outer.zip", inner_zip(0)), tmp_path / "unpacked"
    first = contents(find_images(path, scratch))
    (unpacked,) = scratch.iterdir()
    unpacked.write_bytes(damaged)
    assert contents(find_images(path, scratch)) == first
    assert list(scratch.iterdir()) == [unpacked]


def test_an_archive_can_be_copied_on_a_disk_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    monkeypatch.setattr(os, "link", refused)
    scratch = tmp_path / "unpacked"
    for name in ("a.zip", "b.zip"):
        source = find_images(write_outer(tmp_path / name, inner_zip(0)), scratch)
        assert contents(source) == [encode(picture(index)) for index in range(8)]
    assert sorted(scratch.glob(".partial-*")) == []


def test_an_archive_that_is_rewritten_in_place_is_unpacked_again(tmp_path: Path) -> None:
    """Its times are set back, as whoever may write the file can do."""
    path, scratch = tmp_path / "outer.zip", tmp_path / "unpacked"
    honest = inner_zip(0, 4)
    find_images(write_outer(path, honest), scratch)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    other = inner_zip(8, 4)
    with path.open("r+b") as file:
        file.write(write_outer(tmp_path / "other.zip", other).read_bytes())
        file.truncate()
    os.utime(path, ns=times)
    assert contents(find_images(path, scratch)) == [
        encode(picture(8 + index)) for index in range(8)
    ]
