"""Measure how long images take to become a dataset version, compared with only decoding them.

    python infra/benchmarks/ingest.py --archive train.zip

Method. `--pictures` different JPEG files are made from those of the archive: unchanged, mirrored,
and turned by 180 degrees, the latter two encoded again with the quality that gives the same number
of bytes per image. If the archive has too few for that, parts are cut out at random. The files are
in one folder per class, in the page cache.

The reference: two processes read each file, decode it by simplejpeg to the smallest eighth that is
not smaller than the wanted size, and resize it by OpenCV. It receives the list of files, and keeps
nothing. Ours: `tasks.data.dataset.prepare_dataset` into an empty home: it finds the files, decodes,
measures, stores the metadata, validates by Great Expectations, looks for copies, splits, and writes
the cache. Then once more in a new process (the second pass). The pages of Data Docs are written
afterwards and timed separately: like the imports, they do not depend on the number of images. Every
figure is measured in a new process, the two sides alternating, `--rounds` times; medians are
printed. Libraries are imported before the clock starts, and the import time is printed too.

Memory: the largest sum of the proportional set sizes of our process and its children, sampled every
20 ms from /proc, minus what the imports take, at three numbers of images.

CPU seconds are user and system time of the process and its workers, which have ended by then; those
of finding the files, of the workers and of the rest are printed separately. The reference writes
nothing: the time of writing the same bytes by one process, past and through the page cache, is
printed too, and how much later than the end the cached bytes are on the disk.

Measured on 2 idle cores, 25,000 images, medians of 3 rounds, of 5 in the first row (ranges of the
ratio; the lowest is a round in which decoding alone was slow because files were not yet in the page
cache). Photographs as large as Kaggle's and those of Microsoft's download, 21 kB and about 500 x
400 pixels each, made from the latter (`--archive petimages-sample.zip`):

    size    decode and resize  metadata, validation, cache  ratio                CPU s  second pass
    64 px    3.70 s             4.92 s                      1.33 (0.95 to 1.36)  1.26   0.7 s
    128 px   5.57 s             7.70 s                      1.38 (1.32 to 1.45)  1.35   0.8 s
    256 px   9.91 s            11.97 s, 4.9 GB written      1.20 (1.19 to 1.21)  1.18   4.0 s

Of 200 x 200 pixels, 8 kB each (a `train.zip` of thumbnails):

    64 px    2.09 s             3.10 s                      1.48 (0.71 to 1.51)  1.37   0.7 s
    128 px   4.08 s             5.73 s                      1.41 (1.38 to 1.50)  1.36   0.8 s
    256 px   3.48 s             5.39 s, 4.9 GB written      1.58 (1.42 to 1.59)  1.51   3.5 s

On another day the photographs took 1.32, 1.29 and 1.24 times at the three sizes. So the aim of 1.3
is reached at 256 px, missed by 0.02 to 0.03 at 64 px, and not always reached at 128 px. Part of the
time is the page cache, as the line of the disk shows: writing through it, the 0.3 GB of 64 px cost
0.6 s of processor time and the 1.2 GB of 128 px 2.0 s; past it, 0.15 s each. It is used anyway: the
first epoch would read from the disk what is not in it, and a slow disk would delay the decoding.
Thumbnails are decoded so quickly that the other work per image matters more: in the workers 25 to
30 us (digest, measures, EXIF, a row, the write), in the parent 30 us (SQLite, table, copies), and
0.2 s of Great Expectations for any number of images. 2.1 s of imports and 0.2 s of Data Docs are
not counted.

Memory above the imports, photographs at 64 px, 3 runs each, which differ by at most 1 MB: 70, 88
and 110 MB of private memory at 2,500, 12,500 and 25,000 images, and 13 MB of mapped files. No
pixels are in it: it grows by 1.8 kB per image, which is its row of the metadata table.
"""

import argparse
import itertools
import json
import mmap
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Self

import cv2
import numpy as np
import simplejpeg

ROOT = Path(__file__).parents[2]
PROCESSES = 2


