"""One training a device, with real processes that hold and are killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tasks.errors import SlotsClosedError
from tasks.training.device_locks import device_lock, machine_locks
from tasks.training.slots import SlotPool

HOLD = """
import sys, time
from pathlib import Path
from tasks.devices import device_lock
with device_lock(sys.argv[2], Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def _holder(folder: Path, device: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder, device],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def _impatient() -> None:
    raise TimeoutError


def test_a_device_has_one_holder_and_a_killed_one_frees_it(tmp_path: Path) -> None:
    process = _holder(tmp_path, "gpu-1")
    with device_lock("gpu-2", tmp_path):  # another device is free
        pass
    with pytest.raises(TimeoutError), device_lock("gpu-1", tmp_path, _impatient):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    started = time.monotonic()
    with device_lock("gpu-1", tmp_path, _impatient):
        assert time.monotonic() - started < 5


def test_a_slot_waits_for_another_process_and_a_closed_pool_ends_the_wait(tmp_path: Path) -> None:
    process = _holder(tmp_path, "cpu")
    with SlotPool(locks=tmp_path) as pool:
        threading.Timer(1, pool.close).start()
        started = time.monotonic()
        with pytest.raises(SlotsClosedError), pool.slot():
            pass
        assert time.monotonic() - started >= 1  # it waited until then
    process.kill()
    process.wait()


def test_the_machines_locks_are_for_every_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACTORGRID_LOCKS", str(tmp_path / "locks"))
    with device_lock("gpu-1", machine_locks()):
        assert (tmp_path / "locks").stat().st_mode & 0o7777 == 0o1777
        assert (tmp_path / "locks" / "device-gpu-1.lock").stat().st_mode & 0o777 == 0o644
