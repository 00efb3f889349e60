"""From pictures to a dataset version: passes, splits, samples, copies, and what goes wrong."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.images.arrays import ImageArrays, open_arrays
from models.images.decoding import decode
from models.images.drawn import draw_one, generator
from models.images.split import digest_of, side_of
from tasks.data.dataset import Prepared, check_images, prepare_dataset, sample, version_of
from tasks.data.drawn_images import draw_images
from tasks.data.drift import drift, profile_of
from tasks.data.duplicates import find_duplicates
from tasks.data.find_images import find_images
from tasks.data.measure import EARLY, Readers, describe
from tasks.data.metadata_store import Metadata, scan
from tasks.data.source import Entry, Source
from tasks.errors import DataError
from tasks.validation.validate import readers_for

SIZE = 32


def write_pictures(folder: Path, first: int, n: int) -> None:
    """Write pictures first to first + n, each its own, cats and dogs in turn."""
    for index in range(first, first + n):
        path = folder / ("cat", "dog")[index % 2] / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = draw_one(index % 2, 64, generator(3, index))
        _, data = cv2.imencode(".jpg", image[:, :, ::-1])
        path.write_bytes(data.tobytes())


def store_of(home: Path) -> Metadata:
    return Metadata(home / "metadata.db", home / "locks")


def prepare_path(path: Path, home: Path, **options: object) -> Prepared:
    source = find_images(path, home / "unpacked")
    given_options = {"image_size": SIZE, "cache": home / "cache", **options}
    return prepare_dataset(source, store_of(home), **given_options)  # type: ignore[arg-type]


def arrays_of(prepared: Prepared) -> ImageArrays:
    return open_arrays(prepared.arrays_folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder, 0, 60)
    return folder


# -- the pixels and what belongs to them --------------------------------------------------------


def test_each_row_has_the_pixels_label_and_side_of_its_own_file(data: Path, tmp_path: Path) -> None:
    arrays = arrays_of(prepare_path(data, tmp_path))
    assert len(arrays.images) == 60
    for row, name in enumerate(arrays.names):
        content = (data / name).read_bytes()
        np.testing.assert_array_equal(arrays.images[row], decode(content, SIZE))
        assert arrays.classes[arrays.labels[row]] == name.split("/")[0]
        assert arrays.sides[row] == side_of(digest_of(content), 0.7, 0.15)


def test_gaps_are_closed_and_moved_rows_keep_their_pixels(data: Path, tmp_path: Path) -> None:
    left_out = {f"{('cat', 'dog')[i % 2]}/{i}.jpg": "a test" for i in (0, 3, 17, 40, 41)}
    arrays = arrays_of(prepare_path(data, tmp_path, exclude=left_out))
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


# -- later passes -------------------------------------------------------------------------------


def test_a_second_pass_reads_only_new_and_changed_files(data: Path, tmp_path: Path) -> None:
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


def test_stamps_that_do_not_tell_of_a_change_are_found_out(tmp_path: Path) -> None:
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


def test_what_was_known_and_what_is_read_anew_give_the_same_table(
    data: Path, tmp_path: Path
) -> None:
    source, store = find_images(data, tmp_path), store_of(tmp_path)
    first, second = (scan(source, store)[0].table for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_processes_and_this_one_measure_alike(data: Path, tmp_path: Path) -> None:
    source = find_images(data, tmp_path)
    many = replace(source, entries=[e for e in source.entries for _ in range(7)])
    with Readers(2) as readers:
        apart = scan(many, store_of(tmp_path / "apart"), readers=readers)[0].table
    here = scan(source, store_of(tmp_path / "here"))[0].table
    apart = apart.drop_duplicates("path").reset_index(drop=True)
    pd.testing.assert_frame_equal(apart, here)


def test_processes_start_before_pictures_are_found_only_where_all_are_new(
    data: Path, tmp_path: Path
) -> None:
    store, before = store_of(tmp_path), set(multiprocessing.active_children())
    with readers_for(data, store) as readers:
        children = set(multiprocessing.active_children()) - before
        assert len(children) == min(EARLY, readers.processes)
        first = scan(find_images(data, tmp_path), store, readers=readers)[0].table
        assert set(multiprocessing.active_children()) == children | before  # they are at work
    assert set(multiprocessing.active_children()) == before
    with readers_for(data, store) as readers:
        second = scan(find_images(data, tmp_path), store, readers=readers)[0]
        assert set(multiprocessing.active_children()) == before
    assert second.read == 0
    pd.testing.assert_frame_equal(first, second.table)


def test_a_machine_of_many_cores_starts_few_processes_for_few_pictures(
    data: Path, tmp_path: Path
) -> None:
    before = set(multiprocessing.active_children())
    with Readers(64) as readers:
        readers.start()
        assert len(set(multiprocessing.active_children()) - before) == EARLY
        scan(find_images(data, tmp_path), store_of(tmp_path), readers=readers)
        # One more for the one batch, if the others had not yet come up.
        assert len(set(multiprocessing.active_children()) - before) <= EARLY + 1


def test_a_new_version_takes_the_pixels_it_can_from_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    write_pictures(folder, 0, 60)
    prepare_path(folder, tmp_path)
    write_pictures(folder, 60, 4)
    told: list[tuple[str, int, int]] = []
    prepared = prepare_path(folder, tmp_path, progress=lambda *what: told.append(what))
    assert {what[0] for what in told} == {"checking pictures"}  # none was decoded once more
    arrays = arrays_of(prepared)
    assert len(arrays.images) == 64
    for row, name in enumerate(arrays.names):
        expected = decode((folder / name).read_bytes(), SIZE)
        np.testing.assert_array_equal(arrays.images[row], expected)


def test_another_size_is_decoded_from_the_source(data: Path, tmp_path: Path) -> None:
    small, large = (prepare_path(data, tmp_path, image_size=size) for size in (16, 48))
    assert small.version == large.version
    assert arrays_of(large).images.shape == (60, 48, 48, 3)


def test_drawn_pictures_are_a_source_like_any_other(tmp_path: Path) -> None:
    source = draw_images(80, SIZE, seed=1)
    options = {"image_size": SIZE, "cache": tmp_path / "cache"}
    prepared = prepare_dataset(source, store_of(tmp_path), **options)  # type: ignore[arg-type]
    arrays = arrays_of(prepared)
    row = arrays.names.index("drawn/dog.7.png")
    np.testing.assert_array_equal(arrays.images[row], draw_one(1, SIZE, generator(1, 7)))


# -- split and sample ---------------------------------------------------------------------------

digests = st.sets(st.integers(0, 2**64).map(lambda i: digest_of(str(i).encode())), min_size=2)


def rows_of(names: set[str]) -> pd.DataFrame:
    ordered = sorted(names)
    labels = [("cat", "dog")[int(name[-1], 16) % 2] for name in ordered]
    return pd.DataFrame({"path": ordered, "label": labels, "digest": ordered})


@given(digests, digests, st.integers(1, 20), st.integers(0, 5))
def test_a_sample_changes_by_no_more_pictures_than_came(
    old: set[str], new: set[str], per_class: int, seed: int
) -> None:
    before = set(sample(rows_of(old), per_class, seed)["path"])
    after = set(sample(rows_of(old | new), per_class, seed)["path"])
    assert len(before - after) <= len(new - old)
    assert after - before <= new


@given(digests, st.integers(1, 20), st.integers(0, 5))
def test_a_larger_sample_holds_the_smaller_one_and_no_class_has_more(
    names: set[str], per_class: int, seed: int
) -> None:
    small, large = (sample(rows_of(names), n, seed) for n in (per_class, per_class + 5))
    assert set(small["path"]) <= set(large["path"])
    assert small["label"].value_counts().max() <= per_class


@given(digests, st.permutations(range(10)))
def test_the_version_knows_contents_labels_and_sides_but_no_order(
    names: set[str], shuffle: list[int]
) -> None:
    rows = rows_of(names)
    sides = [side_of(d, 0.7, 0.15) for d in rows["digest"]]
    turned = rows.assign(side=sides).sample(frac=1, random_state=shuffle[0])
    assert version_of(rows, sides) == version_of(turned, list(turned["side"]))
    assert version_of(rows, sides) != version_of(rows, [(s + 1) % 3 for s in sides])


def test_every_class_is_split_in_the_same_shares() -> None:
    rows = rows_of({digest_of(str(i).encode()) for i in range(20_000)})
    sides = pd.Series([side_of(d, 0.7, 0.15) for d in rows["digest"]])
    shares = pd.crosstab(rows["label"], sides, normalize="index")
    np.testing.assert_allclose(shares, [[0.7, 0.15, 0.15]] * 2, atol=0.015)


def test_a_split_without_a_class_on_one_side_is_said_in_one_line(
    data: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        DataError, match=r"no picture of 'cat' falls to the validation side: 30 are"
    ):
        prepare_path(data, tmp_path, training=0.9, validation=0.001)


# -- copies -------------------------------------------------------------------------------------


def table_of(pictures: dict[str, tuple[str, bytes]]) -> pd.DataFrame:
    rows = []
    for path, (label, content) in pictures.items():
        row, _ = describe(Entry(path, label, "", ""), content, 0)
        rows.append({**row._asdict(), "label": label})
    return pd.DataFrame(rows)


def encoded(index: int, size: int = 160, quality: int = 95, shadow: float = 1.0) -> bytes:
    """Return a JPEG of picture `index`, drawn at 160 pixels."""
    image = draw_one(index % 2, 160, generator(9, index))
    image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    image[:, : size // 2] = (image[:, : size // 2] * shadow).astype(np.uint8)
    _, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data.tobytes())


def test_the_largest_of_several_copies_is_kept() -> None:
    pictures = {
        "small": ("cat", encoded(8, 80)),
        "large": ("cat", encoded(8)),
        "poor": ("cat", encoded(8, quality=60)),
        "same": ("cat", encoded(8)),
        "other": ("cat", encoded(4)),
    }
    copies = find_duplicates(table_of(pictures))
    kept = pictures.keys() - copies.left_out.keys()
    assert kept in ({"large", "other"}, {"same", "other"})
    assert len(set(copies.groups.values())) == 2


def test_pictures_that_are_only_alike_stay_on_one_side() -> None:
    # A shadow lies on its left half: another picture, and yet none to be judged on after the first.
    pictures = {"a": ("cat", encoded(8)), "b": ("cat", encoded(8, shadow=0.95))}
    copies = find_duplicates(table_of(pictures))
    assert not copies.left_out
    assert copies.groups["a"] == copies.groups["b"]


def test_different_pictures_are_no_copies() -> None:
    pictures = {str(i): (("cat", "dog")[i % 2], encoded(i, 64)) for i in range(80)}
    copies = find_duplicates(table_of(pictures))
    assert not copies.left_out
    assert not copies.two_labels
    assert len(set(copies.groups.values())) == 80


def test_nothing_has_no_copies() -> None:
    empty = table_of({"a": ("cat", encoded(2))}).iloc[:0]
    assert find_duplicates(empty).groups == {}


def unlike(names: set[str]) -> pd.DataFrame:
    """Return rows of pictures of nothing but noise, each from its name alone."""
    rows = rows_of(names)
    noise = [np.random.default_rng(int(name[:12], 16)) for name in rows["digest"]]
    return rows.assign(
        width=64.0,
        height=64.0,
        bytes=1000,
        hash=[chance.bytes(8).hex() for chance in noise],
        thumb=[chance.bytes(256) for chance in noise],
    )


@settings(max_examples=50, deadline=None)
@given(digests, digests, digests)
def test_a_picture_stays_on_its_side_as_others_come_and_go(
    here: set[str], come: set[str], gone: set[str]
) -> None:
    def sides(names: set[str]) -> dict[str, int]:
        groups = find_duplicates(unlike(names)).groups
        return {path: side_of(digest, 0.7, 0.15) for path, digest in groups.items()}

    before, after = sides(here | gone), sides(here | come)
    assert {path: before[path] for path in here} == {path: after[path] for path in here}


@settings(max_examples=50, deadline=None)
@given(digests, st.integers(0, 40))
def test_copies_of_a_picture_are_always_on_its_side(names: set[str], by: int) -> None:
    table = unlike(names)
    thumbs = [bytes([thumb[0] ^ by]) + thumb[1:] for thumb in table["thumb"]]
    paths = ["again/" + path for path in table["path"]]
    again = table.assign(path=paths, digest=[digest_of(p.encode()) for p in paths], thumb=thumbs)
    copies = find_duplicates(pd.concat([table, again], ignore_index=True))
    for path in names:
        assert copies.groups[path] == copies.groups["again/" + path]
        assert (path in copies.left_out) != ("again/" + path in copies.left_out)


# -- drift --------------------------------------------------------------------------------------


def profile(n: int, brightness: float = 120, cats: float = 0.5) -> dict[str, object]:
    chance = np.random.default_rng(n)
    columns = {
        "width": chance.integers(100, 500, n).astype(float),
        "height": chance.integers(100, 500, n).astype(float),
        "brightness": chance.normal(brightness, 30, n),
        "label": np.where(np.arange(n) < cats * n, "cat", "dog"),
    }
    return profile_of(pd.DataFrame(columns))


def test_another_sample_of_the_same_pictures_has_not_drifted() -> None:
    assert set(drift(profile(2000), profile(1999)).values()) == {0.0}
    assert set(drift(profile(50), profile(60)).values()) == {0.0}


def test_darker_pictures_and_fewer_cats_have_drifted() -> None:
    moved = drift(profile(2000, brightness=80, cats=0.2), profile(1999))
    assert moved["brightness_drift"] == pytest.approx(0.49, abs=0.06)
    assert moved["class_drift"] == pytest.approx(0.3 - 1.95 * (2 / 2000) ** 0.5, abs=0.01)
    assert moved["size_drift"] == 0


def test_a_first_version_has_no_drift() -> None:
    assert set(drift(profile(100), None).values()) == {None}


# -- what goes wrong ----------------------------------------------------------------------------


class Meddling:
    """A reader of a folder in which someone else writes."""

    def __init__(self, source: Source, meddle: dict[str, object]) -> None:
        self.inner, self.meddle = source.reader, meddle

    def read(self, entry: Entry) -> bytes:
        act = self.meddle.pop(entry.path, None)
        if callable(act):
            act()
        return self.inner.read(entry)


def test_a_folder_that_changes_while_it_is_read_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    write_pictures(folder, 0, 60)
    source = find_images(folder, tmp_path)
    grown, gone = folder / "cat" / "8.jpg", folder / "dog" / "9.jpg"
    meddle = {"cat/8.jpg": lambda: grown.write_bytes(b"longer" * 9999), "dog/9.jpg": gone.unlink}
    meddled = replace(source, reader=Meddling(source, dict(meddle)))
    store = store_of(tmp_path)
    checked = check_images(meddled, store)
    assert checked.reasons["cat/8.jpg"] == ["not decodable: changed while the folder was read"]
    assert checked.reasons["dog/9.jpg"] == ["not decodable: vanished while the folder was read"]
    counts = checked.to_json()
    assert counts["found"] == counts["accepted"] + counts["quarantined"] + counts["passed_over"]
    # Neither is remembered: the next pass looks again.
    assert not {"cat/8.jpg", "dog/9.jpg"} & store.known(source).keys()


def test_a_picture_that_changes_between_check_and_cache_stops_it(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    write_pictures(folder, 0, 60)
    check_images(find_images(folder, tmp_path), store_of(tmp_path))
    source = find_images(folder, tmp_path)
    victim = folder / "cat" / "8.jpg"

    def replace_it(*_: object) -> None:
        victim.write_bytes(b"another content")

    with pytest.raises(DataError, match=r"cat/8.jpg has changed since it was checked"):
        prepare_dataset(
            source,
            store_of(tmp_path),
            image_size=SIZE,
            cache=tmp_path / "cache",
            on_checked=replace_it,
        )
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_set_that_breaks_a_rule_stops_after_it_was_told_and_leaves_no_cache(
    tmp_path: Path,
) -> None:
    write_pictures(tmp_path / "few", 0, 8)
    told: list[object] = []
    with pytest.raises(DataError, match="8 pictures are accepted, fewer than 40"):
        prepare_path(tmp_path / "few", tmp_path, on_checked=lambda *what: told.append(what))
    assert len(told) == 1
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_set_of_nothing_but_broken_pictures_stops_in_words(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "bad" / label).mkdir(parents=True)
        for index in range(3):
            (tmp_path / "bad" / label / f"{index}.jpg").write_bytes(b"%d" % index)
    with pytest.raises(DataError, match="0 pictures are accepted, fewer than 40"):
        prepare_path(tmp_path / "bad", tmp_path)


CHILD = """
import resource, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tasks.dataset import prepare
from tasks.errors import DataError
from tasks.ingest import find_images
from tasks.metadata import Metadata

