"""Loading Keras and its backend without their banners."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: The first compute capability whose matrix units multiply bfloat16.
BFLOAT16_CAPABILITY = (8, 0)
#: Bytes of compiled programs that are kept; those that were used least lately go first.
COMPILED = 2**30


def load_keras() -> Any:
    """Import Keras with its backend, and return it.

    TensorFlow's native parts write banners straight to file descriptor 2, before any log level is
    read; they are held back, and let out only where the import fails.
    """
    with _held_back(2):
        import keras
    return keras


def make_deterministic() -> None:
    """Make equal seeds give bit-equal weights in this process, for as long as it lives.

    TensorFlow may otherwise add in any order; JAX on a CPU never does, and on a GPU is told so by
    its engine, where it compiles.
    """
    if load_keras().backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def use(threads: int) -> None:
    """Set how many threads of the CPU the backend's arithmetic may take, before its first step.

    By default TensorFlow takes all cores of the machine, even where this process may use fewer. On
    a GPU it takes memory as it needs it, not all at once. JAX takes the cores that the process may.
    """
    if load_keras().backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)  # noqa: FBT003 # TensorFlow's own signature


def keep_compiled(folder: Path) -> None:
    """Keep what JAX compiles in a folder, a gigabyte at most, for the processes to come.

    A replicate that trains in a process of its own would else compile, on a GPU for as long as it
    trains. What ``JAX_COMPILATION_CACHE_DIR`` names is left as it is.
    """
    if load_keras().backend.backend() == "jax":
        import jax

        if not jax.config.jax_compilation_cache_dir:
            jax.config.update("jax_compilation_cache_dir", str(folder))
            jax.config.update("jax_compilation_cache_max_size", COMPILED)


def precision_of(asked: str) -> str:
    """Return the precision that is trained in: ``bfloat16`` or ``float32``.

    ``auto`` is bfloat16 where the hardware multiplies it: GPUs of compute capability 8.0 (Ampere)
    and later, and on TensorFlow CPUs with AVX512-BF16 or AMX (measured: 2.1 to 2.4 times as fast as
    float32; on JAX, which has no such kernels for CPUs, 0.7 times).
    """
    if asked != "auto":
        return asked
    capability = _gpu_capability()
    if capability is not None:
        return "bfloat16" if capability >= BFLOAT16_CAPABILITY else "float32"
    on_tensorflow = load_keras().backend.backend() == "tensorflow"
    return "bfloat16" if on_tensorflow and _cpu_has_bfloat16() else "float32"


def device_name() -> str:
    """Return what trains: ``cpu``, or the name of the GPU."""
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
    """Return the GPU's compute capability, None without a GPU."""
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


def _cpu_has_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


@contextmanager
def _held_back(descriptor: int) -> Iterator[None]:
    sys.stderr.flush()
    kept = os.dup(descriptor)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), descriptor)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, descriptor)
            os.close(kept)
