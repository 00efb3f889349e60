"""Compare the speed of transfer learning with Keras: of features, and of training last blocks.

    python infra/benchmarks/features.py [--source train.zip]

Method. EfficientNet-Lite0 with random weights, which cost as much as trained ones, without its
classifier; batches of 64. The user's way is Keras's network in float32 and `predict` on a pipeline
of `tf.data`; ours is `models.training.features.compute_features`, in the precision that ``auto``
selects on this machine. Three rows:

features : of decoded images in memory; theirs is `Dataset.from_tensor_slices`, prefetched.
files : from JPEG files; theirs is `image_dataset_from_directory`, prefetched, ours decodes the
    files once into the cache, as a study does, and computes the features from there. A study does
    not decode them again for other backbones, for its training and for its report.
blocks : a training of `--epochs` epochs of the last two blocks and a head, of decoded images.
    Theirs is `fit` with the same layers frozen; ours is `fit_replicate`, which computes the maps in
    front of these blocks first. A study does so once, for all of its trainings.

Each side runs in a new process, alternating, `--rounds` times; the time includes what it compiles.
Printed are medians of the images a second, where an image counts in each epoch, and the median and
range of the ratios ours / theirs.

Measured on 2 idle cores with AVX512-BF16, 1,500 real images at 224 pixels, 3 rounds: 1.19 (1.18 to
1.25) from decoded images (ours 119, theirs 99 images a second), and 1.15 (1.10 to 1.35) from files
(101 and 91). Of the last two blocks, 6 epochs, on the same kind of machine and partly beside other
work: 3.08 (2.86 to 3.37) with 1,500 images (222 and 71 images a second), and 1.83 (1.82 to 1.85)
with 500 (`--pictures 500`), where start and compilation weigh more.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from infra.benchmarks.training import write_pictures

BATCH = 64
#: The network of which the last blocks are trained.
BLOCKS: dict[str, Any] = {"backbone": "efficientnet-lite0", "weights": "none", "unfreeze": 2}
#: From a folder of JPEG files and a size to images a second.
Side = Callable[[Path, int], float]


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


def their_blocks(folder: Path, size: int, epochs: int) -> float:
    import numpy as np
    import tensorflow as tf

    from models.networks.pretrained import build
    from models.training.backend import load_keras

    keras = load_keras()
    keras.config.set_dtype_policy("float32")
    network, images = build(image_size=size, classes=2, **BLOCKS), decoded(folder, size)
    network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    started = time.perf_counter()
    data = tf.data.Dataset.from_tensor_slices((images, np.arange(len(images)) % 2))
    data = data.shuffle(len(images)).batch(BATCH, drop_remainder=True).prefetch(2)
    network.fit(data, epochs=epochs, verbose=0)
    return epochs * len(images) / (time.perf_counter() - started)


def our_blocks(folder: Path, size: int, epochs: int) -> float:
    import numpy as np

    from models.spec import PRETRAINED_BUILDER, ModelSpec, ReplicateSpec, TrainingSpec
    from models.training.train import fit_replicate

    images = decoded(folder, size)
    everything = np.arange(len(images))
    training = TrainingSpec(epochs, BATCH)
    spec = ReplicateSpec(ModelSpec(PRETRAINED_BUILDER, BLOCKS), training, size, 1)
    # Validation and test have one image each, because theirs has none.
    sides = {"training": everything, "validation": everything[:1], "test": everything[:1]}
    arrays = SimpleNamespace(
        images=images, labels=everything % 2, classes=("a", "b"), version="1", side=sides.get
    )
    started = time.perf_counter()
    fit_replicate(spec, arrays)
    return epochs * len(images) / (time.perf_counter() - started)


def rows(epochs: int) -> dict[str, tuple[Side, Side]]:
    """Return both sides of each row: theirs, and ours."""
    return {
        "features": (their_features, our_features),
        "files": (their_files, our_files),
        "blocks": (partial(their_blocks, epochs=epochs), partial(our_blocks, epochs=epochs)),
    }


def in_new_process(row: str, side: int, folder: Path, options: argparse.Namespace) -> float:
    """Run one side in a new process; return its images a second."""
    words = [sys.executable, __file__, "--row", row, "--side", str(side), "--folder", str(folder)]
    more = ["--size", str(options.size), "--epochs", str(options.epochs)]
    ended = subprocess.run([*words, *more], capture_output=True, text=True, check=True)
    return float(json.loads(ended.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--pictures", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--source", type=Path, help="Kaggle's train.zip, instead of drawn images")
    parser.add_argument("--epochs", type=int, default=6, help="of the row blocks")
    parser.add_argument("--rows", nargs="+", choices=rows(0), default=list(rows(0)))
    parser.add_argument("--row", choices=rows(0), help=argparse.SUPPRESS)
    parser.add_argument("--side", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.row:
        side = rows(options.epochs)[options.row][options.side]
        print(json.dumps(side(options.folder, options.size)))
        return
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        write_pictures(folder, options.pictures, options.source)
        print(f"{options.pictures} images at {options.size} pixels, {options.rounds} rounds")
        for row in options.rows:
            rounds = [
                [in_new_process(row, side, folder, options) for side in (0, 1)]
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
