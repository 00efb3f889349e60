"""Commands in processes that are forked from one that has imported the large packages.

A `factorgrid` command spends most of a second or two of work on five seconds of imports: MLflow,
pandas, SciPy, statsmodels, Matplotlib. A template process imports these once per process of pytest;
each command is a fork of it, which imports FactorGrid itself, Prefect and Keras as usual. Of the
environment, only what Python and these packages read at their start must not differ: see
`needs_new_process`.
"""

import json
import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module, reload
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

#: Imported by the template. Prefect is not: it reads PREFECT_HOME when it is imported.
PACKAGES = (
    "mlflow",
    "mlflow.tracking",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.db.utils",
    "alembic.migration",
    "pandas",
    "pyarrow",
    "scipy.stats",
    "statsmodels.api",
    "statsmodels.formula.api",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "pydantic",
    "jinja2",
    "sklearn",
)


def needs_new_process(changed: Mapping[str, str]) -> bool:
    """Whether these variables of the environment act when a process starts."""
    return any(
        name.startswith(("PYTHON", "LD_", "OMP_", "MALLOC_", "TESTS_NETWORK_LOG", "MPL", "TMP"))
        for name in changed
    )


class Template:
    """The process that commands are forked from.

    Parameters
    ----------
    environment : of the template; that of a command is given with it.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.lock = threading.Lock()
        self.process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, words: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> "subprocess.CompletedProcess[str]":
        """Run ``python -m`` with these words to its end, in a folder, and return what it printed.

        Whatever ends the wait early, such as pytest's limit of time, ends the command, too.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self.lock, TemporaryDirectory() as place:
            files = [Path(place) / "stdout", Path(place) / "stderr"]
            request = (list(words), dict(environment), str(folder), *map(str, files))
            try:
                self.process.stdin.write(json.dumps(request) + "\n")
                self.process.stdin.flush()
                status = int(self.process.stdout.readline())
            except BaseException:
                self.process.kill()  # its child sees that, see `_command`
                raise
            printed = [file.read_text(encoding="utf-8") for file in files]
        return subprocess.CompletedProcess(list(words), status, *printed)


def serve() -> None:
    """Fork a command for each line of standard input, and print its exit status when it ended."""
    for package in PACKAGES:
        import_module(package)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _command(*json.loads(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _command(words: Sequence[str], environment: Mapping[str, str], folder: str, *out: str) -> Any:
    """Become the process of a command; this does not return."""
    import sitecustomize

    _end_with_parent()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number, file in enumerate(out, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    reload(sitecustomize)
    sys.argv[:] = list(words)
    # A process that ends this way runs its exit handlers, those of other threads included.
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    sys.exit(0)


def _end_with_parent() -> None:
    """Let the kernel end this process when the template ends."""
    import ctypes
    import signal

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


if __name__ == "__main__":
    serve()
