"""A picture's bytes to pixels: upright, RGB, of one size; and what its header says."""

import io
from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from models.errors import DecodeError

Pixels = NDArray[np.uint8]

#: Raised by one whenever equal bytes would decode to other pixels than before.
DECODING = 1
#: Pixels a side below which no picture is decoded: its measures are read from the same pixels, and
#: must not depend on a study's size.
AT_LEAST = 64
#: Pillow's own limit: a picture that says it is larger is taken for a decompression bomb.
MAX_PIXELS = 89_478_485
#: What is ever handed to a decoder; Pillow knows others that run whole interpreters.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
ORIENTATION = 0x0112
#: A JPEG's markers of a block of metadata and of the first scan, and how an EXIF block begins.
APP1, SCAN, EXIF = 0xE1, 0xDA, b"Exif\x00\x00"
MODES = {"Gray": "L", "CMYK": "CMYK", "YCCK": "CMYK"}


class Header(NamedTuple):
    """What a picture says of itself.

    Attributes
    ----------
    format : JPEG, PNG, WEBP, GIF, BMP or MPO, by its bytes and not by its name.
    mode : Pillow's word for its colours: RGB, L, CMYK, P, RGBA and so on.
    width, height : pixels, as it is seen, upright.
    orientation : EXIF's, 1 to 8; 1 is upright.
    flaw : damage that the decoder got over, in its words; empty where there is none.
    """

    format: str
    mode: str
    width: int
    height: int
    orientation: int = 1
    flaw: str = ""


def decode(data: bytes, size: int) -> Pixels:
    """Decode a picture's bytes: upright, RGB, squeezed to a square.

    Parameters
    ----------
    data : JPEG, PNG, WebP, GIF or BMP bytes; grey, CMYK, palette and transparent ones become RGB.
    size : pixels a side. The whole picture is kept: its aspect changes, as in Keras's loaders.

    Returns
    -------
    uint8 (size, size, 3).

    Raises
    ------
    DecodeError
        If the bytes are no picture, or a damaged one.
    """
    return resize(load(data, max(size, AT_LEAST))[1], size)


def load(data: bytes, at_least: int) -> tuple[Header, Pixels]:
    """Decode a picture, no larger than is needed.

    Parameters
    ----------
    data : a picture's bytes.
    at_least : pixels that both sides keep, where the picture has them; a JPEG is decoded to the
        smallest eighth of its size that fulfils this, which is several times faster.

    Returns
    -------
    header : of the picture as it was before.
    pixels : uint8 (H, W, 3), RGB, upright.

    Raises
    ------
    DecodeError
        If the bytes are no picture, a damaged one, or one of absurd size.
    """
    if not data:
        raise DecodeError("empty: 0 bytes")
    if data.startswith(b"\xff\xd8"):
        return _load_jpeg(data, at_least)
    return _load_any(data, at_least)


def resize(image: Pixels, size: int, into: Pixels | None = None) -> Pixels:
    """Resize uint8 (H, W, 3) to (size, size, 3): by area when shrinking, else bilinear.

    The pixels are new ones, unless nothing changes, or those of `into`.
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


def _load_jpeg(data: bytes, at_least: int) -> tuple[Header, Pixels]:
    """Decode by simplejpeg; Pillow judges what that refuses, and turns what lies on its side."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return _load_any(data, at_least)
    _refuse_absurd(width, height)
    mode = MODES.get(colours, "RGB")
    if mode == "CMYK" or _orientation(data) != 1:
        return _load_any(data, at_least)
    try:
        pixels = simplejpeg.decode_jpeg(data, min_height=at_least, min_width=at_least)
    except ValueError as error:
        header, pixels = _load_any(data, at_least)
        # Bytes between two segments, which many cameras leave, hurt no pixel.
        harmless = "extraneous bytes" in str(error)
        return header._replace(flaw="" if harmless else str(error)), pixels
    return Header("JPEG", mode, width, height), pixels


def _orientation(data: bytes) -> int:
    if not _has_exif(data):
        return 1
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            return _upright_or(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 # a broken EXIF block does not make a broken picture
        return 1


def _has_exif(data: bytes) -> bool:
    """Whether a JPEG has an EXIF block: its segments are gone through, up to the first scan."""
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xff":
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == SCAN:
            return False
        if marker == APP1 and data.startswith(EXIF, at + 4):
            return True
        at += 2 + length
    return EXIF in data  # filled up, or damaged


def _upright_or(value: object) -> int:
    return value if isinstance(value, int) and value in range(1, 9) else 1


def _load_any(data: bytes, at_least: int) -> tuple[Header, Pixels]:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _refuse_absurd(*picture.size)
            return _load_opened(picture, at_least)
    except DecodeError:
        raise
    except UnidentifiedImageError as error:
        raise DecodeError(f"no picture of a known format ({', '.join(FORMATS)})") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DecodeError("too many pixels: a decompression bomb") from error
    except Exception as error:  # whatever Pillow trips over, these bytes are at fault
        raise DecodeError(f"damaged: {str(error) or type(error).__name__}") from error


def _load_opened(picture: Image.Image, at_least: int) -> tuple[Header, Pixels]:
    found, mode, size = picture.format or "", picture.mode, picture.size
    try:
        orientation = _upright_or(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 # see `_orientation`
        orientation = 1
    picture.draft("RGB", (at_least, at_least))
    pixels = np.asarray(_rgb(picture if orientation == 1 else ImageOps.exif_transpose(picture)))
    width, height = size if orientation <= 4 else size[::-1]  # noqa: PLR2004 # 5 to 8 lie down
    return Header(found, mode, width, height, orientation), pixels


def _rgb(picture: Image.Image) -> Image.Image:
    """Return what a viewer shows: transparent parts on white, 16 bits reduced to 8."""
    if picture.mode.startswith(("I", "F")):
        # Pillow would cut everything above 255 off instead of scaling it.
        deep = np.clip(np.asarray(picture, dtype=np.float64) / 257, 0, 255)
        return Image.fromarray(deep.astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        seen = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
    return picture.convert("RGB")


def _refuse_absurd(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise DecodeError(
            f"too many pixels: {width} x {height}; at most {MAX_PIXELS:,} are decoded"
        )
