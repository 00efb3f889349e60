"""Every kind of broken picture and archive, each with the reason that a person reads."""

import io
import os
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.images.decoding import decode
from models.images.drawn import draw_one, generator
from tasks.data.dataset import Checked, check_images
from tasks.data.find_images import find_images
from tasks.data.metadata_store import Metadata
from tasks.errors import DataError


def picture(index: int, size: int = 64) -> Image.Image:
    """Return a drawn picture, another one for each index."""
    return Image.fromarray(draw_one(index % 2, size, generator(7, index)))


def coded(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


JPEG, PNG = coded(picture(1)), coded(picture(2), "PNG")


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


#: What is in a file called cat/....jpg, and a part of the reason for its quarantine.
BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty: 0 bytes"),
    "half a JPEG": (JPEG[: len(JPEG) // 2], "damaged: image file is truncated"),
    "a JPEG of 100 bytes": (JPEG[:100], "damaged"),
    "two bytes of a JPEG": (JPEG[:2], "no picture of a known format"),
    "a JPEG with a hole": (jpeg_with_a_hole(), "damaged, though it can be decoded"),
    "a JPEG of absurd size": (jpeg_that_claims(65000, 65000), "too many pixels: 65000 x 65000"),
    "a JPEG 0 pixels wide": (jpeg_that_claims(0, 64), "not decodable"),
    "text": (b"not a picture at all\n" * 50, "no picture of a known format"),
    "an error page": (b"<!DOCTYPE html><html>404</html>", "no picture of a known format"),
    "zeros": (bytes(5000), "no picture of a known format"),
    "noise": (np.random.default_rng(1).bytes(5000), "no picture of a known format"),
    "half a PNG": (PNG[: len(PNG) // 2], "damaged"),
    "a PNG with a wrong checksum": (PNG[:29] + b"\0\0\0\0" + PNG[33:], "not decodable"),
    "a PNG bomb": (png_header(60000, 60000) + b"\0\0\0\1IDATx", "too many pixels"),
    "a PNG without pixels": (png_header(64, 64), "not decodable"),
    "half a GIF": (coded(picture(3), "GIF")[:2000], "damaged"),
    "half a WebP": (coded(picture(4), "WEBP")[:200], "not decodable"),
    "a BMP without pixels": (coded(picture(5), "BMP")[:60], "damaged"),
    "a TIFF": (coded(picture(6), "TIFF"), "no picture of a known format"),
    "a PDF": (coded(picture(7), "PDF"), "no picture of a known format"),
    "a drawing in SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture of a known"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture of a known"),
    "one colour": (coded(Image.new("RGB", (64, 64), "red")), "blank: contrast 0.00"),
    "4 x 4 pixels": (coded(picture(8, 4), "PNG"), "4 pixels wide, not 8 to 20000"),
    "a stripe": (coded(picture(9).resize((640, 20))), "its long side is 32.0 times its short"),
}


def fill(folder: Path, n: int = 8) -> None:
    """Write n good pictures of each class, from index 100 on."""
    for label, first in (("cat", 100), ("dog", 101)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for index in range(n):
            data = coded(picture(first + 2 * index, 128))
            (folder / label / f"{index}.jpg").write_bytes(data)


def check_path(path: Path, home: Path, **settings: object) -> Checked:
    source = find_images(path, home / "unpacked")
    return check_images(source, Metadata(home / "metadata.db", home / "locks"), **settings)  # type: ignore[arg-type]


def counts_add_up(checked: Checked) -> bool:
    counts = checked.to_json()
    parts = sum(counts[name] for name in ("accepted", "quarantined", "passed_over"))
    return bool(counts["found"] == parts)


@pytest.fixture(scope="module")
def folder_checked(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    root = tmp_path_factory.mktemp("broken")
    fill(root / "data")
    for name, (data, _) in BROKEN.items():
        (root / "data" / "cat" / f"{name}.jpg").write_bytes(data)
    cat = root / "data" / "cat"
    shutil.copy(cat / "0.jpg", root / "data" / "no folder tells.jpg")
    shutil.copy(cat / "1.jpg", cat / "copy.jpg")
    (cat / "near.jpg").write_bytes(coded(picture(104, 128).resize((96, 96)), quality=60))
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
    folder_checked: Checked, name: str
) -> None:
    assert BROKEN[name][1] in "; ".join(folder_checked.reasons[f"cat/{name}.jpg"])


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("no folder tells.jpg", "no known label"),
        ("cat/copy.jpg", "a copy of cat/1.jpg"),
        ("cat/near.jpg", "nearly a copy of cat/2.jpg"),
        ("cat/3.jpg", "under two labels: also dog/really a cat.jpg (dog)"),
        ("dog/really a cat.jpg", "under two labels: also cat/3.jpg (cat)"),
        ("cat/4.jpg", "excluded: both animals"),
    ],
)
def test_curation_says_why(folder_checked: Checked, file: str, reason: str) -> None:
    assert reason in "; ".join(folder_checked.reasons[file])


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("Thumbs.db", "left by a system"),
        (".DS_Store", "left by a system"),
        ("._0.jpg", "left by a system"),
        ("__MACOSX/0.jpg", "left by a system"),
        ("notes.txt", "not a picture"),
        ("cat/nowhere.jpg", "neither a file nor a folder"),
        ("cat/pipe.jpg", "neither a file nor a folder"),
    ],
)
def test_what_is_no_picture_is_passed_over_with_its_reason(
    folder_checked: Checked, file: str, reason: str
) -> None:
    assert reason in folder_checked.passed_over[file]


def test_nothing_is_dropped_and_good_pictures_are_accepted(folder_checked: Checked) -> None:
    assert counts_add_up(folder_checked)
    # 16 good ones, less one under two labels and one excluded.
    assert len(folder_checked.accepted) == 14
    assert folder_checked.not_found == ("cat/not there.jpg",)


# -- members of archives ------------------------------------------------------------------------


def write_zip(path: Path, extra: Callable[[zipfile.ZipFile], None] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(16):
            label = ("cat", "dog")[index % 2]
            archive.writestr(f"train/{label}.{index}.jpg", coded(picture(100 + index)))
        if extra is not None:
            extra(archive)
    return path


def hostile_members(archive: zipfile.ZipFile) -> None:
    data = coded(picture(50))
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
def zip_checked(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    root = tmp_path_factory.mktemp("hostile")
    path = write_zip(root / "hostile.zip", hostile_members)
    patch_directory(path, "train/cat.906.jpg", 8, struct.pack("<H", 1))  # encrypted
    patch_directory(path, "train/cat.907.jpg", 24, struct.pack("<I", 2**31))  # 2 GiB, it says
    content = bytearray(path.read_bytes())
    content[content.index(b"train/cat.908.jpg") + 60] ^= 0xFF  # a bit of its content
    path.write_bytes(content)
    patch_directory(path, "train/cat.909.jpg", 10, struct.pack("<H", 99))  # AES, as 7-Zip packs
    return check_path(path, root)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("../../cat.900.jpg", "its path leaves the archive"),
        ("/etc/cat.901.jpg", "its path leaves the archive"),
        ("C:\\cat.902.jpg", "its path leaves the archive"),
        ("..\\cat.903.jpg", "its path leaves the archive"),
        ("train/cat.904.jpg", "a link, not a picture"),
        ("train/cat.905.jpg", "a decompression bomb"),
        ("train/cat.906.jpg", "encrypted"),
        ("train/cat.907.jpg", "too large: 2,147,483,648 bytes"),
        ("train/cat.908.jpg", "damaged in the archive: Bad CRC-32"),
        ("train/cat.909.jpg", "packed in a way that cannot be read"),
        ("train/cat.910.jpg (again, 2)", "a second member of this name"),
    ],
)
def test_a_hostile_member_is_quarantined_unread(
    zip_checked: Checked, file: str, reason: str
) -> None:
    assert reason in "; ".join(zip_checked.reasons[file])


def test_hostile_members_cost_the_good_ones_nothing(zip_checked: Checked) -> None:
    assert counts_add_up(zip_checked)
    assert len(zip_checked.accepted) == 17


# -- whole archives and folders -----------------------------------------------------------------


def overlapping(path: Path) -> None:
    """Write a zip whose many members are all one and the same stretch of bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(300):
            archive.writestr(f"cat.{index}.jpg", bytes(1_000_000 if index == 0 else 1))
    with zipfile.ZipFile(path, "a") as archive:
        first = archive.infolist()[0]
        for member in archive.infolist()[1:]:
            for key in ("CRC", "compress_size", "file_size", "header_offset"):
                setattr(member, key, getattr(first, key))
        archive._didModify = True  # type: ignore[attr-defined] # of the standard library's own


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
    """Write a zip with a name that is flagged as UTF-8 and is none."""
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
    "one class": (one_class, "all 3 pictures are of one class, 'cat'"),
    "a bomb of overlapping members": (overlapping, "a decompression bomb"),
    "a damaged inner zip": (damaged_outer, "not a zip, or a damaged one (Bad CRC-32"),
    "no zip inside": (lambda p: outer(p, b"hello"), "not a zip, or a damaged one"),
    "a name that lies": (utf8_lie, "not a zip, or a damaged one"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_source_that_is_none_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    write, words = REFUSED[name]
    path = tmp_path / "given"
    write(path)
    with pytest.raises(DataError) as caught:
        find_images(path, tmp_path / "unpacked")
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


# -- read rightly -------------------------------------------------------------------------------


def close(data: bytes, expected: Image.Image, by: float = 9.0) -> bool:
    """Whether bytes decode to a picture, but for what JPEG loses."""
    wanted = np.asarray(expected.convert("RGB").resize((32, 32), Image.Resampling.BOX), dtype=float)
    return bool(np.abs(decode(data, 32) - wanted).mean() < by)


def turned(orientation: int) -> bytes:
    """Return a JPEG that lies as a camera held so would have stored it."""
    ways = Image.Transpose
    stored = {
        3: ways.ROTATE_180,
        5: ways.TRANSPOSE,
        6: ways.ROTATE_90,
        7: ways.TRANSVERSE,
        8: ways.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = picture(11)
    if orientation in stored:
        image = image.transpose(stored[orientation])
    return coded(image, quality=95, exif=exif)


@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 7, 8])
def test_a_picture_that_lies_on_its_side_is_turned_upright(orientation: int) -> None:
    assert close(turned(orientation), picture(11))


@pytest.mark.parametrize(
    "before",
    [
        b"\xff\xed\x00\x0a\xff\xd8\xff\xda\xff\xd9ab",  # a block with a small JPEG of its own
        b"\xff\xff\xff",  # filled up, as JPEG allows
    ],
    ids=["another block", "filled up"],
)
def test_the_side_a_picture_lies_on_is_found_behind_other_blocks(before: bytes) -> None:
    data = turned(6)
    assert close(data[:2] + before + data[2:], picture(11))


def test_words_like_exif_among_the_pixels_turn_nothing() -> None:
    assert close(JPEG + turned(6)[2:], picture(1))


def deep_png() -> bytes:
    grey = np.asarray(picture(12).convert("L"), dtype=np.uint16) * 257
    return coded(Image.fromarray(grey), "PNG")


def half_transparent() -> bytes:
    image = picture(13).convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 64, 32))
    return coded(image, "PNG")


def on_white() -> Image.Image:
    image = picture(13)
    image.paste((255, 255, 255), (0, 0, 64, 32))
    return image


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (coded(picture(12).convert("L")), picture(12).convert("L")),
        (coded(picture(12).convert("CMYK"), quality=95), picture(12)),
        (coded(picture(12).convert("P"), "PNG"), picture(12).convert("P")),
        (coded(picture(12), "WEBP", quality=95), picture(12)),
        (coded(picture(12), "PNG"), picture(12)),
        (deep_png(), picture(12).convert("L")),
        (half_transparent(), on_white()),
        (JPEG[:-2] + b"camera's own bytes\xff\xd9", picture(1)),
    ],
    ids=["grey", "CMYK", "palette", "WebP", "PNG", "16 bits", "transparent", "bytes after it"],
)
def test_every_form_is_read_as_a_viewer_shows_it(data: bytes, expected: Image.Image) -> None:
    assert close(data, expected)


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
    assert first.reader.read(first.entries[0]) == coded(picture(100))


def test_a_name_that_is_no_text_is_read_and_can_be_printed(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        (tmp_path / label / os.fsdecode(b"\xff\xfe.jpg")).write_bytes(JPEG)
    source = find_images(tmp_path, tmp_path / "x")
    assert [entry.path for entry in source.entries] == ["cat/%FF%FE.jpg", "dog/%FF%FE.jpg"]
    assert source.reader.read(source.entries[0]) == JPEG
