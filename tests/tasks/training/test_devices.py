"""GPUs as the driver's tool reports them, and the CPU, whole and divided."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.training.devices import Device, GpuQuery, available_devices, query_gpus


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which `nvidia-smi` is searched; a test may write it."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path / "nvidia-smi"


def _write(tool: Path, script: str) -> None:
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)


def test_each_gpu_has_a_uuid_and_a_name(tool: Path) -> None:
    _write(tool, "echo 'GPU-a, NVIDIA H100 80GB HBM3'; echo 'GPU-b, NVIDIA L4'")
    assert query_gpus() == GpuQuery(("GPU-a", "GPU-b"), ("NVIDIA H100 80GB HBM3", "NVIDIA L4"))
    assert [device.gpu for device in available_devices()] == ["GPU-a", "GPU-b"]


def test_a_broken_driver_is_a_fault_and_the_cpu_trains(tool: Path) -> None:
    _write(tool, "echo 'Driver/library version mismatch' >&2; exit 18")
    assert query_gpus() == GpuQuery(fault="Driver/library version mismatch")
    (device,) = available_devices()
    assert device.gpu == ""


def test_the_visible_devices_are_those_that_the_user_names(
    tool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tool, "echo 'GPU-a, NVIDIA L4'")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1, -1,2")
    assert [device.gpu for device in available_devices()] == ["1", "2"]


@pytest.mark.parametrize(
    ("cores", "parts", "shares"),
    [
        ({0, 1}, 2, [(0,), (1,)]),
        ({4, 6, 7}, 2, [(4,), (6, 7)]),
        ({0, 1}, 8, [(0,), (1,)]),
        ({0, 1, 2, 3, 4, 5, 6, 7}, 3, [(0, 1), (2, 3, 4), (5, 6, 7)]),
    ],
)
def test_the_cores_of_a_cpu_are_divided_between_as_many_devices_as_there_are_trainings(
    tool: Path,
    monkeypatch: pytest.MonkeyPatch,
    cores: set[int],
    parts: int,
    shares: list[tuple[int, ...]],
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    assert available_devices(parts) == tuple(Device("", len(share), share) for share in shares)
    names = [name for device in available_devices(parts) for name in device.names]
    (whole,) = available_devices(1)
    assert sorted(names) == sorted(whole.names)  # whoever has the whole CPU has each part
    assert whole.threads == len(cores)


def test_gpus_are_not_divided(tool: Path) -> None:
    _write(tool, "echo 'GPU-a, NVIDIA H100 80GB HBM3'")
    assert [device.names for device in available_devices(4)] == [("GPU-a",)]


@pytest.mark.process
def test_a_training_uses_the_cores_of_its_device_and_no_others() -> None:
    core = min(os.sched_getaffinity(0))
    code = (
        "import os; from tasks.training.devices import Device, bind_to_device\n"
        f"bind_to_device(Device('', 1, ({core},)))\n"
        "from models.training.backend import cpu_threads\n"
        "print(os.sched_getaffinity(0), cpu_threads())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split("\n")[-2] == f"{{{core}}} 1"
