"""Measuring pictures, in this process and in a pool of processes."""

import multiprocessing
import signal
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.picture_files import child, store_of, write_pictures

from tasks.data.find_images import find_images
from tasks.data.measure import EARLY_PROCESSES, ReaderPool, measure_picture
from tasks.data.reason import reason_as_text
from tasks.data.scan import scan
from tasks.data.source import Entry
from tasks.validation.validate import open_reader_pool


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder, 0, 60)
    return folder


def test_the_pool_and_this_process_measure_the_same(data: Path, tmp_path: Path) -> None:
    source = find_images(data, tmp_path)
    many = replace(source, entries=[e for e in source.entries for _ in range(7)])
    with ReaderPool(2) as readers:
        apart = scan(many, store_of(tmp_path / "apart"), readers=readers)[0].table
    here = scan(source, store_of(tmp_path / "here"))[0].table
    apart = apart.drop_duplicates("path").reset_index(drop=True)
    pd.testing.assert_frame_equal(apart, here)


def test_processes_start_before_pictures_are_found_only_if_all_are_new(
    data: Path, tmp_path: Path
) -> None:
    store, before = store_of(tmp_path), set(multiprocessing.active_children())
    with open_reader_pool(data, store) as readers:
        children = set(multiprocessing.active_children()) - before
        assert len(children) == min(EARLY_PROCESSES, readers.processes)
        first = scan(find_images(data, tmp_path), store, readers=readers)[0].table
        assert set(multiprocessing.active_children()) == children | before  # they are in use
    assert set(multiprocessing.active_children()) == before
    with open_reader_pool(data, store) as readers:
        second = scan(find_images(data, tmp_path), store, readers=readers)[0]
        assert set(multiprocessing.active_children()) == before
    assert second.read == 0
    pd.testing.assert_frame_equal(first, second.table)


def test_a_machine_of_many_cores_starts_few_processes_for_few_pictures(
    data: Path, tmp_path: Path
) -> None:
    before = set(multiprocessing.active_children())
    with ReaderPool(64) as readers:
        readers.start()
        assert len(set(multiprocessing.active_children()) - before) == EARLY_PROCESSES
        scan(find_images(data, tmp_path), store_of(tmp_path), readers=readers)
        # One more for the batch, if the others have not started yet.
        assert len(set(multiprocessing.active_children()) - before) <= EARLY_PROCESSES + 1


def test_reader_processes_end_with_their_parent(
    tmp_path: Path,
) -> None:
    write_pictures(tmp_path / "many", 0, 400)
    process = child(tmp_path / "many", tmp_path, "run(stop_half_way)")
    assert process.stdout is not None
    assert process.stdout.readline() == "half way\n"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) >= 2
    process.send_signal(signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() < deadline, "a process outlived its parent"
        time.sleep(0.05)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=6))
def test_any_bytes_are_a_picture_or_have_a_reason(contents: list[bytes]) -> None:
    for content in contents:
        row, pixels = measure_picture(Entry("x", "cat", "", ""), content, 0)
        assert row.decodable == (pixels is not None)
        assert row.decodable or (row.why is not None and reason_as_text(row.why))
