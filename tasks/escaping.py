"""Text from outside, made safe for what shows it: terminals, JSON lines, Markdown, HTML pages.

File and class names, messages of decoders and texts that other users logged may contain anything:
control characters that repaint a terminal, line breaks that forge a line, marks that reverse the
direction of the text, markup and scripts.
"""

import html
import json
import re
from collections.abc import Callable
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

#: Control characters, line and paragraph separators, marks of direction, invisible characters that
#: change how others are read, and bytes that are not text. The joiners U+200C and U+200D are
#: letters' parts in several scripts, and stay.
_UNSAFE = (
    "\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb"
)
UNSAFE = re.compile(f"[{_UNSAFE}]")
#: The same without line feed and tab, which separate lines and columns of our own output.
_UNSAFE_IN_OUTPUT = re.compile(f"(?![\n\t])[{_UNSAFE}]")
#: What Markdown reads as markup anywhere in a line, and at its beginning.
_MARKDOWN = re.compile(r"([\\`*_\[\]|~$]|^[#+=-])")

#: A longer word, such as a value of a thousand characters, hides the rest of a line; of such a word
#: this many characters are shown at either end.
LONGEST_WORD, KEPT_OF_WORD = 300, 100

#: What a page may load: styles and images that are in the page itself. No script runs in it,
#: nothing is sent or loaded, whatever a name or a text in the page contains.
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
#: The element of a page's head that says so. It must stand before anything that loads.
PAGE_POLICY_ELEMENT = f'<meta http-equiv="Content-Security-Policy" content="{PAGE_POLICY}">'


def printable(text: str) -> str:
    """Return text on one line, without characters that change how the text around it is shown.

    Such a character is shown as its bytes in UTF-8: a line feed becomes ``%0A``. Bytes that are not
    text, which Python keeps as lone surrogates, become ``%XX``, too.
    """
    return text if text.isprintable() else UNSAFE.sub(_as_percent, text)


def as_line(text: str) -> str:
    """Return a message as one printable line; words of hundreds of characters are shortened."""
    words = (
        word if len(word) <= LONGEST_WORD else f"{word[:KEPT_OF_WORD]}...{word[-KEPT_OF_WORD:]}"
        for word in text.split()
    )
    return printable(" ".join(words))


def printable_lines(text: str) -> str:
    """Return output of several lines for a terminal; line feeds and tabs stay."""
    return text if text.isprintable() else _UNSAFE_IN_OUTPUT.sub(_as_percent, text)


def as_json_text(content: Any, **options: Any) -> str:
    """Return JSON, in readable letters, that is safe to print: unsafe characters are escaped."""
    text = json.dumps(content, ensure_ascii=False, **options)
    return _UNSAFE_IN_OUTPUT.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def map_texts(content: object, change: Callable[[str], str]) -> object:
    """Return plain JSON types with every text in them changed; the keys stay."""
    match content:
        case str():
            return change(content)
        case dict():
            return {key: map_texts(value, change) for key, value in content.items()}
        case list() | tuple():
            return [map_texts(value, change) for value in content]
        case _:
            return content


def as_markdown(text: str) -> str:
    """Return text on one line that Markdown shows as it is: no markup, no HTML."""
    escaped = _MARKDOWN.sub(r"\\\1", printable(text))
    return html.escape(escaped, quote=False)


def as_markdown_lines(text: str) -> str:
    """Return text of several lines that Markdown shows as it is: no markup, no HTML."""
    return "\n".join(as_markdown(line) for line in text.splitlines())


def own_markdown(text: str) -> str:
    """Return a user's own Markdown, such as a study's description, without HTML.

    Its markup and its line feeds stay. No HTML element begins without ``<``.
    """
    return printable_lines(text).replace("<", "&lt;")


def page_environment(**options: Any) -> "jinja2.Environment":
    """Return the environment of templates for HTML pages: every value in them is escaped.

    A template writes ``{{ page_policy }}`` first in its head, and ``{{ page_style }}``, the style
    of all pages, in a style element.

    Parameters
    ----------
    options : of `jinja2.Environment`.
    """
    import jinja2
    import markupsafe

    environment = jinja2.Environment(autoescape=True, finalize=_printable_value, **options)
    style = (resources.files("tasks") / "page.css").read_text(encoding="utf-8")
    environment.globals["page_style"] = markupsafe.Markup(style)  # noqa: S704 # our own text
    environment.globals["page_policy"] = markupsafe.Markup(PAGE_POLICY_ELEMENT)  # noqa: S704 # our own text
    return environment


def _printable_value(value: object) -> object:
    """Return text for a page; marked-up text, which is a subclass of `str`, stays as it is."""
    return printable_lines(value) if type(value) is str else value


def _as_percent(found: re.Match[str]) -> str:
    character = found[0]
    if "\udc80" <= character <= "\udcff":
        return f"%{ord(character) & 0xFF:02X}"  # a byte that is not text
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
