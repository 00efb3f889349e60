"""The devices that can train: all GPUs, or the CPU, whole or divided, if there is none."""

import os
import shutil
import subprocess
from dataclasses import dataclass

#: Seconds after which the driver's tool is given up.
QUERY_SECONDS = 30
#: A CPU is divided into at most this many devices: the flows have as many workers.
MAX_PARTS = 8


@dataclass(frozen=True)
class Device:
    """A device that trains one replicate at a time.

    Attributes
    ----------
    gpu : the device as ``CUDA_VISIBLE_DEVICES`` names it; empty for the CPU.
    threads : number of threads for computations on the CPU.
    cores : of a CPU, the cores of this device, as the system numbers them. Empty: all of them.
    """

    gpu: str
    threads: int
    cores: tuple[int, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What nobody else may use meanwhile: the GPU, or each core of a CPU."""
        if self.gpu:
            return (self.gpu,)
        cores = self.cores or tuple(sorted(os.sched_getaffinity(0)))
        return tuple(f"cpu-{core}" for core in cores)


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


def available_devices(parts: int | None = None) -> tuple[Device, ...]:
    """Return every GPU that this process may use, or the CPU with all cores that it may use.

    Parameters
    ----------
    parts : into how many devices a CPU is divided, as the `parallel` of a study; at most 8, and one
        for each core. By default it is whole. Small networks train faster on parts: two trainings
        with one core each take less time than the same trainings one after the other with two cores
        each; see `infra/benchmarks/divided_cpu.py`.
    """
    cores = tuple(sorted(os.sched_getaffinity(0)))
    gpus = _visible_gpus()
    if gpus:
        return tuple(Device(gpu, max(1, len(cores) // len(gpus))) for gpu in gpus)
    number = min(parts or 1, len(cores), MAX_PARTS)
    if number == 1:
        return (Device("", len(cores)),)
    shares = [
        cores[len(cores) * i // number : len(cores) * (i + 1) // number] for i in range(number)
    ]
    return tuple(Device("", len(share), share) for share in shares)


def _visible_gpus() -> tuple[str, ...]:
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip() not in {"", "-1"})
    return query_gpus().uuids


def bind_to_device(device: Device) -> None:
    """Bind this process to a device, before Keras's backend looks for one."""
    os.environ["CUDA_VISIBLE_DEVICES"] = device.gpu
    if device.cores:
        # JAX starts one thread for each core that its process may use, and has no other setting.
        os.sched_setaffinity(0, device.cores)
    from models.training.backend import configure_backend

    configure_backend(threads=device.threads)
