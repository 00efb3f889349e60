"""From pictures to a dataset version: pixels, split, sample, and what goes wrong."""

import os
import signal
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.picture_files import (
    REQUEST,
    SIZE,
    arrays_of,
    child,
    digests,
    prepare_path,
    rows_of,
    store_of,
    write_pictures,
)

from models.images.decoding import decode
from models.images.drawn import draw_one, generator
from models.images.split import assign_side, content_digest
from tasks.data.check_images import check_images
from tasks.data.dataset import (
    DatasetRequest,
    SplitShares,
    prepare_dataset,
    sample,
    version_of,
)
from tasks.data.drawn_images import draw_images
from tasks.data.find_images import find_images
from tasks.errors import DataError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder, 0, 60)
    return folder


def test_each_row_has_the_pixels_label_and_side_of_its_own_file(data: Path, tmp_path: Path) -> None:
    arrays = arrays_of(prepare_path(data, tmp_path))
    assert len(arrays.images) == 60
    for row, name in enumerate(arrays.names):
        content = (data / name).read_bytes()
        np.testing.assert_array_equal(arrays.images[row], decode(content, SIZE))
        assert arrays.classes[arrays.labels[row]] == name.split("/")[0]
        assert arrays.sides[row] == assign_side(content_digest(content), 0.7, 0.15)


def test_gaps_are_closed_and_moved_rows_keep_their_pixels(data: Path, tmp_path: Path) -> None:
    left_out = {f"{('cat', 'dog')[i % 2]}/{i}.jpg": "a test" for i in (0, 3, 17, 40, 41)}
    arrays = arrays_of(prepare_path(data, tmp_path, replace(REQUEST, exclude=left_out)))
    assert len(arrays.images) == 55
    assert not set(arrays.names) & set(left_out)
    for row, name in enumerate(arrays.names):
        expected = decode((data / name).read_bytes(), SIZE)
        np.testing.assert_array_equal(arrays.images[row], expected)


def test_the_order_of_a_side_depends_on_content_and_not_on_names(
    data: Path, tmp_path: Path
) -> None:
    renamed = tmp_path / "renamed"
    for index, path in enumerate(sorted(data.rglob("*.jpg"), reverse=True)):
        target = renamed / path.parent.name / f"{index:03d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    first, second = (prepare_path(p, tmp_path / p.name) for p in (data, renamed))
    assert first.version == second.version
    a, b = arrays_of(first), arrays_of(second)
    for side in ("training", "validation", "test"):
        np.testing.assert_array_equal(a.images[a.side(side)], b.images[b.side(side)])


