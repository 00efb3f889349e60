"""Files that are written whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from tasks.whole_file import write_whole


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    for text in ("first", "zweite ü"):
        write_whole(file, text)
        assert file.read_text(encoding="utf-8") == text
    assert list(tmp_path.iterdir()) == [file]


def test_a_private_file_is_for_its_owner_only(tmp_path: Path) -> None:
    write_whole(tmp_path / "password", "x", private=True)
    assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600


def test_a_full_disk_leaves_the_file_as_it_was_and_is_reported_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "state.json"
    write_whole(file, "before")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OSError, match="No space left") as error:
        write_whole(file, "after")
    assert error.value.filename == str(file)
    assert file.read_text(encoding="utf-8") == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    write_whole(tmp_path / "network.tflite", b"\x00\xff\r\n")
    assert (tmp_path / "network.tflite").read_bytes() == b"\x00\xff\r\n"
