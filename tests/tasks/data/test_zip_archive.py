"""Members of a zip: hostile ones are quarantined, and the others are read."""

import struct
import zipfile
from pathlib import Path

import pytest
from support.picture_files import JPEG, check_path, counts_add_up, encode, picture, write_zip

from tasks.data.check_images import CheckedImages
from tasks.data.reason import reasons_as_text


def hostile_members(archive: zipfile.ZipFile) -> None:
    data = encode(picture(50))
    for name in ("../../cat.900.jpg", "/etc/cat.901.jpg", "C:\\cat.902.jpg", "..\\cat.903.jpg"):
        archive.writestr(name, data)
    link = zipfile.ZipInfo("train/cat.904.jpg")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    archive.writestr(link, "/etc/passwd")
    archive.writestr("train/cat.905.jpg", bytes(30_000_000))
    archive.writestr("train/cat.906.jpg", data)
    archive.writestr("train/cat.907.jpg", data)
    archive.writestr("train/cat.908.jpg", data, zipfile.ZIP_STORED)
    archive.writestr("train/cat.909.jpg", data)
    archive.writestr("train/cat.910.jpg", data)
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("train/cat.910.jpg", JPEG)


def patch_directory(path: Path, name: str, offset: int, value: bytes) -> None:
    """Change a member's entry in the central directory of a zip."""
    content = bytearray(path.read_bytes())
    at = content.rindex(name.encode()) - 46 + offset
    content[at : at + len(value)] = value
    path.write_bytes(content)


@pytest.fixture(scope="module")
def checked_zip(tmp_path_factory: pytest.TempPathFactory) -> CheckedImages:
    root = tmp_path_factory.mktemp("hostile")
    path = write_zip(root / "hostile.zip", hostile_members)
    patch_directory(path, "train/cat.906.jpg", 8, struct.pack("<H", 1))  # encrypted
    patch_directory(path, "train/cat.907.jpg", 24, struct.pack("<I", 2**31))  # it declares 2 GiB
    content = bytearray(path.read_bytes())
    content[content.index(b"train/cat.908.jpg") + 60] ^= 0xFF  # a bit of its content
    path.write_bytes(content)
    patch_directory(path, "train/cat.909.jpg", 10, struct.pack("<H", 99))  # AES, as 7-Zip writes it
    return check_path(path, root)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("../../cat.900.jpg", "its path leads out of the archive"),
        ("/etc/cat.901.jpg", "its path leads out of the archive"),
        ("C:\\cat.902.jpg", "its path leads out of the archive"),
        ("..\\cat.903.jpg", "its path leads out of the archive"),
        ("train/cat.904.jpg", "a link, not a picture"),
        ("train/cat.905.jpg", "a decompression bomb"),
        ("train/cat.906.jpg", "encrypted"),
        ("train/cat.907.jpg", "too large: 2,147,483,648 bytes"),
        ("train/cat.908.jpg", "damaged in the archive: Bad CRC-32"),
        ("train/cat.909.jpg", "compressed in a way that cannot be read"),
        ("train/cat.910.jpg (again, 2)", "a second member of this name"),
    ],
)
def test_a_hostile_member_is_quarantined_without_reading_it(
    checked_zip: CheckedImages, file: str, reason: str
) -> None:
    assert reason in reasons_as_text(checked_zip.reasons[file])


def test_good_members_beside_hostile_ones_are_accepted(checked_zip: CheckedImages) -> None:
    assert counts_add_up(checked_zip)
    assert len(checked_zip.accepted) == 17
