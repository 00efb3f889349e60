"""Loading Keras and its backend without their banners, and setting up the backend."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: What Linux says of the CPU.
CPU_INFO = Path("/proc/cpuinfo")
#: The first compute capability whose matrix units multiply bfloat16.
BFLOAT16_CAPABILITY = (8, 0)
#: Size of JAX's cache of compiled programs, bytes; the least recently used ones are deleted first.
COMPILATION_CACHE_BYTES = 2**30


def load_keras() -> Any:
    """Import Keras with its backend, and return it.

    TensorFlow's native libraries write banners directly to file descriptor 2, before any log level
    is read. That output is captured, and written only if the import fails.
    """
    with captured(2):
        import keras
    return keras


def make_deterministic() -> None:
    """Make equal seeds give bit-equal weights in this process, for as long as it lives.

    Without it TensorFlow may add numbers in any order. JAX does not on a CPU; on a GPU its engine
    sets a compiler option (`models.training.jax_engine`).
    """
    if load_keras().backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def configure_backend(threads: int) -> None:
    """Set the number of CPU threads of the backend's arithmetic; call it before the first step.

    By default TensorFlow uses all cores of the machine, even if this process is restricted to fewer
    cores. On a GPU it is set to allocate memory when it needs it, not all at once. JAX uses the
    cores that this process is restricted to, and needs no setting.
    """
    if load_keras().backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)  # noqa: FBT003 # TensorFlow's own signature


def cpu_threads() -> int:
    """Return the number of CPU threads of the backend's arithmetic."""
    if load_keras().backend.backend() == "tensorflow":
        import tensorflow as tf

        number = int(tf.config.threading.get_intra_op_parallelism_threads())
        if number:
            return number
    return len(os.sched_getaffinity(0))


def enable_compilation_cache(folder: Path) -> None:
    """Cache what JAX compiles in a folder of at most 1 GiB, for later processes.

    Without it each replicate, which trains in its own process, would compile again; on a GPU that
    takes as long as the training. If ``JAX_COMPILATION_CACHE_DIR`` is set, that folder is used.
    """
    if load_keras().backend.backend() == "jax":
        import jax

        if not jax.config.jax_compilation_cache_dir:
            jax.config.update("jax_compilation_cache_dir", str(folder))
            jax.config.update("jax_compilation_cache_max_size", COMPILATION_CACHE_BYTES)


def resolve_precision(setting: str) -> str:
    """Return the precision to train in, ``bfloat16`` or ``float32``.

    ``auto`` means bfloat16 if the hardware trains faster with it: GPUs of compute capability 8.0
    (Ampere) and later, and with TensorFlow also CPUs with AMX (measured: 2.1 to 2.4 times as fast
    as float32; with JAX, which has no such kernels for CPUs, 0.7 times). An Intel CPU with
    AVX512-BF16 but without AMX, as some virtual machines have it, multiplies bfloat16 no faster
    than float32 (measured: 0.64 times the speed). CPUs of others with AVX512-BF16 train in
    bfloat16, which was not compared there.

    Parameters
    ----------
    setting : ``auto``, ``bfloat16`` or ``float32``.
    """
    if setting != "auto":
        return setting
    capability = _gpu_capability()
    if capability is not None:
        return "bfloat16" if capability >= BFLOAT16_CAPABILITY else "float32"
    on_tensorflow = load_keras().backend.backend() == "tensorflow"
    return "bfloat16" if on_tensorflow and _cpu_is_faster_in_bfloat16() else "float32"


def device_name() -> str:
    """Return the device that trains: ``cpu``, or the name of the GPU."""
    match load_keras().backend.backend():
        case "jax":
            import jax

            device = jax.devices()[0]
            return "cpu" if device.platform == "cpu" else str(device.device_kind)
        case "tensorflow":
            details = _tensorflow_gpu()
            return "cpu" if details is None else str(details.get("device_name", "gpu"))
    return "cpu"


def _gpu_capability() -> tuple[int, ...] | None:
    """Return the compute capability of the GPU; None if there is no GPU."""
    match load_keras().backend.backend():
        case "jax":
            import jax

            device = jax.devices()[0]
            if device.platform != "gpu":
                return None
            return tuple(int(part) for part in str(device.compute_capability).split("."))
        case "tensorflow":
            details = _tensorflow_gpu()
            return None if details is None else tuple(details.get("compute_capability", (0, 0)))
    return None


def _tensorflow_gpu() -> dict[str, Any] | None:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return dict(tf.config.experimental.get_device_details(gpus[0])) if gpus else None


def _cpu_is_faster_in_bfloat16() -> bool:
    try:
        about = CPU_INFO.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "amx_bf16" in about or ("avx512_bf16" in about and "GenuineIntel" not in about)


@contextmanager
def captured(descriptor: int) -> Iterator[None]:
    """Capture what is written to a file descriptor; write it if the block raises an exception."""
    sys.stderr.flush()
    original = os.dup(descriptor)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), descriptor)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(original, kept.read())
            raise
        finally:
            os.dup2(original, descriptor)
            os.close(original)
