"""Decoding: from a picture's bytes to RGB pixels, upright and of one size, and its header."""

import io
import re
from itertools import product
from typing import Any, NamedTuple

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from models.errors import DecodeError

Pixels = NDArray[np.uint8]

#: Version of the decoding: raise it by one when equal bytes decode to other pixels than before.
DECODING = 1
#: Pixels per side below which no picture is decoded: a picture is measured on the decoded pixels,
#: and its measures must not depend on the image size of a study.
MIN_DECODED_SIDE = 64
#: Pillow's own limit: a picture that declares more pixels is treated as a decompression bomb.
MAX_PIXELS = 89_478_485
#: Bytes of a picture in full size (width x height x channels x bytes of one), at most, if it is
#: decoded in full size. As RGB it has at least 3 bytes per pixel. The largest JPEG may have more
#: pixels: it is decoded at a reduced size. A picture at the limit takes about 1.2 GB of memory.
MAX_DECODED_BYTES = 2**28
#: Scans of the largest JPEG, at most; smaller ones may have more. Each scan goes over all pixels.
MAX_SCANS = 20
#: Bytes of one channel in Pillow's modes that have more than one.
CHANNEL_BYTES = {"I": 4, "F": 4, "I;16": 2, "I;16B": 2, "I;16L": 2}
#: Rows of a picture of 16 bits that are scaled at a time.
ROWS = 256
#: The only formats that are decoded: Pillow has decoders for others that run whole interpreters.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
ORIENTATION = 0x0112
#: A JPEG's markers of a metadata block and of the first scan, and the first bytes of EXIF data.
APP1, SCAN, EXIF = 0xE1, 0xDA, b"Exif\x00\x00"
#: Markers of the end, of a frame with progressive scans, and of segments with metadata; of these,
#: the beginnings of those that say what the colours mean.
END, PROGRESSIVE, METADATA = 0xD9, 0xC2, {*range(0xE0, 0xF0), 0xFE}
COLOUR_SEGMENTS = (b"JFIF\0\1", b"Adobe")
#: The beginning of a segment; within the data of a scan there is none.
MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)
#: The marker of a frame, which says how the pixels are coded.
FRAME = re.compile(rb"\xff[\xc0-\xc2]")
#: What the decoder says if pixels are missing or wrong; its other warnings are about headers,
#: metadata, and bytes that it skips.
DAMAGE = ("premature end", "Premature end", "bad Huffman", "bad arithmetic", "instead of RST")
#: The first bytes of a PNG, and its optional chunks that change pixels.
PNG, PNG_PIXELS = b"\x89PNG\r\n\x1a\n", (b"tRNS", b"eXIf")
#: Of 16 bits, the bits that a picture uses at most if it is dark because of that.
FEW_BITS = 14
#: Colour spaces as simplejpeg names them -> Pillow's mode.
MODES = {"Gray": "L", "CMYK": "CMYK", "YCCK": "CMYK"}


class Header(NamedTuple):
    """What the header of a picture says.

    Attributes
    ----------
    format : JPEG, PNG, WEBP, GIF, BMP or MPO, by its bytes and not by its name.
    mode : Pillow's name of its colour mode: RGB, L, CMYK, P, RGBA and so on; I;12 or RGB;12 if a
        picture of 16 bits uses only 12.
    width, height : pixels of the upright picture.
    orientation : as in EXIF, 1 to 8; 1 is upright.
    flaw : damage that the decoder could correct, in the decoder's words; empty if there is none.
    """

    format: str
    mode: str
    width: int
    height: int
    orientation: int = 1
    flaw: str = ""


def decode(data: bytes, size: int) -> Pixels:
    """Decode a picture's bytes to RGB, upright and resized to a square.

    Parameters
    ----------
    data : JPEG, PNG, WebP, GIF or BMP bytes; grey, CMYK, palette and transparent ones become RGB.
    size : pixels per side. The whole picture is kept: its aspect ratio changes, as in Keras.

    Returns
    -------
    uint8 (size, size, 3).

    Raises
    ------
    DecodeError
        If the bytes are not a picture, or the picture is damaged.
    """
    return resize(load(data, max(size, MIN_DECODED_SIDE))[1], size)


def load(data: bytes, min_side: int) -> tuple[Header, Pixels]:
    """Decode a picture at a reduced size, if that is large enough.

    Parameters
    ----------
    data : a picture's bytes.
    min_side : pixels that both sides have at least after decoding, if the picture has as many. A
        JPEG is decoded at the smallest multiple of an eighth of its size that is large enough,
        which is several times faster.

    Returns
    -------
    header : of the picture in its original size.
    pixels : uint8 (H, W, 3), RGB, upright.

    Raises
    ------
    DecodeError
        If the bytes are not a picture, or the picture is damaged or has too many pixels.
    """
    if not data:
        raise DecodeError("empty: 0 bytes", "empty")
    if data.startswith(b"\xff\xd8"):
        return _load_jpeg(data, min_side)
    return _load_with_pillow(data, min_side)


