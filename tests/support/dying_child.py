"""A training process that is killed when a chosen epoch has ended, the first time only.

The process kills itself right after it has reported the epoch. A test that kills it from outside
would be too late now and then: a tiny network trains its last epoch in a few milliseconds.
"""

import functools
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

from models.training.train import fit_replicate
from tasks.training import slot_child


def dies_after(epoch: int, marker: Path) -> Callable[[Connection], None]:
    """Return what stands for `slot_child._run_child`; the file `marker` is made at the kill."""
    return functools.partial(_run_child, epoch=epoch, marker=marker)


def _run_child(pipe: Connection, *, epoch: int, marker: Path) -> None:
    def killed_once(*args: Any, on_epoch: slot_child.OnEpoch, **rest: Any) -> Any:
        def report(figures: dict[str, Any]) -> None:
            on_epoch(figures)
            if figures["epoch"] == epoch and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        return fit_replicate(*args, on_epoch=report, **rest)

    with mock.patch.object(slot_child, "fit_replicate", killed_once):
        slot_child._run_child(pipe)