def test_a_zip_and_its_folder_are_one_dataset_version(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in data.rglob("*.jpg"):
            archive.write(file, f"deep/{file.relative_to(data)}")
    assert prepare_path(path, tmp_path).version == prepare_path(data, tmp_path).version


def test_a_new_version_copies_pixels_from_the_old_cache(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    write_pictures(folder, 0, 60)
    prepare_path(folder, tmp_path)
    write_pictures(folder, 60, 4)
    reported: list[tuple[str, int, int]] = []
    prepared = prepare_path(folder, tmp_path, progress=lambda *what: reported.append(what))
    assert {what[0] for what in reported} == {"checking pictures"}  # none was decoded again
    arrays = arrays_of(prepared)
    assert len(arrays.images) == 64
    for row, name in enumerate(arrays.names):
        expected = decode((folder / name).read_bytes(), SIZE)
        np.testing.assert_array_equal(arrays.images[row], expected)


def test_another_size_is_decoded_from_the_source(data: Path, tmp_path: Path) -> None:
    small, large = (prepare_path(data, tmp_path, DatasetRequest(size)) for size in (16, 48))
    assert small.version == large.version
    assert arrays_of(large).images.shape == (60, 48, 48, 3)


def test_drawn_pictures_are_a_source_like_any_other(tmp_path: Path) -> None:
    source = draw_images(80, SIZE, seed=1)
    prepared = prepare_dataset(source, REQUEST, store_of(tmp_path), tmp_path / "cache")
    arrays = arrays_of(prepared)
    row = arrays.names.index("drawn/dog.7.png")
    np.testing.assert_array_equal(arrays.images[row], draw_one(1, SIZE, generator(1, 7)))


@given(digests, digests, st.integers(1, 20), st.integers(0, 5))
def test_a_sample_changes_by_at_most_the_number_of_new_pictures(
    old: set[str], new: set[str], per_class: int, seed: int
) -> None:
    before = set(sample(rows_of(old), per_class, seed)["path"])
    after = set(sample(rows_of(old | new), per_class, seed)["path"])
    assert len(before - after) <= len(new - old)
    assert after - before <= new


@given(digests, st.integers(1, 20), st.integers(0, 5))
def test_a_larger_sample_contains_the_smaller_one_and_no_class_has_more(
    names: set[str], per_class: int, seed: int
) -> None:
    small, large = (sample(rows_of(names), n, seed) for n in (per_class, per_class + 5))
    assert set(small["path"]) <= set(large["path"])
    assert small["label"].value_counts().max() <= per_class


@given(digests, st.permutations(range(10)))
def test_the_version_depends_on_contents_labels_and_sides_but_not_on_order(
    names: set[str], shuffle: list[int]
) -> None:
    rows = rows_of(names)
    sides = [assign_side(d, 0.7, 0.15) for d in rows["digest"]]
    turned = rows.assign(side=sides).sample(frac=1, random_state=shuffle[0])
    assert version_of(rows, sides) == version_of(turned, list(turned["side"]))
    assert version_of(rows, sides) != version_of(rows, [(s + 1) % 3 for s in sides])


def test_every_class_is_split_in_the_same_shares() -> None:
    rows = rows_of({content_digest(str(i).encode()) for i in range(20_000)})
    sides = pd.Series([assign_side(d, 0.7, 0.15) for d in rows["digest"]])
    shares = pd.crosstab(rows["label"], sides, normalize="index")
    np.testing.assert_allclose(shares, [[0.7, 0.15, 0.15]] * 2, atol=0.015)


def test_a_split_with_a_side_without_a_class_is_one_line(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no picture of 'cat' is on the validation side: 30 are"):
        prepare_path(data, tmp_path, replace(REQUEST, shares=SplitShares(0.9, 0.001)))


def test_a_picture_that_changes_between_check_and_cache_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    write_pictures(folder, 0, 60)
    check_images(find_images(folder, tmp_path), store_of(tmp_path))
    source = find_images(folder, tmp_path)
    victim = folder / "cat" / "8.jpg"

    def replace_it(*_: object) -> None:
        victim.write_bytes(b"another content")

    with pytest.raises(DataError, match=r"cat/8.jpg has changed since it was checked"):
        prepare_dataset(
            source, REQUEST, store_of(tmp_path), tmp_path / "cache", on_checked=replace_it
        )
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_set_that_breaks_a_rule_is_reported_and_leaves_no_cache(
    tmp_path: Path,
) -> None:
    write_pictures(tmp_path / "few", 0, 8)
    reported: list[object] = []
    with pytest.raises(DataError, match="8 pictures are accepted, fewer than 40"):
        prepare_path(tmp_path / "few", tmp_path, on_checked=lambda *what: reported.append(what))
    assert len(reported) == 1
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_set_of_only_broken_pictures_stops_with_a_message(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "bad" / label).mkdir(parents=True)
        for index in range(3):
            (tmp_path / "bad" / label / f"{index}.jpg").write_bytes(b"%d" % index)
    with pytest.raises(DataError, match="0 pictures are accepted, fewer than 40"):
        prepare_path(tmp_path / "bad", tmp_path)


def test_a_killed_writer_leaves_no_cache_that_is_read(data: Path, tmp_path: Path) -> None:
    process = child(data, tmp_path, "run(stop_half_way)")
    assert process.stdout is not None
    assert process.stdout.readline() == "half way\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = [path.name for path in (tmp_path / "cache").iterdir()]
    assert len(left) == 1
    assert left[0].startswith(".partial-")
    prepared = prepare_path(data, tmp_path)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [prepared.arrays_folder.name]
    assert len(arrays_of(prepared).images) == 60


def test_a_disk_that_is_too_small_is_one_line(data: Path, tmp_path: Path) -> None:
    # A limit on the size of files acts like a full disk, before anything is decoded.
    body = """
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
        run()
    except DataError as error:
        print(error)
    """
    output, errors = child(data, tmp_path, body).communicate()
    assert "60 pictures at 32 pixels need 0 MB" in output, errors
    assert "factorgrid cache --clear" in output
    assert len(output.splitlines()) == 1
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_disk_that_fills_up_half_way_leaves_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0
    really = os.pwrite

    def pwrite(file: int, content: bytes, offset: int) -> int:
        nonlocal written
        written += len(content)
        if written > 100_000:
            raise OSError(28, "No space left on device")
        return really(file, content, offset)

    monkeypatch.setattr("models.images.arrays.os.pwrite", pwrite)
    with pytest.raises(DataError, match=r"No space left on device; .* MB are free; free some"):
        prepare_path(data, tmp_path)
    assert list((tmp_path / "cache").iterdir()) == []
    monkeypatch.undo()
    assert len(arrays_of(prepare_path(data, tmp_path)).images) == 60


def test_two_scans_at_the_same_time_decode_once(data: Path, tmp_path: Path) -> None:
    reported: list[tuple[str, int, int]] = []
    with ThreadPoolExecutor(2) as pool:
        passes = [
            pool.submit(prepare_path, data, tmp_path, progress=lambda *what: reported.append(what))
            for _ in range(2)
        ]
        folders = {done.result().arrays_folder for done in passes}
    assert list((tmp_path / "cache").iterdir()) == list(folders)
    assert reported == [("checking pictures", 60, 60)]
