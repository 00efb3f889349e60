"""The encoding of names that do not say it: the one in which they are words.

The encoding is chosen in which the names are most probable, as in the method of S. Li and K. Momoi,
"A composite approach to language/encoding detection", 2001, with the frequencies of characters
reduced to a few classes. charset-normalizer needs longer texts: of 34 pairs of names of classes, in
ten encodings, it read 17.
"""

import functools
import math
import unicodedata
from collections.abc import Callable, Collection, Sequence

#: The encoding that the standard of zips gives to names without a mark.
OLD_ZIP = "cp437"
#: The probability of an ASCII character, of a character that a language does not have, and of a
#: change between ASCII letters and others within a word.
ASCII, FOREIGN, CHANGE = 1 / 40, 1e-7, 0.1
#: Frequencies of the initials, vowels and finals of Hangul syllables, in per mille, in the order of
#: Unicode: rough ones, of Korean running text.
INITIALS = (120, 10, 70, 80, 10, 60, 50, 50, 4, 90, 6, 250, 80, 4, 30, 15, 20, 20, 70)
VOWELS = (200, 60, 10, 1, 100, 50, 50, 4, 110, 20, 2, 12, 15, 80, 10, 1, 10, 12, 90, 15, 170)
FINALS = (
    *(500, 60, 2, 1, 130, 1, 3, 5, 80, 4, 1, 1, 1, 1),
    *(1, 1, 50, 20, 4, 15, 20, 100, 4, 3, 1, 4, 6, 5),
)
#: Standard -> the first bytes of its level 1, which has the common characters, and the probability
#: of a character of level 1 and of the levels above.
LEVELS = {
    "shift_jis": (0x88, 0x97, 0.37 / 2965, 0.01 / 3390),
    "gb2312": (0xB0, 0xD7, 0.95 / 3755, 0.04 / 3008),
    "big5": (0xA4, 0xC6, 0.95 / 5401, 0.04 / 7652),
}


def likely_encoding(names: Sequence[bytes], encodings: Collection[str] = ()) -> str:
    """Return the encoding in which names are most probable; an empty one if none can read them.

    Parameters
    ----------
    names : names or words, with bytes that are not ASCII.
    encodings : those that are possible; by default all of `ENCODINGS`.
    """
    chances = {}
    for encoding, (prior, languages) in ENCODINGS.items():
        if encodings and encoding not in encodings:
            continue
        try:
            texts = [unicodedata.normalize("NFC", name.decode(encoding)) for name in names]
        except UnicodeDecodeError:
            continue
        chances[encoding] = math.log(prior) + max(
            sum(_log_chance(text, language) for text in texts) for language in languages
        )
    return max(chances, key=chances.__getitem__, default="")


def _log_chance(text: str, language: Callable[[str, str], float]) -> float:
    """Return the logarithm of the probability of a text in a language."""
    total = 0.0
    for before, char in zip(f" {text}", text, strict=False):
        chance = ASCII if char.isascii() else language(char, before)
        if char.isalpha() and before.isalpha() and language is not _latin:
            chance *= CHANGE if char.isascii() != before.isascii() else 1.0
        total += math.log(max(chance, FOREIGN))
    return total


def _korean(char: str, _: str) -> float:
    at = ord(char) - 0xAC00
    if not 0 <= at < 19 * 21 * 28:  # the syllables of Unicode
        return FOREIGN
    return INITIALS[at // 588] * VOWELS[at % 588 // 28] * FINALS[at % 28] / 1e9


@functools.cache
def _lead(char: str, encoding: str) -> int:
    """Return the first of a character's two bytes; 0 if it has not two."""
    try:
        data = char.encode(encoding)
    except UnicodeEncodeError:
        return 0
    return data[0] if len(data) == 2 else 0  # noqa: PLR2004 # the two bytes of these encodings


def _japanese(char: str, _: str) -> float:
    return 0.6 / 170 if "\u3041" <= char <= "\u30fc" else _of_level("shift_jis", char)


def _chinese(char: str, _: str) -> float:
    return _of_level("gb2312", char)


def _traditional_chinese(char: str, _: str) -> float:
    return _of_level("big5", char)


def _of_level(encoding: str, char: str) -> float:
    first, last, common, rare = LEVELS[encoding]
    lead = _lead(char, encoding)
    return FOREIGN if lead < first else common if lead <= last else rare


def _russian(char: str, before: str) -> float:
    if not ("\u0410" <= char <= "\u044f" or char in "\u0401\u0451"):
        return FOREIGN
    if before.isascii() and before.isalpha():
        return FOREIGN  # words mix no Latin and Cyrillic letters
    starts_word = not before.isalpha()
    likely = starts_word or before.isupper() if char.isupper() else starts_word or before.islower()
    return (0.4 if likely else 0.02 if before.isupper() else 0.002) / 33


def _latin(char: str, before: str) -> float:
    is_latin = char.isalpha() and unicodedata.name(char, "").startswith("LATIN")
    if not is_latin or char in "\xaa\xba\u0192":
        return FOREIGN
    return 0.0008 * (0.05 if char.isupper() and before.islower() else 1.0)


#: Encoding -> how often it is expected, and the languages that are written in it.
ENCODINGS: dict[str, tuple[float, tuple[Callable[[str, str], float], ...]]] = {
    "utf-8": (
        0.5,
        (_korean, _japanese, _chinese, _traditional_chinese, _russian, _latin),
    ),
    "cp949": (0.2, (_korean,)),
    OLD_ZIP: (0.1, (_latin,)),
    "gbk": (0.1, (_chinese,)),
    "cp932": (0.1, (_japanese,)),
    "cp866": (0.05, (_russian,)),
    "cp1251": (0.05, (_russian,)),
    "big5": (0.03, (_traditional_chinese,)),
    "cp850": (0.03, (_latin,)),
    "cp1252": (0.03, (_latin,)),
}
