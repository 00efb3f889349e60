"""Files of weights: which formats are read, their digests, and their arrays by name.

Only formats that hold arrays are read; no format executes code. A PyTorch state dict is a pickle,
of which `models.networks.torch_file` takes the arrays.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import BuilderError
from models.networks.torch_file import read_torch_arrays

#: Formats that Keras loads into a network, by their ends.
KERAS_FORMATS = (".weights.h5", ".h5")
#: Formats that hold arrays by name.
TORCH_FORMATS = (".pth", ".pt")
ARRAY_FORMATS = (".npz", ".safetensors", *TORCH_FORMATS)
FORMATS = (*KERAS_FORMATS, *ARRAY_FORMATS)
#: Digits of a SHA-256 digest.
DIGITS = 64
#: Bytes that are read at once for a digest.
BLOCK = 2**20


def is_url(text: str) -> bool:
    """Whether weights are named by an address."""
    return bool(re.match(r"[a-z][a-z0-9+.-]*://", text))


def file_digest(file: Path) -> str:
    """Return the SHA-256 digest of a file, 64 hexadecimal digits.

    Raises
    ------
    BuilderError
        If the file cannot be read.
    """
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise BuilderError(
            f"weights {file}: {error.strerror or error}; correct the path, or put the file there"
        ) from error


def check_digest(file: Path, expected: str) -> str:
    """Return the digest of a file.

    Raises
    ------
    BuilderError
        If it is not the expected one; an empty one is not compared.
    """
    digest = file_digest(file)
    if expected and not digest.startswith(expected):
        raise BuilderError(
            f"weights {file}: its SHA-256 digest is {digest}, not {expected}; the file is damaged "
            "or another one: get it again, or correct weights_digest"
        )
    return digest


def read_arrays(file: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file in one of the `ARRAY_FORMATS`, by name.

    Raises
    ------
    BuilderError
        If the file is damaged, or has anything but arrays.
    """
    try:
        if file.suffix in TORCH_FORMATS:
            return read_torch_arrays(file)
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as saved:
                return {name: saved[name] for name in saved.files}
        return _read_safetensors(file)
    except BuilderError:
        raise
    except Exception as error:  # a damaged file can raise anything
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        raise BuilderError(
            f"weights {file}: cannot be read ({text}); get the file again"
        ) from error


def _read_safetensors(file: Path) -> dict[str, NDArray[Any]]:
    try:
        from safetensors.numpy import load_file
    except ImportError:
        raise BuilderError(
            f"weights {file}: needs the package safetensors; run pip install "
            "'factorgrid[backbones]'"
        ) from None
    arrays: dict[str, NDArray[Any]] = load_file(file)
    return arrays
