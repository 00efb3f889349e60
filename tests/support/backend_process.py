"""Checks of training, each carried out in a process with one Keras backend."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]


def run_checks(script: str, backend: str, folder: Path, **more: str) -> dict[str, Any]:
    """Run a script of this folder, and return the JSON object on the last line that it prints.

    Parameters
    ----------
    script : its file name.
    backend : of Keras.
    folder : an empty folder for its files.
    more : further environment variables.
    """
    ended = subprocess.run(
        [sys.executable, str(TESTS / "support" / script), str(folder)],
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}",
            **more,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return answer
