"""Compare a CPU that trains one network with all cores with one that trains one on each part.

    python infra/benchmarks/divided_cpu.py [--parts 2] [--rounds 5]

Method. Drawn images, batches of 64, two networks: the published one (6 convolutional layers of 64
filters) and the modern one (16 channels, with batch normalization), with light augmentation. Each
side trains `--parts` replicates of `--epochs` epochs in slots, as a study does: one after the other
on the whole CPU, or all at once on its parts. The first training process is ready before the clock
starts. The sides alternate, `--rounds` times. Printed is the median and the range of the ratios:
seconds of the whole CPU divided by those of the divided one, so that more than 1 is in favour of
dividing it.

Measured on 2 idle cores with AVX512-BF16, `--rounds 3 --epochs 3`: published 1.14 (1.13 to 1.16);
modern with pooling 1.46 (1.39 to 1.46), with strides 1.42 (1.38 to 1.43). In float32 on an Intel
CPU without AMX: published 1.16 (1.13 to 1.17); modern 1.38 (1.32 to 1.38) and 1.40 (1.16 to 1.40).
"""

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from models.images.arrays import write_arrays
from models.images.drawn import draw
from models.networks.residual_cnn import IDENTIFIER as MODERN
from models.spec import DEFAULT_BUILDER, ModelSpec, ReplicateSpec, TrainingSpec
from tasks.training.devices import available_devices
from tasks.training.slots import SlotPool

NETWORKS = {
    "published": ModelSpec(DEFAULT_BUILDER, {"conv_layers": 6, "fc_layers": 1, "filters": 64}),
    "modern, pooling": ModelSpec(MODERN, {"downsample": "pooling"}),
    "modern, stride": ModelSpec(MODERN, {"downsample": "stride"}),
}


def write_cache(folder: Path, pictures: int, size: int) -> None:
    """Draw the images: eight of ten for training, one each for validation and the test."""
    images, labels, classes = draw(pictures, size, 1)
    write_arrays(
        folder,
        images,
        size=size,
        labels=labels.tolist(),
        sides=[max(0, row % 10 - 7) for row in range(len(images))],
        names=[f"{row}.jpg" for row in range(len(images))],
        classes=classes,
        version="drawn",
    )


def seconds(model: ModelSpec, folder: Path, options: argparse.Namespace, parts: int) -> float:
    """Return the seconds of all trainings on a CPU that is divided into parts."""
    training = TrainingSpec(epochs=options.epochs, optimizer="adamw", augment="light")

    def train(seed: int) -> None:
        spec = ReplicateSpec(model, training, options.size, seed)
        with pool.slot() as slot, tempfile.TemporaryDirectory() as work:
            slot.run(spec, folder, Path(work) / "out")

    with SlotPool(available_devices(parts)) as pool, ThreadPoolExecutor(parts) as threads:
        started = time.perf_counter()
        list(threads.map(train, range(1, options.parts + 1)))
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--parts", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--pictures", type=int, default=2500)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text) / "cache"
        write_cache(folder, options.pictures, options.size)
        for name in options.networks:
            ratios = []
            for _ in range(options.rounds):
                whole = seconds(NETWORKS[name], folder, options, 1)
                ratios.append(whole / seconds(NETWORKS[name], folder, options, options.parts))
            print(
                f"{name}, {options.size} x {options.size} pixels, {options.parts} trainings: "
                f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) times as fast on "
                f"{options.parts} parts, n = {options.rounds}",
                flush=True,
            )


if __name__ == "__main__":
    main()
