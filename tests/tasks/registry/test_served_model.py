"""The champion answers: from the terminal, and behind MLflow's own server."""

import base64
import http.client
import json
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.small_study import Done, environment, factorgrid

from models.images.drawn import draw
from tasks.environment import QUIET
from tasks.processes.ports import free_port
from tasks.registry.model_registry import CHAMPION, Registry
from tasks.registry.predict import answers_to_files

READY_SECONDS = 90


def too_many_pixels() -> bytes:
    """Return the beginning of a PNG of 88 megapixels of 16 bits."""
    content = b"IHDR" + struct.pack(">IIBBBBB", 9380, 9380, 16, 2, 0, 0, 0)
    check = struct.pack(">I", zlib.crc32(content))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + content + check + bytes(4) + b"IDAT"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four drawn images, alternately PNG and JPEG."""
    folder = tmp_path_factory.mktemp("pictures")
    images, labels, classes = draw(4, 48, seed=7)
    paths = []
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        kind = ("png", "jpg")[number % 2]
        paths.append(folder / f"{number}-{classes[label]}.{kind}")
        cv2.imwrite(str(paths[-1]), image[:, :, ::-1])
    return paths


def test_predict_answers_every_image_and_names_the_bad_ones(
    done: Done, pictures: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8 no picture")
    costly = tmp_path / "costly.png"
    costly.write_bytes(too_many_pixels())
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(2**28 + 1)
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    files = [*pictures, bad, tmp_path / "missing.png", tmp_path, costly, large, pipe]
    ended = factorgrid("predict", "tiny", *files, "--json", home=done.home)
    assert ended.returncode == 0, ended.stderr
    content = json.loads(ended.stdout)
    assert content["model"] == "tiny"
    assert content["version"] == done.outcome["registered"]["version"]
    *good, broken, missing, folder, costly_answer, large_answer, pipe_answer = content["answers"]
    assert [answer["file"] for answer in good] == [str(path) for path in pictures]
    assert {answer["label"] for answer in good} <= {"cat", "dog"}
    assert all(0.5 <= answer["probability"] <= 1 and not answer["error"] for answer in good)
    assert all(not answer["label"] for answer in (broken, missing, folder))
    assert broken["error"]
    assert missing["error"] == "no such file or directory"
    assert folder["error"] == "is a directory"
    assert costly_answer["error"].startswith("too many pixels: 9380 x 9380; at most 44,739,242")
    assert "268,435,457" in large_answer["error"]
    assert pipe_answer["error"] == "not a file"


def test_predict_without_any_answer_ends_with_status_2(done: Done, tmp_path: Path) -> None:
    ended = factorgrid("predict", "tiny", tmp_path / "missing.png", home=done.home)
    assert ended.returncode == 2
    assert ended.stdout.split(maxsplit=1) == [
        "-",
        f"{tmp_path / 'missing.png'}: no such file or directory\n",
    ]


def test_predict_with_an_unknown_model_names_those_that_exist(done: Done, tmp_path: Path) -> None:
    ended = factorgrid("predict", "nobody", tmp_path / "a.png", home=done.home)
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert "'nobody'" in line
    assert "tiny" in line.partition("there are: ")[2].split(", ")


@pytest.fixture(scope="module")
def served(done: Done) -> Iterator[int]:
    """Start MLflow's server with the champion as a user does; return its port."""
    port = free_port()
    uri = f"sqlite:///{done.home / 'mlflow.db'}"
    folder = str(Path(sys.executable).parent)
    more = {"MLFLOW_TRACKING_URI": uri, "PATH": os.pathsep.join([folder, os.environ["PATH"]])}
    words = ["models", "serve", "--model-uri", "models:/tiny@champion"]
    words += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    log = (done.home.parent / "served.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *words],
        env=environment(done.home, **{**QUIET, **more}),
        # Not in the folder of the sources: the model brings its own.
        cwd=done.home.parent,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        _wait(port, process)
        yield port
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()


def _wait(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        with suppress(OSError, http.client.HTTPException):
            if _get(port, "GET", "/ping")[0] == 200:
                return
        time.sleep(0.2)
    raise AssertionError("the server did not answer in time")


def _ask(port: int, texts: list[str]) -> list[dict[str, object]]:
    content = json.dumps({"dataframe_records": [{"image": text} for text in texts]})
    status, answer = _get(port, "POST", "/invocations", content)
    assert status == 200, answer
    predictions: list[dict[str, object]] = json.loads(answer)["predictions"]
    return predictions


def _get(port: int, method: str, path: str, content: str | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, content, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _texts(paths: list[Path]) -> list[str]:
    return [base64.b64encode(path.read_bytes()).decode() for path in paths]


def test_the_server_answers_as_the_terminal_does(
    done: Done, served: int, pictures: list[Path]
) -> None:
    registry = Registry.open(done.tracker, "tiny")
    own = answers_to_files(registry.load(registry.version_of(CHAMPION)), pictures)
    answers = _ask(served, _texts(pictures))
    assert [row["label"] for row in answers] == [answer.label for answer in own]
    probabilities = np.array([row["probability"] for row in answers], dtype=float)
    assert np.allclose(probabilities, [answer.probability for answer in own], atol=1e-4)


def test_a_bad_image_has_its_own_error_and_fails_no_other(
    served: int, pictures: list[Path]
) -> None:
    good = _texts(pictures[:2])
    cut_off = base64.b64encode(pictures[1].read_bytes()[:200]).decode()
    costly = base64.b64encode(too_many_pixels()).decode()
    answers = _ask(served, [good[0], "no base64!", cut_off, "", good[1], costly])
    errors = [bool(row["error"]) for row in answers]
    assert errors == [False, True, True, True, False, True]
    assert str(answers[5]["error"]).startswith("too many pixels: 9380 x 9380")
    assert answers[1]["error"] == "not base64 text of the bytes of an image"
    labels = [bool(row["label"]) for row in answers]
    assert labels == [True, False, False, False, True, False]
