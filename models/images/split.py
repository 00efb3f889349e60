"""The split of the pictures into training, validation and test images, by content."""

import hashlib

SIDES = ("training", "validation", "test")


def content_digest(data: bytes) -> str:
    """Return the SHA-256 of some bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def assign_side(digest: str, training: float, validation: float) -> int:
    """Return the side of the split that a picture belongs to, as an index into `SIDES`.

    It depends only on the picture's content, so that a picture keeps its side when other pictures
    are added or removed.

    Parameters
    ----------
    digest : of the picture's bytes, hexadecimal.
    training, validation : shares, 0 to 1; the rest is the test side.
    """
    position = int(digest[:15], 16) / 16**15
    return int(position >= training) + int(position >= training + validation)
