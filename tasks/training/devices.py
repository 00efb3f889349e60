"""What can train here: the GPUs, or else the CPU."""

import os
import shutil
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True)
class Device:
    """A place to train.

    Attributes
    ----------
    gpu : as ``CUDA_VISIBLE_DEVICES`` names it; empty for the CPU.
    threads : of the CPU's arithmetic.
    """

    gpu: str
    threads: int


def available_devices() -> tuple[Device, ...]:
    """Return every GPU that this process may use, or the CPU with all cores it may use."""
    cores = len(os.sched_getaffinity(0))
    gpus = _gpus()
    if not gpus:
        return (Device("", cores),)
    return tuple(Device(gpu, max(1, cores // len(gpus))) for gpu in gpus)


def _gpus() -> tuple[str, ...]:
    """Ask the driver's own tool: a backend that looked would hold a context in this process."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip() not in {"", "-1"})
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    words = [tool, "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        asked = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)  # noqa: S603 # a fixed command
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in asked.stdout.splitlines() if line.strip())


def take(device: Device) -> None:
    """Bind this process to a device, before Keras's backend looks for any."""
    os.environ["CUDA_VISIBLE_DEVICES"] = device.gpu
    from models.training.backend import use

    use(threads=device.threads)
