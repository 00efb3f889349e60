"""Curation: copies and near copies kept once, one picture under two labels left out both ways."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tasks.data.measure import THUMB

#: Two hashes are compared further where they share one of four 16-bit bands and differ in no more
#: than so many of 64 bits. Among the 10,000 pictures of Dogs vs Cats, the six pairs that are one
#: picture at another quality differ in 0 to 3 bits.
MAX_BITS = 10
#: Where more pictures share a band, those far apart in the order of whole hashes are not compared.
MAX_BAND = 2000
#: Correlation of two 16 x 16 thumbnails: the same picture, and one so like it that both must be on
#: one side of the split. Of those 10,000, the same six pairs have 0.998 or more, and the next one,
#: two pictures that are not alike, 0.93.
SAME, ALIKE = 0.995, 0.97
#: The most that two thumbnails of the same picture differ, root mean square of grey, 0-255.
MAX_DIFFERENCE = 32.0


@dataclass(frozen=True)
class Duplicates:
    """What is there more than once.

    Attributes
    ----------
    left_out : file -> which picture it is a copy of, in words.
    two_labels : file -> under which labels the same picture is there too, in words.
    groups : file -> the smallest content digest among the pictures that are alike: one side of the
        split for all of them.
    """

    left_out: dict[str, str]
    two_labels: dict[str, str]
    groups: dict[str, str]


def find_duplicates(table: pd.DataFrame) -> Duplicates:
    """Find pictures that are there more than once.

    Parameters
    ----------
    table : columns ``path``, ``label``, ``digest``, ``hash``, ``thumb``, ``bytes``, ``width``,
        ``height``: a row a picture that can be decoded, see `tasks.data.measure.PictureRow`.
    """
    size = list(zip(-table["width"] * table["height"], -table["bytes"], strict=True))
    columns = (size, *(table[name].tolist() for name in ("digest", "path", "label")))
    # Sorted, the largest of several copies is the first: most pixels, then most bytes.
    pictures = list(zip(*columns, strict=True))
    same, alike = _pairs(table)
    left_out: dict[str, str] = {}
    two_labels: dict[str, str] = {}
    for rows in _components(len(table), same):
        _judge(sorted(pictures[row] for row in rows), left_out, two_labels)
    groups = {path: digest for _, digest, path, _ in pictures}
    for rows in _components(len(table), np.concatenate([same, alike])):
        members = [pictures[row] for row in rows]
        smallest = min(digest for _, digest, _, _ in members)
        groups |= {path: smallest for _, _, path, _ in members}
    return Duplicates(left_out, two_labels, groups)


def _judge(
    ranked: Sequence[tuple[tuple[float, float], str, str, str]],
    left_out: dict[str, str],
    two_labels: dict[str, str],
) -> None:
    """Keep the first of several copies, or none where their labels differ."""
    if len({label for *_, label in ranked}) > 1:
        for _, _, path, _ in ranked:
            others = [f"{other} ({label})" for _, _, other, label in ranked if other != path]
            two_labels[path] = f"the same picture under two labels: also {_some(others)}"
        return
    _, digest, kept, _ = ranked[0]
    for _, own, path, _ in ranked[1:]:
        left_out[path] = f"{'a copy' if own == digest else 'nearly a copy'} of {kept}"


def _some(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


Pairs = NDArray[np.int64]


def _components(n: int, pairs: Pairs) -> list[NDArray[np.intp]]:
    """Return the groups of two and more that pairs (P, 2) of n rows connect."""
    if not len(pairs):
        return []
    graph = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, of = connected_components(graph, directed=False)
    several = np.flatnonzero(np.bincount(of)[of] > 1)
    order = several[np.argsort(of[several], kind="stable")]
    cuts = np.flatnonzero(np.diff(of[order])) + 1
    return [rows for rows in np.split(order, cuts) if len(rows)]


def _pairs(table: pd.DataFrame) -> tuple[Pairs, Pairs]:
    """Return the pairs of rows that are the same picture, and those that are only alike."""
    exact = _along(table["digest"].to_numpy())
    hashes = np.frombuffer(bytes.fromhex("".join(table["hash"])), dtype=">u8").astype(np.uint64)
    near = _candidates(hashes)
    thumbs = np.frombuffer(b"".join(table["thumb"]), dtype=np.uint8).reshape(-1, THUMB * THUMB)
    correlation, difference = _compare(thumbs, near)
    is_same = (correlation >= SAME) & (difference <= MAX_DIFFERENCE)
    is_alike = (correlation >= ALIKE) & ~is_same
    return np.concatenate([exact, near[is_same]]), near[is_alike]


def _along(keys: NDArray[np.object_]) -> Pairs:
    """Return pairs of neighbours with equal keys, once sorted: enough to connect them all."""
    order = np.argsort(keys, kind="stable")
    equal = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    return np.stack([order[equal], order[equal + 1]], axis=1).astype(np.int64)


def _candidates(hashes: NDArray[np.uint64]) -> Pairs:
    """Return the pairs of rows whose hashes differ by few bits; all of those by 3 or fewer."""
    found = [np.zeros((0, 2), dtype=np.int64)]
    for shift in (0, 16, 32, 48):
        bands = (hashes >> np.uint64(shift)) & np.uint64(0xFFFF)
        order = np.lexsort([hashes, bands])
        found.extend(_close(order, bands[order], hashes[order]))
    pairs = np.unique(np.sort(np.concatenate(found), axis=1), axis=0)
    return np.asarray(pairs, dtype=np.int64)


def _close(
    order: NDArray[np.intp], bands: NDArray[np.uint64], hashes: NDArray[np.uint64]
) -> Iterator[Pairs]:
    """Yield the pairs of rows, sorted by band and hash, that share a band and differ by few bits.

    Each is compared with the next, the next but one and so on, all rows at once.
    """
    for lag in range(1, MAX_BAND):
        shared = np.flatnonzero(bands[lag:] == bands[:-lag])
        if not len(shared):
            return
        bits = np.bitwise_count(hashes[shared] ^ hashes[shared + lag])
        close = shared[bits <= MAX_BITS]
        yield np.stack([order[close], order[close + lag]], axis=1).astype(np.int64)


def _compare(
    thumbs: NDArray[np.uint8], pairs: Pairs
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return correlation and root mean square difference of pairs (P, 2) of thumbnails (N, T)."""
    correlation, difference = np.zeros(len(pairs)), np.zeros(len(pairs))
    pixels = thumbs.shape[1]
    for at in range(0, len(pairs), 1024):
        part = slice(at, at + 1024)
        a, b = (thumbs[pairs[part, side]].astype(np.float32) for side in (0, 1))
        means = [x.mean(axis=1, keepdims=True) for x in (a, b)]
        a, b = a - means[0], b - means[1]
        aa, bb, ab = (np.einsum("ij,ij->i", *both) for both in ((a, a), (b, b), (a, b)))
        correlation[part] = ab / np.maximum(np.sqrt(aa * bb), 1e-9)
        apart = (means[0] - means[1])[:, 0] ** 2 + (aa + bb - 2 * ab) / pixels
        difference[part] = np.sqrt(np.maximum(apart, 0))
    return correlation, difference
