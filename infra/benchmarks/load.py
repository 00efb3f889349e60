"""Measure the product under load, beside what the same work costs without it, in one run.

    python infra/benchmarks/load.py pictures    # 25,000 pictures become a dataset version
    python infra/benchmarks/load.py files       # the same with 100,000 tiny files
    python infra/benchmarks/load.py runs        # a study of 10,000 runs is read back
    python infra/benchmarks/load.py cells       # 200 cells whose training takes no time

`--number` changes the number. Each prints the seconds and the processor seconds of both sides and
their ratio, which a busy machine changes less than the seconds:

pictures, files : drawn JPEG files of 200 x 150 or 16 x 16 pixels, in one folder per class. The
    other side reads, decodes and resizes them in two processes and keeps nothing, see `ingest.py`.
    The peak of memory above the imports is printed too.
runs : `tasks.report.outcome.outcome_of` and its texts, see `tracking.py`. The other side is
    MLflow's own search for the same runs.
cells : a task of Prefect, the search for the key, and everything that a replicate writes to MLflow,
    see `fanout.py`. The other side writes as many values and files with MLflow's client.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
#: Width and height of the files in pixels, and the size to which they are decoded.
PICTURE, TINY = (200, 150, 64), (16, 16, 16)


@dataclass(frozen=True)
class Cost:
    """What one side took.

    Attributes
    ----------
    wall : seconds.
    processor : seconds of the processor, of this process and its children that have ended.
    """

    wall: float
    processor: float

    @classmethod
    def of(cls, work: Callable[[], Any]) -> "Cost":
        """Return the cost of some work."""
        started, worked = time.perf_counter(), _processor()
        work()
        return cls(time.perf_counter() - started, _processor() - worked)


def _processor() -> float:
    return float(sum(os.times()[:4]))


def compare(what: str, ours: Cost, name: str, reference: Cost) -> None:
    """Print both sides and their ratio."""
    print(
        f"{what}: {ours.wall:.1f} s, {ours.processor:.1f} s of processor; {name} "
        f"{reference.wall:.1f} and {reference.processor:.1f}; ratio "
        f"{ours.wall / reference.wall:.2f} and {ours.processor / reference.processor:.2f}",
        flush=True,
    )


# -- pictures ---------------------------------------------------------------------------------


def images(what: str, number: int, shape: tuple[int, int, int]) -> None:
    from infra.benchmarks.ingest import in_new_process

    *sides, size = shape
    with tempfile.TemporaryDirectory() as text:
        folder, home = Path(text) / "pictures", Path(text) / "home"
        _draw(folder, number, *sides)
        plain = in_new_process("decode", folder, size)
        first = in_new_process("ours", folder, size, home)
        shutil.rmtree(home)
        watched = in_new_process("ours", folder, size, home, "watch")
        second = in_new_process("ours", folder, size, home)
    ours, reference = (Cost(side["seconds"], side["cpu"]) for side in (first, plain))
    compare(f"{number:,} {what}", ours, "decoding only", reference)
    print(
        f"accepted {first['accepted']:,.0f}; second pass {second['seconds']:.1f} s; peak of memory "
        f"above the imports {watched['own_mb']:.0f} MB"
    )


def _draw(folder: Path, number: int, width: int, height: int) -> None:
    """Write different JPEG files: random colours at 8 x 8 places, and between them interpolated."""
    import cv2
    import numpy as np
    import simplejpeg

    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
    for i in range(number):
        colours = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        pixels = cv2.resize(colours, (width, height), interpolation=cv2.INTER_CUBIC)
        content = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=90)
        (folder / ("cat", "dog")[i % 2] / f"{i}.jpg").write_bytes(content)


# -- runs ---------------------------------------------------------------------------------------


def runs(number: int) -> None:
    from infra.benchmarks import tracking
    from tasks.environment import prepare_environment

    with tempfile.TemporaryDirectory() as text:
        os.environ["FACTORGRID_HOME"] = str(Path(text) / "home")
        settings = prepare_environment()
        tracking._fill(settings, Path(text), number)  # noqa: SLF001 # the runs of that benchmark
        tracking._analyse(settings, 1)  # noqa: SLF001 # loads the libraries
        ours = Cost.of(lambda: tracking._analyse(settings, 1))  # noqa: SLF001 # likewise
        reference = Cost.of(lambda: _search(settings.tracking_uri))
    compare(f"{number:,} runs", ours, "MLflow's search only", reference)


def _search(uri: str) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("memory").experiment_id
    token = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        token = page.token
        if not token:
            return


# -- cells --------------------------------------------------------------------------------------


def cells(number: int) -> None:
    from infra.benchmarks import fanout
    from tasks.environment import prepare_environment
    from tasks.service.local_prefect import local_prefect

    with tempfile.TemporaryDirectory() as text:
        os.environ["FACTORGRID_HOME"] = text
        settings = prepare_environment().create()
        with local_prefect(settings) as server:
            if server is not None:
                server.wait()
            worked = _processor()
            wall = fanout.measure(number, "threads")
            # Its preparation is in the processor time: images, one training.
            ours = Cost(wall, _processor() - worked)
        reference = Cost.of(lambda: _write_runs(settings.tracking_uri, number, Path(text) / "left"))
    compare(f"{number:,} trivial cells", ours, "MLflow's client only", reference)
    print(f"{wall / number:.3f} s per cell")


def _write_runs(uri: str, number: int, files: Path) -> None:
    """Write as many parameters, metrics and files as a replicate has."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(uri)
    experiment = client.create_experiment("plain", (files.parent / "plain").as_uri())
    for i in range(number):
        run_id = client.create_run(experiment).info.run_id
        moment = round(time.time() * 1000)
        metrics = [Metric(f"metric {k}", k / 7, moment, e) for k in range(6) for e in range(2)]
        params = [Param(f"param {k}", str(i)) for k in range(20)]
        client.log_batch(run_id, metrics, params)
        client.log_artifacts(run_id, str(files))
        client.set_terminated(run_id)


def main() -> None:
    sys.path.insert(0, str(ROOT))
    measured: dict[str, tuple[int, Callable[[int], None]]] = {
        "pictures": (25_000, lambda number: images("pictures", number, PICTURE)),
        "files": (100_000, lambda number: images("tiny files", number, TINY)),
        "runs": (10_000, runs),
        "cells": (200, cells),
    }
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=measured)
    parser.add_argument("--number", type=int)
    given = parser.parse_args()
    number, measure = measured[given.what]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    measure(given.number or number)


if __name__ == "__main__":
    main()
