"""Duplicates: of several copies one is kept; a picture with two labels is left out under both."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tasks.data.measure import THUMB
from tasks.data.reason import Reason

#: Two pictures are compared by their thumbnails if their hashes share one of four 16-bit bands and
#: differ in at most this number of 64 bits. Among the 10,000 pictures of Dogs vs Cats, the six
#: pairs that are one picture at another quality differ in 0 to 3 bits.
MAX_BITS = 10
#: If more pictures share a band, those that are far apart in the order of hashes are not compared.
MAX_BAND = 2000
#: Correlation of two 16 x 16 thumbnails from which on they are the same picture, and from which on
#: they are so similar that both must be on one side of the split. Of those 10,000 pictures, the
#: same six pairs have 0.998 or more, and the next pair, of two different pictures, has 0.93.
SAME, SIMILAR = 0.995, 0.97
#: Difference of two thumbnails of the same picture, at most: root mean square of grey, 0-255.
MAX_DIFFERENCE = 32.0


@dataclass(frozen=True)
class Duplicates:
    """Pictures that occur more than once.

    Attributes
    ----------
    left_out : file -> of which picture it is a copy.
    two_labels : file -> under which other labels the same picture occurs.
    groups : file -> the smallest content digest among the pictures similar to it, which decides the
        side of the split for all of them.
    """

    left_out: dict[str, Reason]
    two_labels: dict[str, Reason]
    groups: dict[str, str]


def find_duplicates(table: pd.DataFrame) -> Duplicates:
    """Find pictures that occur more than once.

    Parameters
    ----------
    table : one row per decodable picture, with the columns ``path``, ``label``, ``digest``,
        ``hash``, ``thumb``, ``bytes``, ``width`` and ``height`` of
        `tasks.data.measure.PictureMetadata`.
    """
    size = list(zip(-table["width"] * table["height"], -table["bytes"], strict=True))
    columns = (size, *(table[name].tolist() for name in ("digest", "path", "label")))
    # Sorted, the largest of several copies comes first: most pixels, then most bytes.
    pictures = list(zip(*columns, strict=True))
    same, similar = _pairs(table)
    left_out: dict[str, Reason] = {}
    two_labels: dict[str, Reason] = {}
    for rows in _components(len(table), same):
        _leave_out_copies(sorted(pictures[row] for row in rows), left_out, two_labels)
    groups = {path: digest for _, digest, path, _ in pictures}
    for rows in _components(len(table), np.concatenate([same, similar])):
        members = [pictures[row] for row in rows]
        smallest = min(digest for _, digest, _, _ in members)
        groups |= {path: smallest for _, _, path, _ in members}
    return Duplicates(left_out, two_labels, groups)


def _leave_out_copies(
    ranked: Sequence[tuple[tuple[float, float], str, str, str]],
    left_out: dict[str, Reason],
    two_labels: dict[str, Reason],
) -> None:
    """Keep the first of several copies, or none if their labels differ."""
    if len({label for *_, label in ranked}) > 1:
        for _, _, path, _ in ranked:
            others = [f"{other} ({label})" for _, _, other, label in ranked if other != path]
            two_labels[path] = Reason("two_labels", {"others": others})
        return
    _, digest, kept, _ = ranked[0]
    for _, other_digest, path, _ in ranked[1:]:
        kind = "copy" if other_digest == digest else "near_copy"
        left_out[path] = Reason(kind, {"of": kept})


#: Pairs of rows, int64 (P, 2).
Pairs = NDArray[np.int64]


def _components(n: int, pairs: Pairs) -> list[NDArray[np.intp]]:
    """Return the groups of at least two rows that pairs (P, 2) of n rows connect."""
    if not len(pairs):
        return []
    graph = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    several = np.flatnonzero(np.bincount(component)[component] > 1)
    order = several[np.argsort(component[several], kind="stable")]
    cuts = np.flatnonzero(np.diff(component[order])) + 1
    return [rows for rows in np.split(order, cuts) if len(rows)]


def _pairs(table: pd.DataFrame) -> tuple[Pairs, Pairs]:
    """Return the pairs of rows that are the same picture, and those that are only similar."""
    exact = _equal_neighbours(table["digest"].to_numpy())
    hashes = np.frombuffer(bytes.fromhex("".join(table["hash"])), dtype=">u8").astype(np.uint64)
    near = _close_hashes(hashes)
    thumbs = np.frombuffer(b"".join(table["thumb"]), dtype=np.uint8).reshape(-1, THUMB * THUMB)
    correlation, difference = _compare_thumbs(thumbs, near)
    is_same = (correlation >= SAME) & (difference <= MAX_DIFFERENCE)
    is_similar = (correlation >= SIMILAR) & ~is_same
    return np.concatenate([exact, near[is_same]]), near[is_similar]


def _equal_neighbours(keys: NDArray[np.object_]) -> Pairs:
    """Return pairs of equal keys, next to each other when sorted: these connect all equal keys."""
    order = np.argsort(keys, kind="stable")
    equal = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    return np.stack([order[equal], order[equal + 1]], axis=1).astype(np.int64)


def _close_hashes(hashes: NDArray[np.uint64]) -> Pairs:
    """Return pairs of rows whose hashes differ in few bits: all that differ in at most 3 bits."""
    found = [np.zeros((0, 2), dtype=np.int64)]
    for shift in (0, 16, 32, 48):
        bands = (hashes >> np.uint64(shift)) & np.uint64(0xFFFF)
        order = np.lexsort([hashes, bands])
        found.extend(_close_in_band(order, bands[order], hashes[order]))
    pairs = np.unique(np.sort(np.concatenate(found), axis=1), axis=0)
    return np.asarray(pairs, dtype=np.int64)


def _close_in_band(
    order: NDArray[np.intp], bands: NDArray[np.uint64], hashes: NDArray[np.uint64]
) -> Iterator[Pairs]:
    """Yield the pairs of rows that share a band and differ in few bits.

    The rows are sorted by band and hash. All rows at once are compared with the next row, then
    with the row after that, and so on.
    """
    for lag in range(1, MAX_BAND):
        shared = np.flatnonzero(bands[lag:] == bands[:-lag])
        if not len(shared):
            return
        bits = np.bitwise_count(hashes[shared] ^ hashes[shared + lag])
        close = shared[bits <= MAX_BITS]
        yield np.stack([order[close], order[close + lag]], axis=1).astype(np.int64)


def _compare_thumbs(
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
