"""Decoding: every supported format, upright, as an image viewer shows it."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from support.picture_files import JPEG, encode, picture

from models.errors import DecodeError
from models.images import decoding
from models.images.decoding import decode, load


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


def segments(data: bytes, marker: int) -> list[int]:
    """Return where the segments with a marker begin; data between 0xFF and 0x00 are skipped."""
    return [at for at in range(len(data) - 1) if data[at] == 0xFF and data[at + 1] == marker]


def with_wrong_scan_header(data: bytes = JPEG) -> bytes:
    """Return a JPEG whose scan says that it ends at coefficient 0, as some cameras write it."""
    at = segments(data, 0xDA)[0]
    changed = bytearray(data)
    changed[at + 6 + 2 * data[at + 4]] = 0
    return bytes(changed)


def with_bytes_before_scan(data: bytes = JPEG) -> bytes:
    at = segments(data, 0xDA)[0]
    return data[:at] + b"bytes that are no segment" + data[at:]


def with_repeated_scan(number: int) -> bytes:
    """Return a progressive JPEG with one of its scans twice."""
    data = encode(picture(3), progressive=True)
    starts = segments(data, 0xDA)
    ends = [min(e for m in (0xC4, 0xDA, 0xD9) for e in segments(data, m) if e > s) for s in starts]
    scan = data[starts[number] : ends[number]]
    return data[: ends[number]] + scan + data[ends[number] :]


def png_with(chunk: bytes, content: bytes) -> bytes:
    """Return a PNG with a chunk after its header."""
    data = encode(picture(2), "PNG")
    length, crc = (struct.pack(">I", n) for n in (len(content), zlib.crc32(chunk + content)))
    return data[:33] + length + chunk + content + crc + data[33:]


def long_text() -> bytes:
    return png_with(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(2**22)))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (with_wrong_scan_header(), picture(1)),
        (with_bytes_before_scan(), picture(1)),
        (with_repeated_scan(0), picture(3)),
        (with_repeated_scan(1), picture(3)),
        (JPEG[:-2], picture(1)),
        (rotated_jpeg(6)[:-2], picture(11)),
        (long_text(), picture(2)),
        (png_with(b"iCCP", b"a profile\0\0" + zlib.compress(bytes(2**22))), picture(2)),
    ],
    ids=[
        *("scan header", "bytes", "scan 0 again", "scan 1 again", "no end", "no end, rotated"),
        *("text", "profile"),
    ],
)
def test_a_warning_that_is_not_about_pixels_is_no_damage(
    data: bytes, expected: Image.Image
) -> None:
    assert load(data, 64)[0].flaw == ""
    assert is_close(data, expected)


@pytest.mark.parametrize(
    ("data", "flaw"),
    [
        (with_wrong_scan_header()[:-800] + b"\xff\xd9", "premature end"),
        (with_bytes_before_scan()[:-800] + b"\xff\xd9", "premature end"),
        (with_repeated_scan(1)[:-800] + b"\xff\xd9", "premature end"),
        (with_repeated_scan(-1), "a repeated scan changes the pixels"),
    ],
    ids=["scan header", "bytes", "scan again", "another scan again"],
)
def test_damage_behind_such_a_warning_is_found(data: bytes, flaw: str) -> None:
    assert flaw in load(data, 64)[0].flaw


@pytest.mark.parametrize("cut", [3, 8, 200])
def test_a_jpeg_without_its_last_pixels_is_damaged(cut: int) -> None:
    with pytest.raises(DecodeError, match="truncated"):
        load(JPEG[:-cut], 64)


def test_a_cut_png_with_a_long_text_is_damaged() -> None:
    with pytest.raises(DecodeError, match="damaged"):
        load(long_text()[:-2000], 64)


@pytest.mark.parametrize(("bits", "mode"), [(16, "I;16"), (14, "I;14"), (12, "I;12"), (8, "I;8")])
def test_a_deep_picture_says_how_many_bits_it_uses(bits: int, mode: str) -> None:
    grey = np.asarray(picture(12).convert("L"), dtype=np.uint16)
    full = grey * 257 | (grey == grey.max()) * np.uint16(2**16 - 1)
    assert load(encode(Image.fromarray(full >> (16 - bits)), "PNG"), 64)[0].mode == mode


@pytest.mark.parametrize(("bits", "mode"), [(16, "RGB"), (12, "RGB;12")])
def test_a_deep_picture_in_colour_says_it_too(bits: int, mode: str) -> None:
    colours = np.asarray(picture(12), dtype=np.uint16) * 257
    colours[0, 0] = 2**16 - 1
    data = cv2.imencode(".png", colours >> (16 - bits))[1].tobytes()
    assert load(data, 64)[0].mode == mode


def png_header(width: int, height: int, bits: int, colour: int) -> bytes:
    """Return a PNG that ends after its header: what is decoded of it is damaged."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


