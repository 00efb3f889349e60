"""Reading TOML files, as editors of any system save them."""

import codecs
import tomllib
from pathlib import Path
from typing import Any


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file; a byte order mark of UTF-8 is no part of it.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not TOML in UTF-8; the message says what to do.
    """
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content[:4]:
        raise ValueError("the file is in UTF-16; save it in UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"line {line} is not in UTF-8; save the file in UTF-8") from error
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError(
            "lists or tables are nested too deeply; write at most a few levels"
        ) from None
