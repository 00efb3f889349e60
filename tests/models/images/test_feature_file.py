"""The cache of features: sealed, whole or not at all, computed by one process at a time."""

import errno
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.array_cache import write_drawn_cache

from models.errors import ArraysError
from models.images.arrays import ImageArrays, lock_if_unused, open_arrays
from models.images.feature_file import Features, cached_features, features_folder, open_features

ABOUT = {"backbone": "b", "weights": "w"}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "cache" / "drawn-16"
    write_drawn_cache(folder, 40)
    return folder


class Computing:
    """Computes features, and counts how often."""

    def __init__(self, n: int, during: Callable[[], None] = lambda: None) -> None:
        self.calls, self.during = 0, during
        self.values = np.random.default_rng(1).random((n, 5), np.float32)

    def __call__(self) -> Features:
        self.calls += 1
        self.during()
        return self.values


def folder_of(pictures: Path, arrays: ImageArrays) -> Path:
    about = {"version": arrays.version, "image_size": 16, **ABOUT}
    return features_folder(pictures.parent, about)


def test_features_are_computed_once_for_all_that_determines_them(pictures: Path) -> None:
    arrays, computing = open_arrays(pictures), Computing(40)
    first = cached_features(pictures, arrays, ABOUT, computing)
    second = cached_features(pictures, arrays, ABOUT, computing)
    np.testing.assert_array_equal(first, computing.values)
    np.testing.assert_array_equal(second, computing.values)
    assert computing.calls == 1
    for changed in ({"weights": "x"}, {"backbone": "x"}, {"precision": "bfloat16"}):
        cached_features(pictures, arrays, {**ABOUT, **changed}, computing)
    assert computing.calls == 4


def test_damaged_features_are_computed_again(pictures: Path) -> None:
    arrays, computing = open_arrays(pictures), Computing(40)
    cached_features(pictures, arrays, ABOUT, computing)
    folder = folder_of(pictures, arrays)
    content = bytearray((folder / "features.npy").read_bytes())
    content[-3] ^= 1
    (folder / "features.npy").write_bytes(content)
    with pytest.raises(ArraysError, match=r"features\.npy is damaged"):
        open_features(folder)
    found = cached_features(pictures, arrays, ABOUT, computing)
    np.testing.assert_array_equal(found, computing.values)
    (folder / "about.json").unlink()
    cached_features(pictures, arrays, ABOUT, computing)
    assert computing.calls == 3
    assert {f.name for f in pictures.parent.iterdir()} == {folder.name, pictures.name}


def test_features_of_rows_in_another_order_are_computed_again(pictures: Path) -> None:
    arrays, computing = open_arrays(pictures), Computing(40)
    cached_features(pictures, arrays, ABOUT, computing)
    shuffled = replace(arrays, digests=arrays.digests[::-1])
    cached_features(pictures, shuffled, ABOUT, computing)
    assert computing.calls == 2


def test_of_two_that_need_them_at_once_one_computes_and_the_other_waits(pictures: Path) -> None:
    arrays, waiting = open_arrays(pictures), threading.Event()
    computing = Computing(40, during=lambda: assert_true(waiting.wait(60)))
    found: list[Features] = []

    def run() -> None:
        found.append(cached_features(pictures, arrays, ABOUT, computing, waiting.set))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert computing.calls == 1
    assert len(found) == 2
    np.testing.assert_array_equal(found[0], found[1])


def assert_true(value: object) -> None:
    assert value


def test_a_full_disk_is_one_line_and_leaves_nothing(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    arrays, computing = open_arrays(pictures), Computing(40)
    monkeypatch.setattr(np, "save", full)
    with pytest.raises(ArraysError, match=r"No space left on device.*factorgrid cache --clear"):
        cached_features(pictures, arrays, ABOUT, computing)
    assert [f.name for f in pictures.parent.iterdir()] == [pictures.name]


def test_what_a_killed_writer_left_is_removed(pictures: Path) -> None:
    arrays = open_arrays(pictures)
    folder = folder_of(pictures, arrays)
    left = pictures.parent / f".partial-{folder.name.removesuffix('.features')}-abc"
    left.mkdir()
    (left / "features.npy").write_bytes(b"half")
    cached_features(pictures, arrays, ABOUT, Computing(40))
    assert not left.exists()


def test_features_in_use_are_not_cleared(pictures: Path) -> None:
    arrays = open_arrays(pictures)
    cached_features(pictures, arrays, ABOUT, Computing(40))
    folder = folder_of(pictures, arrays)
    held = open_features(folder)
    with lock_if_unused(folder) as is_unused:
        assert not is_unused
    del held
    with lock_if_unused(folder) as is_unused:
        assert is_unused
