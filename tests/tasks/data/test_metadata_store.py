"""The metadata store: what a damaged file does, and what an earlier version stored."""

import sqlite3
from pathlib import Path

import pytest
from support.picture_files import store_of, write_pictures

from tasks.data.find_images import find_images
from tasks.data.scan import scan
from tasks.errors import DataError


def test_a_reason_that_an_earlier_version_stored_as_a_sentence_is_measured_again(
    tmp_path: Path,
) -> None:
    folder, store = tmp_path / "pictures", store_of(tmp_path)
    write_pictures(folder, 0, 10)
    (folder / "cat" / "0.jpg").write_bytes(b"text")
    source = find_images(folder, tmp_path)
    first, _ = scan(source, store)
    assert first.unreadable["cat/0.jpg"].kind == "unknown_format"
    again, _ = scan(source, store)
    assert (again.read, again.unreadable) == (0, first.unreadable)
    with sqlite3.connect(store.path) as connection:
        connection.execute("update pictures set why = 'no picture' where path = 'cat/0.jpg'")
    later, _ = scan(source, store)
    assert (later.read, later.unreadable) == (1, first.unreadable)


def test_a_damaged_metadata_file_is_one_line(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 0, 10)
    (tmp_path / "metadata.db").write_bytes(b"no database" * 1000)
    source = find_images(tmp_path / "pictures", tmp_path)
    with pytest.raises(
        DataError, match=r"metadata .*metadata\.db: file is not a database; .*delet"
    ):
        scan(source, store_of(tmp_path))
