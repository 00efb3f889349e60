"""The files of a cache: written, read, compared with their checksums."""

import errno
import zlib
from pathlib import Path

import numpy as np
import pytest
from support.array_cache import SIZE, N, flip_byte, random_images, write_random_cache

from models.errors import ArraysError
from models.images.array_file import RowLayout, RowsWriter
from models.images.arrays import ArraysWriter, open_arrays, verify, write_arrays


def test_what_was_written_is_read(tmp_path: Path) -> None:
    arrays = open_arrays(write_random_cache(tmp_path / "v-8"))
    np.testing.assert_array_equal(arrays.images, random_images())
    assert arrays.image_size == SIZE
    assert not arrays.images.flags.writeable
    sides = [set(arrays.side(name)) for name in ("training", "validation", "test")]
    assert [len(side) for side in sides] == [67, 67, 66]
    assert set.union(*sides) == set(range(N))


def test_numpy_reads_the_npy_file_of_a_cache(tmp_path: Path) -> None:
    np.testing.assert_array_equal(
        np.load(write_random_cache(tmp_path / "v-8") / "images.npy"), random_images()
    )


def test_of_a_large_cache_other_pictures_are_compared_each_time(tmp_path: Path) -> None:
    folder = write_random_cache(tmp_path / "v-8")
    flip_byte(folder / "images.npy", RowLayout("", SIZE).offset(1) + 5)
    arrays, found = open_arrays(folder), 0
    for seed in range(40):
        try:
            verify(arrays, folder, np.random.default_rng(seed), most_bytes=N * SIZE * SIZE)
        except ArraysError:
            found += 1
    assert 5 <= found <= 22  # a third of the pictures is compared: 13.3 of 40, plus or minus 3 s.d.


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> object:
        yield random_images()[0]
        raise RuntimeError("the third-party decoder died")

    with pytest.raises(RuntimeError):
        write_arrays(
            tmp_path / "v-8",
            broken(),  # type: ignore[arg-type]
            size=SIZE,
            labels=[0, 1],
            sides=[0, 1],
            names=["a", "b"],
            classes=("cat", "dog"),
            version="v",
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [8, 20, 64, 720])
def test_a_large_cache_is_written_past_the_page_cache_and_reads_the_same(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (7, size, size, 3), dtype=np.uint8)
    order = [3, 4, 5, 0, 1, 6, 2]  # in runs, as if some of the pictures were known already
    for large in (False, True):
        monkeypatch.setattr("models.images.array_file.LARGE", 0.0 if large else 1.0)
        with ArraysWriter(tmp_path, 7, size) as writer, RowsWriter(writer.layout) as rows:
            assert writer.layout.large == large
            checks = {row: rows.put(row, pictures[row]) for row in order}
            rows.flush()
            assert checks == {row: zlib.crc32(pictures[row]) for row in range(7)}
            assert [writer.read(row) for row in range(7)] == [p.tobytes() for p in pictures]


def test_a_disk_error_in_the_writing_thread_is_raised_by_the_next_flush(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.images.array_file.LARGE", 0.0)
    calls = []

    def full(_file: int, _data: object, offset: int) -> None:
        calls.append(offset)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    with ArraysWriter(tmp_path, 3, SIZE) as writer, RowsWriter(writer.layout) as rows:
        monkeypatch.setattr("models.images.array_file.write_at", full)
        rows.put(0, random_images()[0])
        rows.flush()
        rows.put(1, random_images()[1])
        with pytest.raises(OSError, match="No space left"):
            rows.flush()
        rows.put(2, random_images()[2])  # the error is raised only once
        rows.flush()


def test_a_cache_with_a_shorter_header_is_still_read(tmp_path: Path) -> None:
    folder = write_random_cache(tmp_path / "v-8")
    # numpy's own header, as earlier versions wrote it
    np.save(folder / "images.npy", random_images())
    arrays = open_arrays(folder)
    np.testing.assert_array_equal(arrays.images, random_images())
    verify(arrays, folder, np.random.default_rng(0))


def test_the_first_of_two_writers_wins_and_the_second_leaves_nothing(tmp_path: Path) -> None:
    written = (write_random_cache(tmp_path / "v-8") / "about.json").stat().st_ino
    write_random_cache(tmp_path / "v-8")
    assert (tmp_path / "v-8" / "about.json").stat().st_ino == written
    assert len(list(tmp_path.iterdir())) == 1


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    with (
        ArraysWriter(tmp_path, 3, SIZE) as writer,
        RowsWriter(writer.layout) as rows,
        pytest.raises(ValueError, match="rows of 8 pixels"),
    ):
        rows.put(0, np.zeros((9, 9, 3), np.uint8))
