"""The words of the report, in the languages of `words.toml`."""

import tomllib
from collections.abc import Callable
from importlib import resources

from tasks.errors import UserError

LANGUAGES = ("en", "ko")
Translate = Callable[..., str]


def translator(language: str) -> Translate:
    """Return a function from a key of `words`, and the figures in it, to a sentence.

    Raises
    ------
    UserError
        If the report does not speak the language.
    """
    if language not in LANGUAGES:
        raise UserError(f"--lang {language}: not spoken; choose one of {', '.join(LANGUAGES)}")
    known = words()

    def say(key: str, **figures: object) -> str:
        return known[key][language].format(**figures)

    return say


def words() -> dict[str, dict[str, str]]:
    """Return each key's words by language."""
    file = resources.files("tasks.report") / "words.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))