def resize(image: Pixels, size: int, into: Pixels | None = None) -> Pixels:
    """Resize uint8 (H, W, 3) to (size, size, 3): area average to shrink, bilinear to enlarge.

    Parameters
    ----------
    image : returned as it is, if it has the size already and `into` is not given.
    size : pixels per side.
    into : the array to write to; a new one if not given.
    """
    if image.shape[:2] == (size, size):
        if into is None:
            return image
        into[:] = image
        return into
    shrinking = image.shape[0] >= size and image.shape[1] >= size
    how = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    resized: Pixels = cv2.resize(image, (size, size), into, interpolation=how)
    return resized


def _load_jpeg(data: bytes, min_side: int) -> tuple[Header, Pixels]:
    """Decode a JPEG, also one that lacks nothing but its last two bytes."""
    try:
        return _load_whole_jpeg(data, min_side)
    except DecodeError as error:
        if error.kind in {"too_many_pixels", "pixel_bomb"}:
            raise  # a header of a few bytes can claim 12 GB of pixels: nothing may decode them
        ended = data + bytes((0xFF, END))
        if not _has_all_pixels(ended):
            raise
        return _load_whole_jpeg(ended, min_side)


def _has_all_pixels(data: bytes) -> bool:
    """Whether a sequential JPEG is decoded without a warning; scans of others may be missing."""
    frame = FRAME.search(_essential(data))  # metadata may contain a small JPEG
    if frame is None or frame[0][1] == PROGRESSIVE:
        return False
    try:
        simplejpeg.decode_jpeg(data)
    except ValueError:
        return False
    return True


