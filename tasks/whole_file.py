"""Small files that are there whole or not at all, also if a process is killed or a disk is full."""

import os
from pathlib import Path


def write_whole(file: Path, content: str | bytes, *, private: bool = False) -> None:
    """Write a file under another name, and rename it.

    Parameters
    ----------
    content : text is written as UTF-8.
    private : whether only its owner can read and write it.

    Raises
    ------
    OSError
        If it cannot be written; the file is then as it was before.
    """
    partial = file.with_name(f".{file.name}.{os.getpid()}.new")
    partial.unlink(missing_ok=True)
    try:
        partial.touch(0o600 if private else 0o666, exist_ok=False)
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)
        # The system names no file when a write fails; the message to the user needs it.
        raise OSError(error.errno, error.strerror, str(file)) from error
