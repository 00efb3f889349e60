"""Drawn pictures as files, folders and zips, for tests that prepare data."""

import io
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from hypothesis import strategies as st
from PIL import Image

from models.images.arrays import ImageArrays, open_arrays
from models.images.drawn import draw_one, generator
from models.images.split import content_digest
from tasks.data.check_images import CheckedImages, check_images
from tasks.data.dataset import (
    DatasetRequest,
    Prepared,
    prepare_dataset,
)
from tasks.data.find_images import find_images
from tasks.data.metadata_store import MetadataStore

SIZE = 32


REQUEST = DatasetRequest(SIZE)


def picture(index: int, size: int = 64) -> Image.Image:
    """Return a drawn picture, a different one for each index."""
    return Image.fromarray(draw_one(index % 2, size, generator(7, index)))


def encode(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


JPEG, PNG = encode(picture(1)), encode(picture(2), "PNG")


def write_pictures(folder: Path, first: int, n: int) -> None:
    """Write n different pictures, from index `first` on; even indices are cats."""
    for index in range(first, first + n):
        path = folder / ("cat", "dog")[index % 2] / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = draw_one(index % 2, 64, generator(3, index))
        _, data = cv2.imencode(".jpg", image[:, :, ::-1])
        path.write_bytes(data.tobytes())


def write_class_folders(
    folder: Path, cats: int, dogs: int, change: Callable[[Any], Any] = np.copy
) -> None:
    for label, n in (("cat", cats), ("dog", dogs)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for index in range(n):
            image = change(draw_one(label == "dog", 64, generator(5, index)))
            cv2.imwrite(str(folder / label / f"{index}.png"), image[:, :, ::-1])


def write_zip(path: Path, extra: Callable[[zipfile.ZipFile], None] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(16):
            label = ("cat", "dog")[index % 2]
            archive.writestr(f"train/{label}.{index}.jpg", encode(picture(100 + index)))
        if extra is not None:
            extra(archive)
    return path


def store_of(home: Path) -> MetadataStore:
    return MetadataStore(home / "metadata.db", home / "locks")


def prepare_path(
    path: Path, home: Path, request: DatasetRequest = REQUEST, **options: object
) -> Prepared:
    source = find_images(path, home / "unpacked")
    return prepare_dataset(source, request, store_of(home), home / "cache", **options)  # type: ignore[arg-type]


def arrays_of(prepared: Prepared) -> ImageArrays:
    return open_arrays(prepared.arrays_folder)


def check_path(path: Path, home: Path, **settings: object) -> CheckedImages:
    source = find_images(path, home / "unpacked")
    return check_images(source, MetadataStore(home / "metadata.db", home / "locks"), **settings)  # type: ignore[arg-type]


def counts_add_up(checked: CheckedImages) -> bool:
    counts = checked.counts
    parts = sum(counts[name] for name in ("accepted", "quarantined", "passed_over"))
    return bool(counts["found"] == parts)


digests = st.sets(st.integers(0, 2**64).map(lambda i: content_digest(str(i).encode())), min_size=2)


def rows_of(names: set[str]) -> pd.DataFrame:
    ordered = sorted(names)
    labels = [("cat", "dog")[int(name[-1], 16) % 2] for name in ordered]
    return pd.DataFrame({"path": ordered, "label": labels, "digest": ordered})


CHILD = """
import resource, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tasks.data.dataset import DatasetRequest, prepare_dataset
from tasks.data.find_images import find_images
from tasks.data.metadata_store import MetadataStore
from tasks.errors import DataError

def stop_half_way(what, done, total):
    print("half way", flush=True)
    time.sleep(60)

home = Path({home!r})
def run(progress=None):
    prepare_dataset(
        find_images(Path({data!r}), home), DatasetRequest(32),
        MetadataStore(home / "metadata.db", home / "locks"), home / "cache", progress=progress)
"""


def child(data: Path, home: Path, body: str) -> subprocess.Popen[str]:
    root = str(Path(__file__).parents[3])
    code = CHILD.format(root=root, data=str(data), home=str(home)) + textwrap.dedent(body)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