GREY, RGB, RGBA = 0, 2, 6


@pytest.mark.parametrize(
    ("bits", "colour", "limit"),
    [
        (8, RGBA, 67_108_864),
        (16, RGB, 44_739_242),
        (16, RGBA, 33_554_432),
    ],
)
def test_a_picture_that_would_cost_too_much_is_refused_by_its_header(
    bits: int, colour: int, limit: int
) -> None:
    with pytest.raises(DecodeError, match=rf"too many pixels: .*at most {limit:,} are") as caught:
        load(png_header(limit // 4000 + 1, 4000, bits, colour), 64)
    assert caught.value.kind == "too_many_pixels"
    assert caught.value.details == {"width": limit // 4000 + 1, "height": 4000, "limit": limit}
    with pytest.raises(DecodeError, match="damaged"):
        load(png_header(limit // 4000, 4000, bits, colour), 64)


@pytest.mark.parametrize(("bits", "colour"), [(8, GREY), (8, RGB), (16, GREY)])
def test_a_picture_above_pillows_limit_is_refused_by_its_header(bits: int, colour: int) -> None:
    with pytest.raises(DecodeError, match="too many pixels: a decompression bomb") as caught:
        load(png_header(89_478_485 // 4000 + 1, 4000, bits, colour), 64)
    assert caught.value.kind == "pixel_bomb"
    with pytest.raises(DecodeError, match="damaged"):
        load(png_header(89_478_485 // 4000, 4000, bits, colour), 64)


@pytest.mark.parametrize(
    ("width", "height", "bits", "colour"),
    [(6000, 4000, 16, RGB), (6000, 4000, 16, RGBA), (8192, 5464, 8, RGB)],
    ids=["24 megapixels of 16 bits", "the same with transparency", "45 megapixels"],
)
def test_a_picture_of_an_ordinary_camera_is_not_too_large(
    width: int, height: int, bits: int, colour: int
) -> None:
    with pytest.raises(DecodeError) as caught:
        load(png_header(width, height, bits, colour), 64)
    assert caught.value.kind == "damaged"  # nothing follows its header


def test_a_picture_at_the_limit_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = cv2.imencode(".png", np.zeros((64, 64, 3), np.uint16))[1].tobytes()
    monkeypatch.setattr(decoding, "MAX_DECODED_BYTES", 64 * 64 * 6)
    assert load(deep, 64)[1].shape == (64, 64, 3)
    monkeypatch.setattr(decoding, "MAX_DECODED_BYTES", 64 * 64 * 6 - 1)
    with pytest.raises(DecodeError, match="too many pixels: 64 x 64; at most 4,095 are decoded"):
        load(deep, 64)


def test_a_jpeg_may_have_more_pixels_because_it_is_decoded_at_a_reduced_size() -> None:
    large = cv2.imencode(".jpg", np.zeros((7000, 7000), np.uint8))[1].tobytes()
    assert load(large, 64)[1].shape[:2] == (875, 875)


@pytest.mark.parametrize("scans", [20, 21, 2000])
def test_a_large_jpeg_has_few_scans(scans: int) -> None:
    """Each of them goes over all pixels."""
    data = cv2.imencode(".jpg", np.zeros((9000, 9900), np.uint8))[1].tobytes()
    end = b"\xff\xd9"
    many = data.removesuffix(end) + b"\xff\xda" * (scans - data.count(b"\xff\xda")) + end
    # The scans are not valid ones: what is decoded of them is damaged.
    words = "damaged" if scans == 20 else r"too many pixels: 9900 x 9000; at most \d"
    with pytest.raises(DecodeError, match=words) as caught:
        load(many, 64)
    assert caught.value.kind == ("damaged" if scans == 20 else "too_many_pixels")


def test_a_jpeg_that_claims_too_many_pixels_is_never_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """65,000 x 65,000 pixels, which its header claims, are 12 GB."""
    at = JPEG.index(b"\xff\xc0") + 5
    claims = JPEG[:at] + struct.pack(">HH", 65000, 65000) + JPEG[at + 4 :]
    decoded: list[int] = []
    monkeypatch.setattr("simplejpeg.decode_jpeg", lambda *_, **__: decoded.append(1))
    with pytest.raises(DecodeError, match="too many pixels: 65000 x 65000"):
        load(claims, 64)
    assert not decoded


def test_sixteen_bits_are_scaled_alike_in_every_row() -> None:
    deep = np.arange(600 * 70, dtype=np.uint16).reshape(600, 70) * np.uint16(3)
    pixels = load(encode(Image.fromarray(deep), "PNG"), 64)[1]
    expected = (deep.astype(np.float64) / 257).astype(np.uint8)
    assert np.array_equal(pixels[:, :, 0], expected)
