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
