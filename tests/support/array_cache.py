"""Small caches of random and of drawn pictures, and ways to damage one."""

import os
from pathlib import Path

import numpy as np

from models.images.arrays import ArraysWriter, write_arrays
from models.images.drawn import draw
from models.images.split import assign_side, content_digest

N, SIZE = 200, 8


def random_images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (N, SIZE, SIZE, 3), dtype=np.uint8)


def write_random_cache(folder: Path) -> Path:
    write_arrays(
        folder,
        random_images(),
        size=SIZE,
        labels=[i % 2 for i in range(N)],
        sides=[i % 3 for i in range(N)],
        names=[f"{i}.jpg" for i in range(N)],
        classes=("cat", "dog"),
        version="v",
    )
    return folder


def write_drawn_cache(folder: Path, count: int, size: int = 16) -> Path:
    """Write `count` drawn pictures, in which a network can learn the classes."""
    images, labels, classes = draw(count, size, seed=1)
    digests = [content_digest(image.tobytes()) for image in images]
    write_arrays(
        folder,
        images,
        size=size,
        labels=labels.tolist(),
        sides=[assign_side(digest, 0.7, 0.15) for digest in digests],
        names=digests,
        classes=classes,
        version="drawn",
    )
    return folder


def flip_byte(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)


def leave_partial_cache(cache: Path, owner: str) -> None:
    """Leave what a killed writer leaves: a partial cache without a lock."""
    os.close(ArraysWriter(cache, 3, SIZE, owner).file)
