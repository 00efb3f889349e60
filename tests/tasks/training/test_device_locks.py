"""One training per device at a time, with real processes that hold a lock and are killed."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from tasks.errors import SlotsClosedError
from tasks.training.device_locks import device_lock, machine_locks
from tasks.training.devices import Device
from tasks.training.slots import SlotPool

HOLD = """
import sys, time
from pathlib import Path
from tasks.training.device_locks import device_lock
with device_lock(sys.argv[2], Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def _start_holder(folder: Path, device: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder, device],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def _give_up() -> None:
    raise TimeoutError


def test_a_device_has_one_holder_and_is_freed_when_the_holder_is_killed(tmp_path: Path) -> None:
    process = _start_holder(tmp_path, "gpu-1")
    with device_lock("gpu-2", tmp_path):  # another device is free
        pass
    with pytest.raises(TimeoutError), device_lock("gpu-1", tmp_path, _give_up):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    started = time.monotonic()
    with device_lock("gpu-1", tmp_path, _give_up):
        assert time.monotonic() - started < 5


def test_a_slot_waits_for_another_process_and_a_closed_pool_ends_the_wait(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    process = _start_holder(tmp_path, f"cpu-{core}")
    with SlotPool(locks=tmp_path) as pool:
        threading.Timer(1, pool.close).start()
        started = time.monotonic()
        with pytest.raises(SlotsClosedError), pool.slot():
            pass
        assert time.monotonic() - started >= 1  # it waited until the pool was closed
    process.kill()
    process.wait()


def test_no_other_user_can_reach_the_locks_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FACTORGRID_LOCKS", raising=False)
    monkeypatch.delenv("FACTORGRID_TEMPORARY", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with device_lock("gpu-1", machine_locks()):
        (folder,) = tmp_path.iterdir()
        assert folder.stat().st_mode & 0o7777 == 0o700
        assert (folder / "locks" / "device-gpu-1.lock").exists()


def test_users_who_trust_each_other_share_a_folder_that_they_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks").chmod(0o2770)
    monkeypatch.setenv("FACTORGRID_LOCKS", str(tmp_path / "locks"))
    with device_lock("gpu-1", machine_locks()):
        assert (tmp_path / "locks").stat().st_mode & 0o7777 == 0o2770
        assert (tmp_path / "locks" / "device-gpu-1.lock").stat().st_mode & 0o777 == 0o660


def test_trainings_on_parts_of_a_cpu_run_at_once_and_one_on_all_of_it_waits(
    tmp_path: Path,
) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("this machine has one core")
    parts = (Device("", 1, (cores[0],)), Device("", 1, (cores[1],)))
    with SlotPool(parts, tmp_path) as divided, SlotPool(locks=tmp_path) as whole:
        waits = threading.Event()
        got = threading.Event()

        def take_all() -> None:
            waits.set()
            with whole.slot():
                got.set()

        with divided.slot() as one, divided.slot() as other:
            assert {one.device, other.device} == set(parts)
            thread = threading.Thread(target=take_all)
            thread.start()
            waits.wait()
            assert not got.wait(1)
        assert got.wait(10)
        thread.join()
