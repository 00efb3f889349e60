"""Every kind of broken picture, each with the reason that a person reads."""

import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.picture_files import JPEG, PNG, check_path, counts_add_up, encode, picture

from tasks.data.check_images import CheckedImages
from tasks.data.reason import reason_as_text, reasons_as_text


def png_header(width: int, height: int) -> bytes:
    content = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(content))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + content + crc


def jpeg_that_claims(width: int, height: int) -> bytes:
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", height, width) + JPEG[at + 4 :]


def jpeg_with_a_hole() -> bytes:
    at = JPEG.index(b"\xff\xda") + 200
    return JPEG[:at] + JPEG[at + 300 :]


#: Name of the file in cat/ -> its content, and a part of the reason for its quarantine.
BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty: 0 bytes"),
    "half a JPEG": (JPEG[: len(JPEG) // 2], "damaged: image file is truncated"),
    "a JPEG of 100 bytes": (JPEG[:100], "damaged"),
    "two bytes of a JPEG": (JPEG[:2], "not a picture of a supported format"),
    "a JPEG with a hole": (jpeg_with_a_hole(), "damaged, but decodable"),
    "a JPEG of absurd size": (jpeg_that_claims(65000, 65000), "too many pixels: 65000 x 65000"),
    "a JPEG 0 pixels wide": (jpeg_that_claims(0, 64), "not decodable"),
    "text": (b"not a picture at all\n" * 50, "not a picture of a supported format"),
    "an error page": (b"<!DOCTYPE html><html>404</html>", "not a picture of a supported format"),
    "zeros": (bytes(5000), "not a picture of a supported format"),
    "noise": (np.random.default_rng(1).bytes(5000), "not a picture of a supported format"),
    "half a PNG": (PNG[: len(PNG) // 2], "damaged"),
    "a PNG with a wrong checksum": (PNG[:29] + b"\0\0\0\0" + PNG[33:], "not decodable"),
    "a PNG bomb": (png_header(60000, 60000) + b"\0\0\0\1IDATx", "too many pixels"),
    "a PNG without pixels": (png_header(64, 64), "not decodable"),
    "half a GIF": (encode(picture(3), "GIF")[:2000], "damaged"),
    "half a WebP": (encode(picture(4), "WEBP")[:200], "not decodable"),
    "a BMP without pixels": (encode(picture(5), "BMP")[:60], "damaged"),
    "a TIFF": (encode(picture(6), "TIFF"), "not a picture of a supported format"),
    "a PDF": (encode(picture(7), "PDF"), "not a picture of a supported format"),
    "a drawing in SVG": (
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "not a picture of a supported",
    ),
    "PostScript": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "not a picture of a supported",
    ),
    "one colour": (encode(Image.new("RGB", (64, 64), "red")), "blank: contrast 0.00"),
    "4 x 4 pixels": (encode(picture(8, 4), "PNG"), "4 pixels wide, not 8 to 20000"),
    "a stripe": (encode(picture(9).resize((640, 20))), "its long side is 32.0 times its short"),
}


def fill(folder: Path, n: int = 8) -> None:
    """Write n good pictures of each class, from index 100 on."""
    for label, first in (("cat", 100), ("dog", 101)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for index in range(n):
            data = encode(picture(first + 2 * index, 128))
            (folder / label / f"{index}.jpg").write_bytes(data)


@pytest.fixture(scope="module")
def checked_folder(tmp_path_factory: pytest.TempPathFactory) -> CheckedImages:
    root = tmp_path_factory.mktemp("broken")
    fill(root / "data")
    for name, (data, _) in BROKEN.items():
        (root / "data" / "cat" / f"{name}.jpg").write_bytes(data)
    cat = root / "data" / "cat"
    shutil.copy(cat / "0.jpg", root / "data" / "no class folder.jpg")
    shutil.copy(cat / "1.jpg", cat / "copy.jpg")
    (cat / "near.jpg").write_bytes(encode(picture(104, 128).resize((96, 96)), quality=60))
    shutil.copy(cat / "3.jpg", root / "data" / "dog" / "really a cat.jpg")
    (cat / "nowhere.jpg").symlink_to("does not exist.jpg")
    (cat / "circle").symlink_to(root / "data", target_is_directory=True)
    os.mkfifo(cat / "pipe.jpg")
    (root / "data" / "__MACOSX").mkdir()
    for name in ("Thumbs.db", ".DS_Store", "._0.jpg", "notes.txt", "__MACOSX/0.jpg"):
        (root / "data" / name).write_bytes(b"x")
    exclude = {"cat/4.jpg": "both animals", "cat/not there.jpg": "a typing error"}
    return check_path(root / "data", root, exclude=exclude)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_picture_is_quarantined_with_its_reason(
    checked_folder: CheckedImages, name: str
) -> None:
    assert BROKEN[name][1] in reasons_as_text(checked_folder.reasons[f"cat/{name}.jpg"])


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("no class folder.jpg", "no label"),
        ("cat/copy.jpg", "a copy of cat/1.jpg"),
        ("cat/near.jpg", "nearly a copy of cat/2.jpg"),
        ("cat/3.jpg", "under two labels: also dog/really a cat.jpg (dog)"),
        ("dog/really a cat.jpg", "under two labels: also cat/3.jpg (cat)"),
        ("cat/4.jpg", "excluded: both animals"),
    ],
)
def test_an_excluded_or_repeated_picture_is_quarantined_with_its_reason(
    checked_folder: CheckedImages, file: str, reason: str
) -> None:
    assert reason in reasons_as_text(checked_folder.reasons[file])


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("Thumbs.db", "one that a system left"),
        (".DS_Store", "one that a system left"),
        ("._0.jpg", "one that a system left"),
        ("__MACOSX/0.jpg", "one that a system left"),
        ("notes.txt", "not a picture"),
        ("cat/nowhere.jpg", "neither a file nor a folder"),
        ("cat/pipe.jpg", "neither a file nor a folder"),
    ],
)
def test_a_file_that_is_not_a_picture_is_passed_over_with_its_reason(
    checked_folder: CheckedImages, file: str, reason: str
) -> None:
    assert reason in reason_as_text(checked_folder.passed_over[file])


def test_no_file_is_dropped_and_good_pictures_are_accepted(checked_folder: CheckedImages) -> None:
    assert counts_add_up(checked_folder)
    # 16 good pictures, without one that has two labels and one that is excluded.
    assert len(checked_folder.accepted) == 14
    assert checked_folder.not_found == ("cat/not there.jpg",)