# -- the images -------------------------------------------------------------------------------


def make_pictures(archive: Path, folder: Path, number: int) -> None:
    """Write `number` different JPEG files, one folder per class."""
    with zipfile.ZipFile(archive) as opened:
        members = [m for m in opened.infolist() if m.filename.lower().endswith(".jpg")]
        names = [member.filename for member in members if member.file_size]
    jobs = [(name, way) for way in range(max(3, -(-number // len(names)))) for name in names]
    random.Random(1).shuffle(jobs)
    jobs = jobs[:number]
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True, exist_ok=True)
    parts = [jobs[at::PROCESSES] for at in range(PROCESSES)]
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        list(pool.map(_make, itertools.repeat(archive), itertools.repeat(folder), parts))


def _make(archive: Path, folder: Path, jobs: Sequence[tuple[str, int]]) -> None:
    with zipfile.ZipFile(archive) as opened:
        for name, way in jobs:
            data = opened.read(name)
            if way:
                image = _changed(simplejpeg.decode_jpeg(data, strict=False), way)
                data = _encoded(np.ascontiguousarray(image), len(data))
            label = "cat" if "cat" in name.lower() else "dog"
            (folder / label / f"{way}-{Path(name).name}").write_bytes(data)


def _changed(image: np.ndarray, way: int) -> np.ndarray:
    """Mirror, turn, or cut out a random part: seven to nine tenths of each side."""
    if way < 3:
        return image[:, ::-1] if way == 1 else image[::-1, ::-1]
    chance = np.random.default_rng([way, *image.shape])
    high, wide = (int(side * chance.uniform(0.7, 0.9)) for side in image.shape[:2])
    top, left = (
        int(chance.integers(a - b)) for a, b in zip(image.shape[:2], (high, wide), strict=True)
    )
    return image[top : top + high, left : left + wide][:, :: 1 if way % 2 else -1]


def _encoded(image: np.ndarray, size: int) -> bytes:
    """Encode to about `size` bytes."""
    tries = (simplejpeg.encode_jpeg(image, quality=q, colorsubsampling="420") for q in (95, 85, 75))
    return bytes(min(tries, key=lambda data: abs(len(data) - size)))


# -- the reference ------------------------------------------------------------------------------


def decode_only(folder: Path, size: int) -> dict[str, float]:
    files = [str(path) for path in sorted(folder.rglob("*.jpg"))]
    batches = [files[at : at + 64] for at in range(0, len(files), 64)]
    start, cpu = time.perf_counter(), _cpu()
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        done = sum(pool.map(_decode, batches, itertools.repeat(size)))
    if done != len(files):
        sys.exit(f"{done} of {len(files)} files were decoded")
    own, workers = _cpu() - cpu
    return {"seconds": time.perf_counter() - start, "cpu": own + workers, "cpu_workers": workers}


def _cpu() -> np.ndarray:
    """Return CPU seconds, user and system, of this process, and of children that have ended."""
    user, system, of_children, system_of_children, _ = os.times()
    return np.array([user + system, of_children + system_of_children])


def _decode(files: Sequence[str], size: int) -> int:
    cv2.setNumThreads(1)
    for file in files:
        data = Path(file).read_bytes()
        image = simplejpeg.decode_jpeg(data, min_height=size, min_width=size, strict=False)
        how = cv2.INTER_AREA if min(image.shape[:2]) >= size else cv2.INTER_LINEAR
        cv2.resize(image, (size, size), interpolation=how)
    return len(files)


# -- ours ---------------------------------------------------------------------------------------


def ours(folder: Path, size: int, home: Path) -> dict[str, float]:
    start = time.perf_counter()
    os.environ["FACTORGRID_HOME"] = str(home)
    sys.path.insert(0, str(ROOT))
    from tasks.environment import prepare_environment

    settings = prepare_environment()
    import great_expectations.expectations  # noqa: F401 # before the clock starts

    from tasks.data.check_images import CheckedImages
    from tasks.data.dataset import DatasetRequest, prepare_dataset
    from tasks.data.find_images import find_images
    from tasks.data.metadata_store import MetadataStore
    from tasks.validation.validate import open_reader_pool

    imported, cpu = time.perf_counter(), _cpu()
    store = MetadataStore(settings.metadata, settings.locks)
    with PeakMemory() as memory, open_reader_pool(folder, store) as readers:
        source = find_images(folder, settings.unpacked)
        finding = _cpu()[0] - cpu[0]
        kept: list[CheckedImages] = []
        prepared = prepare_dataset(
            source,
            DatasetRequest(size),
            store,
            settings.cache,
            on_checked=lambda checked, _: kept.append(checked),
            readers=readers,
        )
    done, (own, workers) = time.perf_counter(), _cpu() - cpu
    kept[0].validation.write_docs(home / "docs" / str(done))
    written = time.perf_counter()
    pixels = prepared.arrays_folder / "images.npy"
    _to_disk(pixels)
    return {
        "import": imported - start,
        "seconds": done - imported,
        "cpu": own + workers,
        "cpu_finding": finding,
        "cpu_own": own - finding,
        "cpu_workers": workers,
        "docs": written - done,
        "durable": time.perf_counter() - written,
        "bytes": pixels.stat().st_size,
        "accepted": prepared.accepted,
        "own_mb": memory.peak[0] / 1e6,
        "mapped_mb": memory.peak[1] / 1e6,
    }


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fdatasync(file.fileno())


# -- the disk alone -----------------------------------------------------------------------------


def disk_alone(path: Path, size: int) -> dict[str, float]:
    """Write `size` bytes until they are on the disk: past the page cache, and through it."""
    answer = {}
    block = mmap.mmap(-1, 2**21)
    block.write(os.urandom(len(block)))
    for name, flag in (("direct", os.O_DIRECT), ("buffered", 0)):
        start, cpu = time.perf_counter(), _cpu()
        file = os.open(path, os.O_WRONLY | os.O_CREAT | flag)
        os.posix_fallocate(file, 0, size)
        for at in range(0, size, len(block)):
            os.pwrite(file, block, at)
        answer[name] = time.perf_counter() - start
        os.fdatasync(file)
        answer[f"{name}_durable"] = time.perf_counter() - start
        answer[f"{name}_cpu"] = float(sum(_cpu() - cpu))
        os.close(file)
        path.unlink()
    return answer


class PeakMemory:
    """The largest proportional set sizes of this process and its children, above the first.

    Each is the smaller of two consecutive samples: a child that was started and has not yet loaded
    its own program has its parent's memory, which one sample would count twice.
    """

    def __enter__(self) -> Self:
        self.start, self._on = _tree_pss(), "watch" in sys.argv
        self.peak = np.zeros(2)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._on = False
        self._thread.join()

    def _watch(self) -> None:
        last = self.start
        while self._on:
            now = _tree_pss()
            self.peak = np.maximum(self.peak, np.minimum(last, now) - self.start)
            last = now
            time.sleep(0.02)


def _tree_pss() -> np.ndarray:
    """Return private bytes, and bytes of mapped files; shared pages are counted once."""
    total, todo = np.zeros(2), [os.getpid()]
    while todo:
        pid = todo.pop()
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            todo += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        except OSError:
            continue
        sizes = dict(line.split()[:2] for line in rollup.splitlines()[1:])
        own, mapped, shared = (float(sizes[f"Pss_{k}:"]) for k in ("Anon", "File", "Shmem"))
        total += 1024 * np.array([own + shared, mapped])
    return total


# -- the comparison -----------------------------------------------------------------------------


def in_new_process(*arguments: object) -> dict[str, float]:
    command = [sys.executable, __file__, *map(str, arguments)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(answer.stdout.splitlines()[-1]))


def compare(folder: Path, size: int, rounds: int, scratch: Path) -> None:
    plain: list[dict[str, float]] = []
    first: list[dict[str, float]] = []
    second: list[dict[str, float]] = []
    for number in range(rounds):
        home = scratch / f"home-{size}-{number}"
        plain.append(in_new_process("decode", folder, size))
        first.append(in_new_process("ours", folder, size, home))
        second.append(in_new_process("ours", folder, size, home))
        shutil.rmtree(home)
    alone = in_new_process("disk", scratch / "alone", int(first[0]["bytes"]))
    ratios = sorted(a["seconds"] / b["seconds"] for a, b in zip(first, plain, strict=True))
    cpu = sorted(a["cpu"] / b["cpu"] for a, b in zip(first, plain, strict=True))
    print(
        f"{size:>4} px  decode and resize {_median(plain):.2f} s; metadata, validation and cache "
        f"{_median(first):.2f} s\n         ratio {median(ratios):.2f} ({ratios[0]:.2f} to "
        f"{ratios[-1]:.2f}); second pass {_median(second):.2f} s\n"
        f"         CPU s: {_median(plain, 'cpu'):.2f}; {_median(first, 'cpu'):.2f}, ratio "
        f"{median(cpu):.2f} ({cpu[0]:.2f} to {cpu[-1]:.2f}): workers "
        f"{_median(first, 'cpu_workers'):.2f} (decoding only {_median(plain, 'cpu_workers'):.2f}),"
        f" finding {_median(first, 'cpu_finding'):.2f}, the rest {_median(first, 'cpu_own'):.2f}\n"
        f"         {first[0]['bytes'] / 1e9:.2f} GB of pixels: on the disk "
        f"{_median(first, 'durable'):.2f} s later; writing only {alone['direct_durable']:.2f} s "
        f"({alone['direct_cpu']:.2f} CPU s), through the page cache {alone['buffered']:.2f} s "
        f"({alone['buffered_cpu']:.2f} CPU s) and on the disk after "
        f"{alone['buffered_durable']:.2f} s\n"
        f"         imports {_median(first, 'import'):.1f} s; "
        f"Data Docs {_median(first, 'docs'):.1f} s; accepted {first[0]['accepted']:,.0f}",
        flush=True,
    )


def _median(answers: Sequence[dict[str, float]], what: str = "seconds") -> float:
    return median(answer[what] for answer in answers)


def memory(archive: Path, numbers: Sequence[int], scratch: Path) -> None:
    for number in numbers:
        folder, home = scratch / f"memory-{number}", scratch / "home-memory"
        make_pictures(archive, folder, number)
        peaks = []
        for _ in range(3):
            peaks.append(in_new_process("ours", folder, 64, home, "watch"))
            shutil.rmtree(home)
        own, mapped = ([peak[f"{kind}_mb"] for peak in peaks] for kind in ("own", "mapped"))
        print(
            f"{number:>7,} images at 64 px: peaks above the imports, MB: private "
            f"{', '.join(f'{mb:,.0f}' for mb in sorted(own))}; of mapped files "
            f"{', '.join(f'{mb:,.0f}' for mb in sorted(mapped))}",
            flush=True,
        )
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=25_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scratch", type=Path, default=None, help="a folder with 10 GB free")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.scratch) as text:
        scratch, folder = Path(text), Path(text) / "pictures"
        make_pictures(given.archive, folder, given.pictures)
        size = sum(path.stat().st_size for path in folder.rglob("*.jpg")) / given.pictures
        print(f"{given.pictures:,} images, {size:,.0f} bytes each, {os.cpu_count()} cores")
        for pixels in given.sizes:
            compare(folder, pixels, given.rounds, scratch)
        shutil.rmtree(folder)
        numbers = [given.pictures // 10, given.pictures // 2, given.pictures]
        memory(given.archive, numbers, scratch)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["decode", folder_, size_]:
            print(json.dumps(decode_only(Path(folder_), int(size_))))
        case ["ours", folder_, size_, home_, *_]:
            print(json.dumps(ours(Path(folder_), int(size_), Path(home_))))
        case ["disk", path_, bytes_]:
            print(json.dumps(disk_alone(Path(path_), int(bytes_))))
        case _:
            main()
