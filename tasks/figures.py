"""Writing figures with every name as the user wrote it.

Names of factors, levels, classes and studies may contain ``$``, ``_``, ``^`` or a backslash, which
matplotlib would read as formulas, and letters of any script, which its own font may lack.
"""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Parts of the names of font files that are likely to have the letters that matplotlib's font
#: lacks, the best first; fonts that have none of them are looked at last.
LIKELY = ("notosanscjk", "notosanskr", "nanumgothic", "malgun", "applesdgothic", "noto", "gothic")

#: Held while a figure is drawn: several replicates of a study end at once.
LOCK = threading.Lock()


def save_figure(figure: "Figure", file: Path | IO[bytes], **options: Any) -> None:
    """Write a figure, with every text as it was given and in fonts that have its letters.

    Parameters
    ----------
    figure : its texts may be changed: no formula is read in them.
    file : where to write.
    options : as for `matplotlib.figure.Figure.savefig`.
    """
    import matplotlib as mpl
    from matplotlib.text import Text

    with LOCK:
        families = [*mpl.rcParams["font.family"]]
        families += [family_of(path) for path in fallback_fonts(_letters(figure))]
        # Texts that exist have their own settings; those that drawing adds take the defaults,
        # which belong to the whole process.
        with mpl.rc_context({"text.parse_math": False, "font.family": families}):
            for text in figure.findobj(Text):
                text.set_parse_math(False)
                text.set_fontfamily(families)
            with _quiet_about_fonts():
                figure.savefig(file, **options)


@contextmanager
def _quiet_about_fonts() -> Iterator[None]:
    """Do not report letters that no installed font has, nor fonts without a bold face."""
    log = logging.getLogger("matplotlib.font_manager")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            yield
    finally:
        log.setLevel(level)


def _letters(figure: "Figure") -> str:
    """Return the letters of a figure's texts; those of tick labels are placed first."""
    from matplotlib.text import Text

    for axes in figure.axes:
        axes.get_xticklabels(), axes.get_yticklabels()
    return "".join(text.get_text() for text in figure.findobj(Text))


def font_file(text: str) -> str:
    """Return the file of a font that has the letters of a text: matplotlib's own if it has them.

    If no installed font has all of them, the one that has most.
    """
    fallback = fallback_fonts(text)
    return fallback[0] if fallback else _own_font()


def fallback_fonts(text: str) -> tuple[str, ...]:
    """Return the files of installed fonts for the letters that matplotlib's own font lacks."""
    lacking = frozenset(letter for letter in text if letter.isprintable())
    return _fonts_with(_without(lacking, _own_font()))


@lru_cache(maxsize=256)
def _fonts_with(letters: frozenset[str]) -> tuple[str, ...]:
    found: list[str] = []
    for path in _installed_fonts() if letters else ():
        left = _without(letters, path)
        if len(left) < len(letters):
            found, letters = [*found, path], left
        if not letters:
            break
    return tuple(found)


def _without(letters: frozenset[str], path: str) -> frozenset[str]:
    """Return the letters that a font lacks; all of them if the font cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path)
    except (OSError, RuntimeError):
        return letters
    return frozenset(letter for letter in letters if not font.get_char_index(ord(letter)))


@lru_cache(maxsize=1)
def _installed_fonts() -> tuple[str, ...]:
    """Return the installed font files, the likely ones first.

    Not from matplotlib's own list: it is kept in a file, and lacks fonts that were installed later.
    """
    from matplotlib.font_manager import findSystemFonts

    def rank(path: str) -> tuple[int, bool, str]:
        name = Path(path).name.lower()
        likely = [i for i, part in enumerate(LIKELY) if part in name]
        return min(likely, default=len(LIKELY)), "bold" in name or "italic" in name, name

    return tuple(sorted(findSystemFonts(), key=rank))


@lru_cache(maxsize=64)
def family_of(path: str) -> str:
    """Return the family of a font file, which matplotlib knows from then on."""
    from matplotlib.font_manager import fontManager

    if not any(font.fname == path for font in fontManager.ttflist):
        fontManager.addfont(path)
    return next(font.name for font in fontManager.ttflist if font.fname == path)


@lru_cache(maxsize=1)
def _own_font() -> str:
    import matplotlib as mpl

    return str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
