"""Seeded changes to an input: bytes of files, and words of tables and settings."""

import random
import re
from collections.abc import Callable, Sequence

#: What is put in place of a value.
VALUES = (
    "-1",
    "0",
    "1e308",
    "1e-320",
    "999999999999999999999",
    "nan",
    "inf",
    "-0.0",
    "true",
    "''",
    '""',
    "[]",
    "{}",
    "[1, 2, 3]",
    "'a/b'",
    '"a\'b"',
    "'../../x'",
    "'~nobody/x'",
    "'\\u0000'",
    "'{0.__class__}'",
    "'%s%s%n'",
    "'$HOME'",
    "'ünï\u202e漢字'",
    "'" + "x" * 5000 + "'",
    "1_000",
    "0x10",
    "1979-05-27",
)
#: What is put between bytes.
BYTES = (b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n", b"\r", b",", b";", b"\t", b'"', b"'", b"=")

Change = Callable[[random.Random, bytes], bytes]


def _position(rng: random.Random, data: bytes) -> int:
    return rng.randrange(len(data) + 1)


def flip_bits(rng: random.Random, data: bytes) -> bytes:
    """Change one to eight bytes."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def cut_end(rng: random.Random, data: bytes) -> bytes:
    """Keep the first part."""
    return data[: _position(rng, data)]


def cut_part(rng: random.Random, data: bytes) -> bytes:
    """Remove a part from the middle."""
    start, end = sorted((_position(rng, data), _position(rng, data)))
    return data[:start] + data[end:]


def repeat_part(rng: random.Random, data: bytes) -> bytes:
    """Write a part twice."""
    start, end = sorted((_position(rng, data), _position(rng, data)))
    return data[:end] + data[start:]


def insert_bytes(rng: random.Random, data: bytes) -> bytes:
    """Insert separators, marks of encodings and NUL."""
    place = _position(rng, data)
    return data[:place] + rng.choice(BYTES) * rng.randint(1, 3) + data[place:]


def replace_value(rng: random.Random, data: bytes) -> bytes:
    """Replace a number, a word or a quoted text by a value of another kind."""
    found = list(re.finditer(rb"'[^'\n]*'|\"[^\"\n]*\"|[\w.+-]+", data))
    if not found:
        return data
    place = rng.choice(found)
    return data[: place.start()] + rng.choice(VALUES).encode() + data[place.end() :]


def swap_lines(rng: random.Random, data: bytes) -> bytes:
    """Change the order of lines."""
    lines = data.splitlines(keepends=True)
    if len(lines) > 1:
        a, b = rng.sample(range(len(lines)), 2)
        lines[a], lines[b] = lines[b], lines[a]
    return b"".join(lines)


def recode(rng: random.Random, data: bytes) -> bytes:
    """Write a text in another encoding."""
    text = data.decode("utf-8", "replace")
    return text.encode(rng.choice(["utf-16", "utf-8-sig", "cp1252", "cp949", "utf-32"]), "replace")


OF_BYTES: Sequence[Change] = (flip_bits, cut_end, cut_part, repeat_part, insert_bytes)
OF_TEXT: Sequence[Change] = (*OF_BYTES, *[replace_value] * 6, swap_lines, recode)


def mutate(data: bytes, number: int, changes: Sequence[Change] = OF_TEXT) -> bytes:
    """Return an input with one to three changes, the same for the same number."""
    rng = random.Random(number)
    for _ in range(rng.randint(1, 3)):
        data = rng.choice(changes)(rng, data)
    return data
