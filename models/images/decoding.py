"""Decoding: from a picture's bytes to RGB pixels, upright and of one size, and its header."""

import io
from typing import NamedTuple

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
#: The only formats that are decoded: Pillow has decoders for others that run whole interpreters.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
ORIENTATION = 0x0112
#: A JPEG's markers of a metadata block and of the first scan, and the first bytes of EXIF data.
APP1, SCAN, EXIF = 0xE1, 0xDA, b"Exif\x00\x00"
#: Colour spaces as simplejpeg names them -> Pillow's mode.
MODES = {"Gray": "L", "CMYK": "CMYK", "YCCK": "CMYK"}


class Header(NamedTuple):
    """What the header of a picture says.

    Attributes
    ----------
    format : JPEG, PNG, WEBP, GIF, BMP or MPO, by its bytes and not by its name.
    mode : Pillow's name of its colour mode: RGB, L, CMYK, P, RGBA and so on.
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
    """Decode with simplejpeg; with Pillow if that fails, or if the picture must be rotated."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return _load_with_pillow(data, min_side)
    _refuse_too_many_pixels(width, height)
    mode = MODES.get(colours, "RGB")
    if mode == "CMYK" or _orientation(data) != 1:
        return _load_with_pillow(data, min_side)
    try:
        pixels = simplejpeg.decode_jpeg(data, min_height=min_side, min_width=min_side)
    except ValueError as error:
        header, pixels = _load_with_pillow(data, min_side)
        # Many cameras leave bytes between two segments, which change no pixel.
        harmless = "extraneous bytes" in str(error)
        return header._replace(flaw="" if harmless else str(error)), pixels
    return Header("JPEG", mode, width, height), pixels


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
    """Decode any format with Pillow."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _refuse_too_many_pixels(*picture.size)
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
        deep = np.clip(np.asarray(picture, dtype=np.float64) / 257, 0, 255)
        return Image.fromarray(deep.astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return picture.convert("RGB")


def _refuse_too_many_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise DecodeError(
            f"too many pixels: {width} x {height}; at most {MAX_PIXELS:,} are decoded",
            "too_many_pixels",
            width=width,
            height=height,
            limit=MAX_PIXELS,
        )
