"""The devices that this process can train on: the GPUs, or else the CPU.

That no two processes train on one device at the same time is in `tasks.training.device_locks`.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True)
class Device:
    """A device that trains one replicate at a time.

    Attributes
    ----------
    gpu : the GPU, as ``CUDA_VISIBLE_DEVICES`` names it; empty for the CPU.
    threads : how many CPU threads the arithmetic uses.
    """

    gpu: str
    threads: int


def available_devices() -> tuple[Device, ...]:
    """Return every GPU that this process may use, or the CPU with all the cores it may use."""
    cores = len(os.sched_getaffinity(0))
    gpus = _available_gpus()
    if not gpus:
        return (Device("", cores),)
    return tuple(Device(gpu, max(1, cores // len(gpus))) for gpu in gpus)


def _available_gpus() -> tuple[str, ...]:
    """Return the names of the GPUs, as the environment or the driver's tool lists them.

    The backend is not used to list them: it would open a CUDA context in this process.
    """
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return tuple(name.strip() for name in listed.split(",") if name.strip() not in {"", "-1"})
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    command = [tool, "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)  # noqa: S603 # a fixed command
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in ended.stdout.splitlines() if line.strip())


def bind_to_device(device: Device) -> None:
    """Restrict this process to one device; call it before Keras's backend looks for devices."""
    os.environ["CUDA_VISIBLE_DEVICES"] = device.gpu
    from models.training.backend import configure_backend

    configure_backend(threads=device.threads)
