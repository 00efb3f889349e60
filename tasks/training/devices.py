"""The devices that can train: all GPUs, or the CPU if there is none."""

import os
import shutil
import subprocess
from dataclasses import dataclass

#: Seconds after which the driver's tool is given up.
QUERY_SECONDS = 30


@dataclass(frozen=True)
class Device:
    """A device that trains one replicate at a time.

    Attributes
    ----------
    gpu : the device as ``CUDA_VISIBLE_DEVICES`` names it; empty for the CPU.
    threads : number of threads for computations on the CPU.
    """

    gpu: str
    threads: int


@dataclass(frozen=True)
class GpuQuery:
    """What the driver's tool, ``nvidia-smi``, reports.

    Attributes
    ----------
    uuids, names : of the GPUs, in the driver's order.
    fault : why the tool reported none; empty if it did, or is not installed.
    """

    uuids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    fault: str = ""


def query_gpus() -> GpuQuery:
    """Ask the driver's own tool: a Keras backend that looked would keep a context in this process.

    Environment variables such as ``CUDA_VISIBLE_DEVICES`` are not considered.
    """
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return GpuQuery()
    command = [tool, "--query-gpu=uuid,name", "--format=csv,noheader"]
    try:
        ended = subprocess.run(  # noqa: S603 # a fixed command
            command, capture_output=True, text=True, timeout=QUERY_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return GpuQuery(fault=str(error))
    lines = [line.partition(",") for line in ended.stdout.splitlines() if line.strip()]
    if ended.returncode or not lines:
        message = " ".join((ended.stderr or ended.stdout).split())
        return GpuQuery(fault=message or "no GPU")
    return GpuQuery(
        tuple(uuid.strip() for uuid, _, _ in lines), tuple(name.strip() for _, _, name in lines)
    )


def available_devices() -> tuple[Device, ...]:
    """Return every GPU that this process may use, or the CPU with all cores that it may use."""
    cores = len(os.sched_getaffinity(0))
    gpus = _visible_gpus()
    if not gpus:
        return (Device("", cores),)
    return tuple(Device(gpu, max(1, cores // len(gpus))) for gpu in gpus)


def _visible_gpus() -> tuple[str, ...]:
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip() not in {"", "-1"})
    return query_gpus().uuids


def bind_to_device(device: Device) -> None:
    """Bind this process to a device, before Keras's backend looks for one."""
    os.environ["CUDA_VISIBLE_DEVICES"] = device.gpu
    from models.training.backend import configure_backend

    configure_backend(threads=device.threads)
