"""Compare the speed of computing a frozen backbone's features with Keras's `predict`.

    python infra/benchmarks/features.py [--source train.zip]

Method. EfficientNet-Lite0 with random weights, which cost as much as trained ones, without its
classifier; batches of 64. The user's way is Keras's network in float32 and `predict` on a pipeline
of `tf.data`; ours is `models.training.features.compute_features`, in the precision that ``auto``
selects on this machine. Two rows:

features : of decoded images in memory; theirs is `Dataset.from_tensor_slices`, prefetched.
files : from JPEG files; theirs is `image_dataset_from_directory`, prefetched, ours decodes the
    files once into the cache, as a study does, and computes the features from there. A study does
    not decode them again for other backbones, for its training and for its report.

Each side runs in a new process, alternating, `--rounds` times; the time includes what it compiles.
Printed are medians of the images a second, and the median and range of the ratios ours / theirs.

Measured on 2 idle cores with AVX512-BF16, 1,500 real images at 224 pixels, 3 rounds: 1.19 (1.18 to
1.25) from decoded images (ours 119, theirs 99 images a second), and 1.15 (1.10 to 1.35) from files
(101 and 91).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from infra.benchmarks.training import write_pictures

BATCH = 64


def backbone(size: int, policy: str) -> Any:
    """Return the network from images to features."""
    from models.networks.backbone import BackboneChoice, build_backbone
    from models.training.backend import load_keras

    load_keras().config.set_dtype_policy(policy)
    features, _ = build_backbone(BackboneChoice("efficientnet-lite0", "none", ""), size)
    return features


def our_backbone(size: int) -> Any:
    from models.training.backend import resolve_precision

    bfloat16 = resolve_precision("auto") == "bfloat16"
    return backbone(size, "mixed_bfloat16" if bfloat16 else "float32")


def decoded(folder: Path, size: int) -> Any:
    """Return the images of all files, uint8 (N, size, size, 3)."""
    import numpy as np

    from models.images.decoding import decode

    return np.stack([decode(file.read_bytes(), size) for file in sorted(folder.rglob("*.jpg"))])


def their_features(folder: Path, size: int) -> float:
    import tensorflow as tf

    network, images = backbone(size, "float32"), decoded(folder, size)
    started = time.perf_counter()
    data = tf.data.Dataset.from_tensor_slices(images).batch(BATCH).prefetch(2)
    network.predict(data, verbose=0)
    return len(images) / (time.perf_counter() - started)


def our_features(folder: Path, size: int) -> float:
    from models.training.features import compute_features

    network, images = our_backbone(size), decoded(folder, size)
    started = time.perf_counter()
    compute_features(network, images)
    return len(images) / (time.perf_counter() - started)


def their_files(folder: Path, size: int) -> float:
    import keras

    network = backbone(size, "float32")
    number = sum(1 for _ in folder.rglob("*.jpg"))
    started = time.perf_counter()
    data = keras.utils.image_dataset_from_directory(
        folder, image_size=(size, size), batch_size=BATCH, shuffle=False, verbose=False
    )
    network.predict(data.map(lambda images, _: images).prefetch(2), verbose=0)
    return number / (time.perf_counter() - started)


def our_files(folder: Path, size: int) -> float:
    from models.images.arrays import open_arrays
    from models.training.features import compute_features
    from tasks.data.dataset import DatasetRequest, prepare_dataset
    from tasks.data.find_images import find_images
    from tasks.data.metadata_store import MetadataStore
    from tasks.validation.validate import open_reader_pool

    network = our_backbone(size)
    with tempfile.TemporaryDirectory() as text:
        home = Path(text)
        store = MetadataStore(home / "metadata.db", home / "locks")
        started = time.perf_counter()
        with open_reader_pool(folder, store) as readers:
            prepared = prepare_dataset(
                find_images(folder, home / "unpacked"),
                DatasetRequest(size),
                store,
                home / "cache",
                on_checked=lambda *_: None,
                readers=readers,
            )
        images = open_arrays(prepared.arrays_folder).images
        compute_features(network, images)
        return len(images) / (time.perf_counter() - started)


ROWS: dict[str, tuple[Callable[[Path, int], float], Callable[[Path, int], float]]] = {
    "features": (their_features, our_features),
    "files": (their_files, our_files),
}


def in_new_process(row: str, side: int, folder: Path, size: int) -> float:
    """Run one side in a new process; return its images a second."""
    words = [sys.executable, __file__, "--row", row, "--side", str(side), "--folder", str(folder)]
    ended = subprocess.run(
        [*words, "--size", str(size)], capture_output=True, text=True, check=True
    )
    return float(json.loads(ended.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--pictures", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--source", type=Path, help="Kaggle's train.zip, instead of drawn images")
    parser.add_argument("--row", choices=ROWS)
    parser.add_argument("--side", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.row:
        print(json.dumps(ROWS[options.row][options.side](options.folder, options.size)))
        return
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        write_pictures(folder, options.pictures, options.source)
        print(f"{options.pictures} images at {options.size} pixels, {options.rounds} rounds")
        for row in ROWS:
            rounds = [
                [in_new_process(row, side, folder, options.size) for side in (0, 1)]
                for _ in range(options.rounds)
            ]
            theirs, ours = (median(column) for column in zip(*rounds, strict=True))
            ratios = sorted(our / their for their, our in rounds)
            print(
                f"  {row:9} theirs {theirs:6.1f}, ours {ours:6.1f} images/s; ratio "
                f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
