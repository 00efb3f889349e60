"""Loading Keras and its backend without their banners."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


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

    TensorFlow may otherwise add in any order; JAX on a CPU never does.
    """
    if load_keras().backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


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
