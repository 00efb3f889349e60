"""The cache on disk: whole or not there, checked when it is used, shown and cleared."""

import errno
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from flows.cli import main
from models.errors import ArraysError
from models.images.array_file import RowsWriter, Slots
from models.images.arrays import ArraysWriter, open_arrays, sweep, unused, verify, write_arrays
from tasks.data.cache import is_whole
from tasks.maintenance.cache import clear_caches, list_caches

N, SIZE = 200, 8


def images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (N, SIZE, SIZE, 3), dtype=np.uint8)


def write(folder: Path) -> Path:
    write_arrays(
        folder,
        images(),
        size=SIZE,
        labels=[i % 2 for i in range(N)],
        sides=[i % 3 for i in range(N)],
        names=[f"{i}.jpg" for i in range(N)],
        classes=("cat", "dog"),
        version="v",
    )
    return folder


def test_what_was_written_is_read(tmp_path: Path) -> None:
    arrays = open_arrays(write(tmp_path / "v-8"))
    np.testing.assert_array_equal(arrays.images, images())
    assert arrays.image_size == SIZE
    assert not arrays.images.flags.writeable
    sides = [set(arrays.side(name)) for name in ("training", "validation", "test")]
    assert [len(side) for side in sides] == [67, 67, 66]
    assert set.union(*sides) == set(range(N))


def test_npy_files_are_read_by_numpy_alone(tmp_path: Path) -> None:
    np.testing.assert_array_equal(np.load(write(tmp_path / "v-8") / "images.npy"), images())


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a byte of the first picture": lambda f: flip(f / "images.npy", 130),
    "the last byte": lambda f: flip(f / "images.npy", -1),
    "a byte of the labels": lambda f: flip(f / "rows.npz", 300),
    "cut off": lambda f: (f / "images.npy").write_bytes((f / "images.npy").read_bytes()[:-1000]),
    "no pixels": lambda f: (f / "images.npy").unlink(),
    "no labels": lambda f: (f / "rows.npz").unlink(),
    "half a description": lambda f: (f / "about.json").write_text('{"names": ['),
    "another description": lambda f: (f / "about.json").write_text("[]"),
    "no description": lambda f: (f / "about.json").unlink(),
    "nothing": empty,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_cache_is_not_used_and_the_line_says_what_to_do(
    tmp_path: Path, name: str
) -> None:
    folder = write(tmp_path / "v-8")
    DAMAGE[name](folder)
    with pytest.raises(ArraysError, match=r"cache .*v-8: .*delete the folder"):
        open_arrays(folder)
    assert not is_whole(folder)
    assert list(tmp_path.iterdir()) == []  # removed: it is written again


def test_damage_between_the_spot_checks_is_found_before_a_study(tmp_path: Path) -> None:
    folder = write(tmp_path / "v-8")
    flip(folder / "images.npy", Slots("", SIZE).offset(1) + 5)
    arrays = open_arrays(folder)  # 64 of 200 pictures are compared, and the second is not
    with pytest.raises(ArraysError, match=r"1\.jpg is damaged"):
        verify(arrays, folder, np.random.default_rng(1))
    assert not is_whole(folder)


def test_of_a_large_cache_other_pictures_are_compared_each_time(tmp_path: Path) -> None:
    folder = write(tmp_path / "v-8")
    flip(folder / "images.npy", Slots("", SIZE).offset(1) + 5)
    arrays, found = open_arrays(folder), 0
    for seed in range(40):
        try:
            verify(arrays, folder, np.random.default_rng(seed), most_bytes=N * SIZE * SIZE)
        except ArraysError:
            found += 1
    assert 5 <= found <= 22  # a third of the pictures is compared: 13.3 of 40, 3 s.d. each way


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> object:
        yield images()[0]
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
    order = [3, 4, 5, 0, 1, 6, 2]  # in runs, as where some of the pictures are known already
    for large in (False, True):
        monkeypatch.setattr("models.images.array_file.LARGE", 0.0 if large else 1.0)
        with ArraysWriter(tmp_path, 7, size) as writer, RowsWriter(writer.slots) as rows:
            assert writer.slots.large == large
            checks = {row: rows.put(row, pictures[row]) for row in order}
            rows.flush()
            assert checks == {row: zlib.crc32(pictures[row]) for row in range(7)}
            assert [writer.read(row) for row in range(7)] == [p.tobytes() for p in pictures]


