"""Python imports this module at the start of every process that the tests start.

`support.small_study.environment` puts its folder on PYTHONPATH. What it does is switched on by
variables of the environment:

- ``TESTS_NETWORK_LOG``: a file that gets one line per connection or look-up of another machine.
- ``TESTS_ACCURACY``: the accuracy that training reaches, see `known_training`.
"""

import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

LOCAL = {"127.0.0.1", "::1", "localhost", "0.0.0.0", "None"}  # noqa: S104 # compared, not bound
TRAINER = "models.training.train"


def log_network(event: str, arguments: tuple[Any, ...]) -> None:
    """Log a connection or a look-up of a host name, unless it stays on this machine."""
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = str(arguments[1][0])
    elif event == "socket.getaddrinfo":
        host = str(arguments[0])
    else:
        return
    if host not in LOCAL:
        with open(os.environ["TESTS_NETWORK_LOG"], "a", encoding="utf-8") as file:  # noqa: PTH123 # pathlib is not imported at every start
            file.write(f"{event} {host} {sys.argv[:3]}\n")


class ReplaceTraining(importlib.abc.MetaPathFinder):
    """Replaces the training loop as soon as the product imports it.

    Nothing is imported before the product needs it, so that a process starts as fast as usual.
    """

    def find_spec(
        self,
        fullname: str,
        _path: Sequence[str] | None,
        _target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the module's own specification, with the replacement after its execution."""
        if fullname != TRAINER:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def execute_and_replace(module: ModuleType) -> None:
            execute(module)
            import known_training

            known_training.install(module)

        spec.loader.exec_module = execute_and_replace  # type: ignore[method-assign]
        return spec


if "TESTS_NETWORK_LOG" in os.environ:
    sys.addaudithook(log_network)
if os.environ.get("TESTS_ACCURACY"):
    sys.meta_path.insert(0, ReplaceTraining())
