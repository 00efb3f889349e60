"""Scanning a source: only new and changed pictures are read again."""

import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from support.picture_files import store_of, write_pictures

from tasks.data.check_images import check_images
from tasks.data.find_images import find_images
from tasks.data.reason import Reason
from tasks.data.scan import scan
from tasks.data.source import Entry, Source


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder, 0, 60)
    return folder


def test_a_second_scan_reads_only_new_and_changed_files(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    write_pictures(folder, 0, 60)
    store = store_of(tmp_path)

    def read() -> int:
        return scan(find_images(folder, tmp_path), store)[0].read

    assert read() == 60
    assert read() == 0
    write_pictures(folder, 60, 3)
    (folder / "cat" / "0.jpg").write_bytes((folder / "cat" / "2.jpg").read_bytes())
    assert read() == 4
    (folder / "dog" / "1.jpg").unlink()
    assert read() == 0
    assert len(store.known(find_images(folder, tmp_path))) == 62


def test_a_change_that_no_stamp_reports_is_found(tmp_path: Path) -> None:
    folder, store = tmp_path / "pictures", store_of(tmp_path)
    write_pictures(folder, 0, 20)
    scan(find_images(folder, tmp_path), store)
    for path in folder.rglob("*.jpg"):
        about = path.stat()
        content = bytearray(path.read_bytes())
        content[-3] ^= 0xFF
        path.write_bytes(content)
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert scan(find_images(folder, tmp_path), store)[0].read == 20


def test_known_and_newly_read_pictures_give_the_same_table(data: Path, tmp_path: Path) -> None:
    source, store = find_images(data, tmp_path), store_of(tmp_path)
    first, second = (scan(source, store)[0].table for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


class ChangingReader:
    """A reader of a folder in which another program writes."""

    def __init__(self, source: Source, changes: dict[str, object]) -> None:
        self.inner, self.changes = source.reader, changes

    def read(self, entry: Entry) -> bytes:
        act = self.changes.pop(entry.path, None)
        if callable(act):
            act()
        return self.inner.read(entry)


def test_a_file_that_changes_while_it_is_read_is_quarantined_and_read_again_later(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "pictures"
    write_pictures(folder, 0, 60)
    source = find_images(folder, tmp_path)
    grown, gone = folder / "cat" / "8.jpg", folder / "dog" / "9.jpg"
    changes = {"cat/8.jpg": lambda: grown.write_bytes(b"longer" * 9999), "dog/9.jpg": gone.unlink}
    changing_source = replace(source, reader=ChangingReader(source, dict(changes)))
    store = store_of(tmp_path)
    checked = check_images(changing_source, store)
    assert checked.reasons["cat/8.jpg"] == [Reason("not_decodable", {"why": Reason("changed")})]
    assert checked.reasons["dog/9.jpg"] == [Reason("not_decodable", {"why": Reason("vanished")})]
    counts = checked.counts
    assert counts["found"] == counts["accepted"] + counts["quarantined"] + counts["passed_over"]
    # Neither is stored: the next scan reads them again.
    assert not {"cat/8.jpg", "dog/9.jpg"} & store.known(source).keys()