def test_a_disk_that_fails_beside_the_decoding_is_said_before_the_rows_count_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.images.array_file.LARGE", 0.0)
    calls = []

    def full(_file: int, _data: object, offset: int) -> None:
        calls.append(offset)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    with ArraysWriter(tmp_path, 3, SIZE) as writer, RowsWriter(writer.slots) as rows:
        monkeypatch.setattr("models.images.array_file.write_at", full)
        rows.put(0, images()[0])
        rows.flush()
        rows.put(1, images()[1])
        with pytest.raises(OSError, match="No space left"):
            rows.flush()
        rows.put(2, images()[2])  # it has been said once
        rows.flush()


def test_a_cache_with_a_shorter_head_is_still_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "v-8")
    np.save(folder / "images.npy", images())  # numpy's own head, as caches had before
    arrays = open_arrays(folder)
    np.testing.assert_array_equal(arrays.images, images())
    verify(arrays, folder, np.random.default_rng(0))


def test_the_first_of_two_writers_wins_and_the_second_leaves_nothing(tmp_path: Path) -> None:
    written = (write(tmp_path / "v-8") / "about.json").stat().st_ino
    write(tmp_path / "v-8")
    assert (tmp_path / "v-8" / "about.json").stat().st_ino == written
    assert len(list(tmp_path.iterdir())) == 1


def killed(cache: Path, owner: str) -> None:
    """Leave what a killed writer leaves: its folder, and no lock."""
    os.close(ArraysWriter(cache, 3, SIZE, owner).file)


def test_what_is_being_written_is_neither_swept_nor_cleared(tmp_path: Path) -> None:
    with ArraysWriter(tmp_path, 3, SIZE, "mine") as writer:
        assert sweep(tmp_path, "mine") == 0
        (found,) = list_caches(tmp_path, tmp_path / "unpacked")
        assert found.state == "being written"
        assert clear_caches([found]) == []
        assert writer.folder.exists()


def test_what_a_killed_writer_left_is_swept_by_its_owner_alone(tmp_path: Path) -> None:
    killed(tmp_path, "mine")
    killed(tmp_path, "yours")
    assert sweep(tmp_path, "mine") == 1
    assert [path.name.split("-")[1] for path in tmp_path.iterdir()] == ["yours"]


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    with (
        ArraysWriter(tmp_path, 3, SIZE) as writer,
        RowsWriter(writer.slots) as rows,
        pytest.raises(ValueError, match="rows of 8 pixels"),
    ):
        rows.put(0, np.zeros((9, 9, 3), np.uint8))


# -- shown and cleared --------------------------------------------------------------------------


def test_a_cache_that_a_study_has_open_is_not_cleared(tmp_path: Path) -> None:
    folder = write(tmp_path / "cache" / "v-8")
    arrays = open_arrays(folder)
    with unused(folder) as free:
        assert not free
    (found,) = list_caches(tmp_path / "cache", tmp_path / "unpacked")
    assert found.in_use
    assert clear_caches([found]) == []
    del arrays
    assert clear_caches([found]) == [found]
    assert not folder.exists()


def test_the_command_shows_and_clears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTORGRID_HOME", str(tmp_path))
    write(tmp_path / "cache" / "v-8")
    killed(tmp_path / "cache", "mine")
    (tmp_path / "unpacked").mkdir()
    (tmp_path / "unpacked" / "00-1.zip").write_bytes(b"x")

    def answer(*options: str) -> dict[str, object]:
        result = CliRunner().invoke(main, ["cache", "--json", *options])
        assert result.exit_code == 0, result.output
        return dict(json.loads(result.stdout))

    shown = answer()
    states = {row["state"] for row in shown["caches"]}  # type: ignore[attr-defined]
    assert states == {"whole", "left by a killed writer", "an unpacked archive"}
    text = CliRunner().invoke(main, ["cache"]).stdout
    assert "200 pictures at 8 px" in text
    assert answer("--clear")["removed"] == 3
    assert answer()["caches"] == []


def test_an_empty_home_has_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTORGRID_HOME", str(tmp_path / "new"))
    assert CliRunner().invoke(main, ["cache"]).stdout == "0 in the cache, 0 MB\n"
    assert not (tmp_path / "new").exists()
