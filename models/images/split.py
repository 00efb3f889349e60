"""The split of the pictures by content."""

import hashlib

SIDES = ("training", "validation", "test")


def digest_of(data: bytes) -> str:
    """Return a picture's content digest."""
    return hashlib.sha256(data).hexdigest()


def side_of(digest: str, training: float, validation: float) -> int:
    """Return a picture's side from its content alone: it never moves as others come and go.

    Parameters
    ----------
    digest : hexadecimal, of the picture's bytes.
    training, validation : shares; the rest is the test side.
    """
    place = int(digest[:15], 16) / 16**15
    return int(place >= training) + int(place >= training + validation)
