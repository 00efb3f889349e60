"""A disk that is really full: a small one is mounted, if that is permitted."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.images.arrays import open_arrays
from models.images.decoding import decode
from models.images.drawn import draw_one, generator
from tasks.data.cache import explain_disk_errors
from tasks.data.dataset import DatasetRequest, Prepared, prepare_dataset
from tasks.data.find_images import find_images
from tasks.data.metadata_store import MetadataStore
from tasks.errors import DataError

SIZE, PICTURES = 64, 400
#: The pixels take 4.9 MB of these, and the metadata 0.3 MB.
DISK_BYTES = 8_000_000


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for index in range(PICTURES):
        path = folder / ("cat", "dog")[index % 2] / f"{index}.jpg"
        path.parent.mkdir(exist_ok=True)
        _, content = cv2.imencode(".jpg", draw_one(index % 2, SIZE, generator(3, index)))
        path.write_bytes(content.tobytes())
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        ended = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no command to mount a small disk")
    if ended.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {ended.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Write to the disk until it is full."""
    path = disk / "filler"
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert os.statvfs(disk).f_bavail == 0
    return path


def run(
    data: Path, home: Path, progress: Callable[[str, int, int], None] | None = None
) -> Prepared:
    store = MetadataStore(home / "metadata.db", home / "locks")
    source = find_images(data, home / "unpacked")
    return prepare_dataset(source, DatasetRequest(SIZE), store, home / "cache", progress=progress)


def assert_whole(prepared: Prepared, data: Path) -> None:
    arrays = open_arrays(prepared.arrays_folder)
    assert len(arrays.images) == prepared.accepted
    assert prepared.accepted + prepared.quarantined == PICTURES
    for row in range(0, len(arrays.images), 7):
        expected = decode((data / arrays.names[row]).read_bytes(), SIZE)
        np.testing.assert_array_equal(arrays.images[row], expected)


def test_a_full_disk_is_reported_before_anything_is_decoded(data: Path, disk: Path) -> None:
    reported: list[str] = []
    taken = disk / "filler"
    taken.write_bytes(bytes(4_000_000))
    with pytest.raises(
        DataError, match=r"400 pictures at 64 pixels need 5 MB; .* free some"
    ) as caught:
        run(data, disk, lambda *what: reported.append(what[0]))
    assert len(str(caught.value).splitlines()) == 1
    assert reported == []
    assert list((disk / "cache").iterdir()) == []
    taken.unlink()
    assert_whole(run(data, disk), data)


@pytest.mark.parametrize("home", ["on the small disk", "on another disk"])
def test_a_disk_that_fills_up_leaves_no_cache_and_the_same_command_continues(
    data: Path, disk: Path, tmp_path: Path, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = disk
    if home == "on another disk":  # only pixels are on the small disk
        state = tmp_path / "home"
        state.mkdir()
        (disk / "cache").mkdir()
        (state / "cache").symlink_to(disk / "cache")
    # Commit each batch of metadata, so that the disk can be full at that moment too.
    monkeypatch.setattr("tasks.data.metadata_store.COMMIT_SECONDS", 0.0)
    filled: list[Path] = []

    def fill_once(*_: object) -> None:
        if not filled:
            filled.append(fill(disk))

    with pytest.raises(DataError, match=r"free disk space|MB are free; free some") as caught:
        run(data, state, fill_once)
    assert len(str(caught.value).splitlines()) == 1
    assert list((disk / "cache").iterdir()) == []
    filled[0].unlink()
    reported: list[int] = []
    assert_whole(run(data, state, lambda _, __, total: reported.append(total)), data)
    assert reported


@pytest.mark.parametrize(("place", "error"), [("cache/x", DataError), ("artifacts/x", OSError)])
def test_only_an_error_of_the_cache_is_explained_as_one(
    place: str, error: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(error), explain_disk_errors(tmp_path / "cache"):
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path / place))
