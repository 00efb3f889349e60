"""GPUs as the driver's tool reports them."""

from pathlib import Path

import pytest

from tasks.training.devices import GpuQuery, available_devices, query_gpus


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
