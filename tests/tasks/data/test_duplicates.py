"""Copies, near copies and similar pictures."""

import cv2
import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from support.picture_files import digests, rows_of

from models.images.drawn import draw_one, generator
from models.images.split import assign_side, content_digest
from tasks.data.duplicates import find_duplicates
from tasks.data.measure import measure_picture
from tasks.data.source import Entry


def table_of(pictures: dict[str, tuple[str, bytes]]) -> pd.DataFrame:
    rows = []
    for path, (label, content) in pictures.items():
        row, _ = measure_picture(Entry(path, label, "", ""), content, 0)
        rows.append({**row._asdict(), "label": label})
    return pd.DataFrame(rows)


def jpeg_of(index: int, size: int = 160, quality: int = 95, shadow: float = 1.0) -> bytes:
    """Return a JPEG of picture `index`, drawn at 160 pixels."""
    image = draw_one(index % 2, 160, generator(9, index))
    image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    image[:, : size // 2] = (image[:, : size // 2] * shadow).astype(np.uint8)
    _, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data.tobytes())


def test_the_largest_of_several_copies_is_kept() -> None:
    pictures = {
        "small": ("cat", jpeg_of(8, 80)),
        "large": ("cat", jpeg_of(8)),
        "poor": ("cat", jpeg_of(8, quality=60)),
        "same": ("cat", jpeg_of(8)),
        "other": ("cat", jpeg_of(4)),
    }
    copies = find_duplicates(table_of(pictures))
    kept = pictures.keys() - copies.left_out.keys()
    assert kept in ({"large", "other"}, {"same", "other"})
    assert len(set(copies.groups.values())) == 2


def test_similar_pictures_are_on_one_side() -> None:
    # With a shadow on its left half it is a different picture, but not independent of the first.
    pictures = {"a": ("cat", jpeg_of(8)), "b": ("cat", jpeg_of(8, shadow=0.95))}
    copies = find_duplicates(table_of(pictures))
    assert not copies.left_out
    assert copies.groups["a"] == copies.groups["b"]


def test_different_pictures_are_not_copies() -> None:
    pictures = {str(i): (("cat", "dog")[i % 2], jpeg_of(i, 64)) for i in range(80)}
    copies = find_duplicates(table_of(pictures))
    assert not copies.left_out
    assert not copies.two_labels
    assert len(set(copies.groups.values())) == 80


def test_an_empty_table_has_no_copies() -> None:
    empty = table_of({"a": ("cat", jpeg_of(2))}).iloc[:0]
    assert find_duplicates(empty).groups == {}


def rows_of_noise(names: set[str]) -> pd.DataFrame:
    """Return rows of noise pictures, each made from its name."""
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
def test_a_picture_keeps_its_side_when_others_are_added_or_removed(
    here: set[str], come: set[str], gone: set[str]
) -> None:
    def sides(names: set[str]) -> dict[str, int]:
        groups = find_duplicates(rows_of_noise(names)).groups
        return {path: assign_side(digest, 0.7, 0.15) for path, digest in groups.items()}

    before, after = sides(here | gone), sides(here | come)
    assert {path: before[path] for path in here} == {path: after[path] for path in here}


@settings(max_examples=50, deadline=None)
@given(digests, st.integers(0, 40))
def test_copies_of_a_picture_are_always_on_its_side(names: set[str], by: int) -> None:
    table = rows_of_noise(names)
    thumbs = [bytes([thumb[0] ^ by]) + thumb[1:] for thumb in table["thumb"]]
    paths = ["again/" + path for path in table["path"]]
    again = table.assign(
        path=paths, digest=[content_digest(p.encode()) for p in paths], thumb=thumbs
    )
    copies = find_duplicates(pd.concat([table, again], ignore_index=True))
    for path in names:
        assert copies.groups[path] == copies.groups["again/" + path]
        assert (path in copies.left_out) != ("again/" + path in copies.left_out)
