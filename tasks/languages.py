"""The texts that users read, in the languages of `words.toml`."""

import functools
import re
import string
import tomllib
from collections.abc import Callable
from importlib import resources

from tasks.errors import UserError

LANGUAGES = ("en", "ko")
Translate = Callable[..., str]

#: Korean particles after a consonant and after a vowel, as they are written where the word before
#: is a placeholder.
_PARTICLES = {
    "을(를)": "을를",
    "이(가)": "이가",
    "은(는)": "은는",
    "와(과)": "과와",
    "(으)로": ("으로", "로"),
}
#: The last letter or digit before such a particle; signs that are not read stand between.
_BEFORE_PARTICLE = re.compile(
    r"(?P<last>[^\W_]|%)(?P<signs>[^\w\s%]*)(?P<particle>"
    + "|".join(map(re.escape, _PARTICLES))
    + ")"
)
#: Digits, and letters at the end of Latin words, that are read with a consonant at the end.
_CONSONANT, _L = "013678lmn", "178l"
#: Syllables of Hangul: the first one, and how many have the same consonants but another end.
_FIRST_SYLLABLE, _LAST_SYLLABLE, _ENDS, _END_L = 0xAC00, 0xD7A3, 28, 8


class _Formatter(string.Formatter):
    """Formats as `str.format` does; ``{n:cell|cells}`` is the first word for 1, else the second."""

    def format_field(self, value: object, format_spec: str) -> str:
        singular, bar, plural = format_spec.partition("|")
        if bar:
            return singular if str(value) in {"1", "1.0"} else plural
        text: str = super().format_field(value, format_spec)
        return text


_FORMATTER = _Formatter()


def text_of(template: str, **values: object) -> str:
    """Return a text with its values filled in, and each word in the form that its number needs."""
    return _FORMATTER.vformat(template, (), values)


def translator(language: str) -> Translate:
    """Return a function from a key of `words`, and the values to fill in, to a text.

    Parameters
    ----------
    language : one of `LANGUAGES`.

    Raises
    ------
    UserError
        If the language is not supported.
    """
    if language not in LANGUAGES:
        raise UserError(f"--lang {language}: not supported; choose one of {', '.join(LANGUAGES)}")
    table = words()

    def say(key: str, **values: object) -> str:
        text = text_of(table[key][language], **values)
        return with_particles(text) if language == "ko" else text

    return say


def counted(n: int, noun: str) -> str:
    """Return a number and an English noun, as in ``1 run`` and ``2 runs``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def with_particles(text: str) -> str:
    """Return a Korean text with the particle that the word before it needs, as in ``3을``.

    A number is read digit by digit, and a Latin word ends with a consonant if that is l, m or n.
    """
    return _BEFORE_PARTICLE.sub(_with_particle, text)


def _with_particle(found: re.Match[str]) -> str:
    last, particle = found["last"].lower(), found["particle"]
    code = ord(last)
    if _FIRST_SYLLABLE <= code <= _LAST_SYLLABLE:
        end = (code - _FIRST_SYLLABLE) % _ENDS
        consonant, ends_with_l = end > 0, end == _END_L
    else:
        consonant, ends_with_l = last in _CONSONANT, last in _L
    # After an l, the particle of direction is that after a vowel.
    if particle == "(으)로" and ends_with_l:
        consonant = False
    after_consonant, after_vowel = _PARTICLES[particle]
    return f"{found['last']}{found['signs']}{after_consonant if consonant else after_vowel}"


@functools.cache
def words() -> dict[str, dict[str, str]]:
    """Return the texts: key -> language -> text."""
    file = resources.files("tasks") / "words.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))
