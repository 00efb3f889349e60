"""Decoding: every supported format, upright, as an image viewer shows it."""

import numpy as np
import pytest
from PIL import Image
from support.picture_files import JPEG, encode, picture

from models.images.decoding import decode


def is_close(data: bytes, expected: Image.Image, by: float = 9.0) -> bool:
    """Whether bytes decode to a picture, within the loss of JPEG."""
    wanted = np.asarray(expected.convert("RGB").resize((32, 32), Image.Resampling.BOX), dtype=float)
    return bool(np.abs(decode(data, 32) - wanted).mean() < by)


def rotated_jpeg(orientation: int) -> bytes:
    """Return a JPEG that is rotated as a camera in this orientation stores it."""
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
    return encode(image, quality=95, exif=exif)


@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 7, 8])
def test_a_rotated_picture_is_turned_upright(orientation: int) -> None:
    assert is_close(rotated_jpeg(orientation), picture(11))


@pytest.mark.parametrize(
    "before",
    [
        b"\xff\xed\x00\x0a\xff\xd8\xff\xda\xff\xd9ab",  # a block that contains a small JPEG
        b"\xff\xff\xff",  # fill bytes, which JPEG allows
    ],
    ids=["another block", "fill bytes"],
)
def test_the_orientation_is_found_behind_other_blocks(before: bytes) -> None:
    data = rotated_jpeg(6)
    assert is_close(data[:2] + before + data[2:], picture(11))


def test_bytes_like_exif_among_the_pixels_rotate_nothing() -> None:
    assert is_close(JPEG + rotated_jpeg(6)[2:], picture(1))


def deep_png() -> bytes:
    grey = np.asarray(picture(12).convert("L"), dtype=np.uint16) * 257
    return encode(Image.fromarray(grey), "PNG")


def half_transparent() -> bytes:
    image = picture(13).convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 64, 32))
    return encode(image, "PNG")


def on_white() -> Image.Image:
    image = picture(13)
    image.paste((255, 255, 255), (0, 0, 64, 32))
    return image


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encode(picture(12).convert("L")), picture(12).convert("L")),
        (encode(picture(12).convert("CMYK"), quality=95), picture(12)),
        (encode(picture(12).convert("P"), "PNG"), picture(12).convert("P")),
        (encode(picture(12), "WEBP", quality=95), picture(12)),
        (encode(picture(12), "PNG"), picture(12)),
        (deep_png(), picture(12).convert("L")),
        (half_transparent(), on_white()),
        (JPEG[:-2] + b"camera's own bytes\xff\xd9", picture(1)),
    ],
    ids=["grey", "CMYK", "palette", "WebP", "PNG", "16 bits", "transparent", "bytes after it"],
)
def test_every_format_is_read_as_a_viewer_shows_it(data: bytes, expected: Image.Image) -> None:
    assert is_close(data, expected)