def stop_half_way(what, done, total):
    print("half way", flush=True)
    time.sleep(60)

home = Path({home!r})
def run(progress=None):
    prepare(find_images(Path({data!r}), home), Metadata(home / "metadata.db", home / "locks"),
            image_size=32, cache=home / "cache", progress=progress)
"""


def child(data: Path, home: Path, body: str) -> subprocess.Popen[str]:
    root = str(Path(__file__).parents[3])
    code = CHILD.format(root=root, data=str(data), home=str(home)) + textwrap.dedent(body)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_writer_that_is_killed_leaves_nothing_that_is_read(data: Path, tmp_path: Path) -> None:
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


def test_a_disk_that_is_too_small_is_said_in_one_line(data: Path, tmp_path: Path) -> None:
    # A limit on the size of files acts as a disk that is full: before anything is decoded.
    body = """
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
        run()
    except DataError as error:
        print(error)
    """
    words, errors = child(data, tmp_path, body).communicate()
    assert "60 pictures at 32 pixels need 0 MB" in words, errors
    assert "factorgrid cache --clear" in words
    assert len(words.splitlines()) == 1
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


def test_a_damaged_metadata_file_is_said_in_one_line(data: Path, tmp_path: Path) -> None:
    (tmp_path / "metadata.db").write_bytes(b"no database" * 1000)
    with pytest.raises(
        DataError, match=r"metadata .*metadata\.db: file is not a database; .*delet"
    ):
        prepare_path(data, tmp_path)


def test_two_passes_at_once_decode_once(data: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    with ThreadPoolExecutor(2) as pool:
        passes = [
            pool.submit(prepare_path, data, tmp_path, progress=lambda *what: told.append(what))
            for _ in range(2)
        ]
        folders = {done.result().arrays_folder for done in passes}
    assert list((tmp_path / "cache").iterdir()) == list(folders)
    assert told == [("checking pictures", 60, 60)]


def test_processes_that_read_pictures_end_with_the_one_that_started_them(
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
        row, pixels = describe(Entry("x", "cat", "", ""), content, 0)
        assert row.decodable == (pixels is not None)
        assert row.decodable or row.why