def _load_whole_jpeg(data: bytes, min_side: int) -> tuple[Header, Pixels]:
    """Decode with simplejpeg; with Pillow if that fails, or if the picture must be rotated."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        header, pixels = _load_with_pillow(data, min_side)
        return header._replace(flaw=_damage(data)), pixels
    _refuse_too_many_pixels(width, height, _largest_jpeg(data))
    mode = MODES.get(colours, "RGB")
    if mode == "CMYK" or _orientation(data) != 1:
        return _load_with_pillow(data, min_side)
    try:
        pixels = simplejpeg.decode_jpeg(data, min_height=min_side, min_width=min_side)
    except ValueError as error:
        header, pixels = _load_with_pillow(data, min_side)
        is_damage = any(words in str(error) for words in DAMAGE)
        return header._replace(flaw=str(error) if is_damage else _damage(data)), pixels
    return Header("JPEG", mode, width, height), pixels


def _damage(data: bytes) -> str:
    """Return the damage of a JPEG whose first warning is not about pixels; empty if there is none.

    The decoder reports only its first warning: of a scan header that cameras write wrongly, of a
    repeated scan, of bytes between segments. The picture is decoded once more without what such
    warnings are about. It is undamaged if there is no warning now, and the pixels are the same.
    """
    try:
        essential = simplejpeg.decode_jpeg(_essential(data))
        whole = simplejpeg.decode_jpeg(data, strict=False)
    except ValueError as error:
        return str(error) if any(words in str(error) for words in DAMAGE) else ""
    return "" if np.array_equal(essential, whole) else "a repeated scan changes the pixels"


def _essential(data: bytes) -> bytes:
    """Return a JPEG without metadata, bytes between segments and repeated scans."""
    kept, at = [data[:2]], 2
    progressive, precision = False, dict[tuple[int, int], int]()
    while found := MARKER.search(data, at):
        at, marker = found.start(), data[found.start() + 1]
        if marker == END:
            kept.append(data[at : at + 2])
            break
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        segment, at = data[at:end], end
        if marker == SCAN:
            after = MARKER.search(data, end)
            at = after.start() if after else len(data)
            if not progressive:
                # A sequential scan has all coefficients, whatever its header says.
                segment = segment[:-3] + b"\0\x3f\0"
            elif _is_repeated(segment, precision):
                continue
            segment += data[end:at]
        progressive |= marker == PROGRESSIVE
        if marker not in METADATA or segment.startswith(COLOUR_SEGMENTS, 4):
            kept.append(segment)
    return b"".join(kept)


def _is_repeated(scan: bytes, precision: dict[tuple[int, int], int]) -> bool:
    """Whether a scan does not refine what the scans before it have left.

    Parameters
    ----------
    scan : the header of the scan.
    precision : component and coefficient -> the lowest bit that the scans have given so far; gets
        the bits of this scan if it is not repeated. See ITU-T T.81, B.2.3 and G.1.1.1.
    """
    components, (first, last, bits) = scan[5:-3:2], scan[-3:]
    coefficients = list(product(components, range(first, last + 1)))
    if any(precision.get(each, 0) != bits >> 4 for each in coefficients):
        return True
    precision.update(dict.fromkeys(coefficients, bits & 15))
    return False


def _orientation(data: bytes) -> int:
    if not _has_exif(data):
        return 1
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            return _valid_orientation(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 # a picture with a damaged EXIF block is still a picture
        return 1


def _has_exif(data: bytes) -> bool:
    """Whether a JPEG has an EXIF block before its first scan."""
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xff":
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == SCAN:
            return False
        if marker == APP1 and data.startswith(EXIF, at + 4):
            return True
        at += 2 + length
    return EXIF in data  # fill bytes between the segments, or damage


def _valid_orientation(value: object) -> int:
    """Return an EXIF orientation; 1 (upright) if the value is none of 1 to 8."""
    return value if isinstance(value, int) and value in range(1, 9) else 1


def _load_with_pillow(data: bytes, min_side: int) -> tuple[Header, Pixels]:
    """Decode any format with Pillow; a PNG without its metadata, if that is why it fails."""
    try:
        header, pixels = _load_any(data, min_side)
    except DecodeError as error:
        if error.kind == "too_many_pixels":
            raise
        if not data.startswith(PNG) or len(pixels_only := _png_pixels_only(data)) == len(data):
            raise
        header, pixels = _load_any(pixels_only, min_side)
    return header._replace(mode=_mode_with_bits(header.mode, data)), pixels


def _load_any(data: bytes, min_side: int) -> tuple[Header, Pixels]:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _refuse_too_many_pixels(*picture.size, _largest_size(picture, data))
            return _load_opened(picture, min_side)
    except DecodeError:
        raise
    except UnidentifiedImageError as error:
        formats = ", ".join(FORMATS)
        raise DecodeError(
            f"not a picture of a supported format ({formats})", "unknown_format", formats=formats
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DecodeError("too many pixels: a decompression bomb", "pixel_bomb") from error
    except Exception as error:  # whatever Pillow raises, these bytes are the cause
        message = str(error) or type(error).__name__
        raise DecodeError(f"damaged: {message}", "damaged", message=message) from error


def _png_pixels_only(data: bytes) -> bytes:
    """Return a PNG without the chunks that do not change its pixels, such as long texts."""
    kept, at = [PNG], len(PNG)
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        if name[:1].isupper() or name in PNG_PIXELS:
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def _mode_with_bits(mode: str, data: bytes) -> str:
    """Return the mode, and the bits that a PNG of 16 bits uses if these are few: I;12."""
    if not _is_deep_png(data):
        return mode
    deep = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if deep is None:
        return mode
    highest = int(deep[:, :, :3].max() if deep.ndim > 2 else deep.max())  # noqa: PLR2004 # colours
    bits = max(highest.bit_length(), 1)
    return f"{mode.partition(';')[0]};{bits}" if bits <= FEW_BITS else mode


def _load_opened(picture: Image.Image, min_side: int) -> tuple[Header, Pixels]:
    found, mode, size = picture.format or "", picture.mode, picture.size
    try:
        orientation = _valid_orientation(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 # see `_orientation`
        orientation = 1
    picture.draft("RGB", (min_side, min_side))
    pixels = np.asarray(_rgb(picture if orientation == 1 else ImageOps.exif_transpose(picture)))
    width, height = size if orientation <= 4 else size[::-1]  # noqa: PLR2004 # 5 to 8 swap the sides
    return Header(found, mode, width, height, orientation), pixels


def _rgb(picture: Image.Image) -> Image.Image:
    """Return what an image viewer shows: transparent parts on white, 16 bits reduced to 8."""
    if picture.mode.startswith(("I", "F")):
        # Pillow would clip values above 255 instead of scaling them.
        return Image.fromarray(_scaled_to_8_bits(np.asarray(picture))).convert("RGB")
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return picture.convert("RGB")


def _scaled_to_8_bits(deep: NDArray[Any]) -> Pixels:
    """Return values of 16 bits, (H, W), as 8 bits; a few rows at a time, because of the memory."""
    scaled = np.empty(deep.shape, np.uint8)
    for at in range(0, len(deep), ROWS):
        scaled[at : at + ROWS] = np.clip(deep[at : at + ROWS].astype(np.float64) / 257, 0, 255)
    return scaled


def _largest_size(picture: Image.Image, data: bytes) -> int:
    """Return how many pixels are decoded at most of a picture of this kind, by its header."""
    if picture.format in {"JPEG", "MPO"}:
        return _largest_jpeg(data)
    channels, size = len(picture.getbands()), CHANNEL_BYTES.get(picture.mode, 1)
    if _is_deep_png(data):
        size = max(size, 2)
    return min(MAX_PIXELS, MAX_DECODED_BYTES // max(channels * size, 3))


def _largest_jpeg(data: bytes) -> int:
    """Return how many pixels a JPEG may have with as many scans as it has."""
    scans = data.count(bytes((0xFF, SCAN)))
    return MAX_PIXELS * MAX_SCANS // max(scans, MAX_SCANS)


def _is_deep_png(data: bytes) -> bool:
    """Whether a picture is a PNG with 16 bits per channel."""
    return data.startswith(PNG) and data[24:25] == b"\x10"


def _refuse_too_many_pixels(width: int, height: int, limit: int) -> None:
    if width * height > limit:
        raise DecodeError(
            f"too many pixels: {width} x {height}; at most {limit:,} are decoded",
            "too_many_pixels",
            width=width,
            height=height,
            limit=limit,
        )
