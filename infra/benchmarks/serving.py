"""Measure a registered network's answers, beside bare `model.predict` on decoded images.

    python infra/benchmarks/serving.py [--images 300] [--size 64] [--network modern]

A network is built (weights as drawn: they do not change the time), written as a study registers
it, and given the same JPEG files (drawn images of 256 pixels), one at a time and 64 at a time:

- `model.predict`: Keras's own call on arrays that were decoded and resized before; nothing else,
- `the model in Python`: `mlflow.pyfunc.load_model`, `predict` on the files' bytes, with decoding,
- `the server`: `mlflow models serve` and one HTTP request, with decoding and base64.

Printed are the median and the 99th percentile of the time, images per second, and the ratio of the
medians to `model.predict`. The three take turns, so that other work on the machine slows all alike.
"""

import argparse
import base64
import http.client
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd

# For `infra`, which is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from models.images.decoding import decode
from models.images.drawn import draw
from models.networks.build_network import NETWORK_NAMES, build_from
from models.spec import ModelSpec
from models.training.backend import load_keras
from tasks.environment import QUIET
from tasks.processes.ports import free_port
from tasks.registry.servable import save_servable

BATCHES = (1, 64)
READY_SECONDS = 120


def register(folder: Path, network: str, size: int) -> Path:
    """Write a network as MLflow serves it, and return the folder."""
    built = build_from(ModelSpec(NETWORK_NAMES[network]), size, 2)
    built.save(folder / "network.keras")
    about = folder / "about.json"
    about.write_text(json.dumps({"classes": ["cat", "dog"], "image_size": size}))
    save_servable(folder / "network.keras", about, folder / "served")
    return folder / "served"


def files_of(n: int) -> list[bytes]:
    """Return n JPEG files of 256 pixels."""
    import cv2

    images = draw(n, 256, seed=1)[0]
    return [cv2.imencode(".jpg", image[:, :, ::-1])[1].tobytes() for image in images]


def ask_server(connection: http.client.HTTPConnection, files: list[bytes]) -> Any:
    """Send images to the server, and return its answers."""
    encoded = [{"image": base64.b64encode(file).decode()} for file in files]
    body = json.dumps({"dataframe_records": encoded})
    connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != http.client.OK:
        raise SystemExit(f"the server answered {answer.status}: {content[:500]!r}")
    return json.loads(content)["predictions"]


def await_server(process: "subprocess.Popen[bytes]", port: int) -> http.client.HTTPConnection:
    """Return a connection to the server as soon as it answers."""
    began = time.monotonic()
    while time.monotonic() - began < READY_SECONDS and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", "/ping")
            if connection.getresponse().read() is not None:
                return connection
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the server did not start")


def measure(ways: dict[str, Callable[[int], Any]], calls: int) -> dict[str, list[float]]:
    """Return the seconds of each call of each way; the ways take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for call in range(-3, calls):
        for name, way in ways.items():
            began = time.perf_counter()
            way(max(call, 0))
            if call >= 0:  # the first ones compile
                seconds[name].append(time.perf_counter() - began)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--network", choices=("plain", "modern"), default="modern")
    options = parser.parse_args()
    os.environ.update(QUIET)
    keras = load_keras()
    import mlflow

    files = files_of(options.images)
    arrays = np.stack([decode(file, options.size) for file in files])
    with tempfile.TemporaryDirectory() as name:
        served = register(Path(name), options.network, options.size)
        bare = keras.saving.load_model(Path(name) / "network.keras", compile=False)
        in_python = mlflow.pyfunc.load_model(str(served))
        port = free_port()
        beside = str(Path(sys.executable).parent)
        words = ["-m", "mlflow", "models", "serve", "-m", str(served), "--env-manager", "local"]
        process = subprocess.Popen(
            [sys.executable, *words, "--port", str(port)],
            # The server's program `uvicorn` is beside Python. The sources are not on its path: the
            # model brings its own.
            env={**os.environ, "PATH": os.pathsep.join([beside, os.environ["PATH"]])},
            cwd=name,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            connection = await_server(process, port)
            print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
            print("| batch | way | median ms | 99th percentile ms | images/s | ratio |")
            print("|---|---|---|---|---|---|")
            for batch in BATCHES:
                calls = max(10, options.images // batch)

                def at(call: int, batch: int = batch) -> slice:
                    start = call * batch % max(1, len(files) - batch + 1)
                    return slice(start, start + batch)

                seconds = measure(
                    {
                        "model.predict": lambda call: bare.predict(arrays[at(call)], verbose=0),
                        "the model in Python": lambda call: in_python.predict(
                            pd.DataFrame({"image": files[at(call)]})
                        ),
                        "the server": lambda call: ask_server(connection, files[at(call)]),
                    },
                    calls,
                )
                reference = float(np.median(seconds["model.predict"]))
                for way, own in seconds.items():
                    middle, late = np.quantile(own, [0.5, 0.99])
                    print(
                        f"| {batch} | {way} | {1e3 * middle:.1f} | {1e3 * late:.1f} | "
                        f"{batch / middle:.0f} | {middle / reference:.2f} |"
                    )
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


if __name__ == "__main__":
    main()
