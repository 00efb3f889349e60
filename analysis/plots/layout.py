"""The width of figures, and how many panels stand side by side in it."""

import textwrap
import unicodedata

#: Letters of an axis label on one inch.
LETTERS_PER_INCH = 12
#: A figure of less than this width, inches, has one column: of its legend, or of its panels.
NARROW = 5.0


def panels_across(count: int, most: int, panel: float, width: float | None) -> int:
    """Return how many of `count` panels stand side by side.

    Parameters
    ----------
    most : never more.
    panel : the least width of one, inches.
    width : of the figure, inches; None if it is not limited.
    """
    fit = most if width is None else int((width - 0.6) / panel)
    return max(1, min(count, most, fit))


def limited(natural: float, width: float | None) -> float:
    """Return the width of a figure, inches: its natural one, if the limit is not smaller."""
    return natural if width is None else min(natural, width)


def wrapped(text: str, width: float) -> str:
    """Return the label of an axis or a figure on lines that fit in `width` inches."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    share = len(text) / (len(text) + wide) if text else 1
    return textwrap.fill(text, max(12, int(LETTERS_PER_INCH * width * share)))


def shortened(term: str, width: float) -> str:
    """Return the name of a term that fits in `width` inches: each of its factors is cut alike."""
    letters = int(LETTERS_PER_INCH * width)
    if len(term) <= letters:
        return term
    factors = term.split(":")
    each = max(1, (letters - len(factors)) // len(factors) - 1)
    return ":".join(name if len(name) <= each + 1 else f"{name[:each]}." for name in factors)
