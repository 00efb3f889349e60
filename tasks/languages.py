"""The texts that users read, in the languages of `words.toml`."""

import functools
import tomllib
from collections.abc import Callable
from importlib import resources

from tasks.errors import UserError

LANGUAGES = ("en", "ko")
Translate = Callable[..., str]


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
        return table[key][language].format(**values)

    return say


@functools.cache
def words() -> dict[str, dict[str, str]]:
    """Return the texts: key -> language -> text."""
    file = resources.files("tasks") / "words.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))
