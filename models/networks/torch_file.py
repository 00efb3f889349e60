"""Reading the arrays of a PyTorch state dict, without PyTorch and without executing its pickle.

A file of ``torch.save`` is a pickle, and a pickle can call any function. Here an unpickler accepts
only the names that a state dict of arrays needs, and every other name is an error before anything
is called. Both formats are read: the zip archive of PyTorch 1.6 and later, and the stream of
earlier versions.
"""

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.errors import BuilderError

#: The first value of a file of PyTorch before 1.6.
MAGIC = 0x1950A86A20F9469CFC6C
#: The kinds of storages that are read: name -> type of an element, little-endian.
STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}


class _Storage(NamedTuple):
    """A storage that the pickle names; its bytes are elsewhere in the file."""

    key: str
    kind: str
    numbers: int


class _Tensor(NamedTuple):
    """A tensor that the pickle describes. A tuple: a pickle cannot set its state."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: object) -> _Tensor:
    """Stand for ``torch._utils._rebuild_tensor_v2``."""
    whole = [offset, *shape, *strides]
    if not isinstance(storage, _Storage) or not all(type(x) is int and x >= 0 for x in whole):
        raise pickle.UnpicklingError("a tensor without a storage, shape or strides")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _StateUnpickler(pickle.Unpickler):
    """Unpickles dictionaries of tensors: every other name is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what one of the allowed names stands for."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in STORAGES:
            return name
        raise pickle.UnpicklingError(f"it contains {module}.{name}, which is not an array")

    def persistent_load(self, pid: Any) -> _Storage:
        """Return a storage by its description."""
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":  # noqa: PLR2004 # kind, key, device, numbers
            raise pickle.UnpicklingError("a storage without a description")
        _, kind, key, _, numbers = pid[:5]
        if kind not in STORAGES or not isinstance(key, str) or type(numbers) is not int:
            raise pickle.UnpicklingError("a storage of an unknown kind")
        return _Storage(key, kind, numbers)


def read_torch_arrays(file: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a PyTorch state dict by their names.

    Parameters
    ----------
    file : of ``torch.save(network.state_dict(), file)``.

    Raises
    ------
    BuilderError
        If the file is damaged, or has anything but arrays. Nothing of it is executed.
    """
    try:
        with file.open("rb") as opened:
            state, bytes_of = _read(opened)
        return {name: _array(tensor, bytes_of) for name, tensor in state.items()}
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        text = f"{error}".splitlines()[0] if str(error) else type(error).__name__
        raise BuilderError(
            f"weights {file}: no PyTorch state dict of arrays only ({text}); save "
            "network.state_dict(), or convert it to .safetensors"
        ) from error


def _read(opened: BinaryIO) -> tuple[Mapping[str, _Tensor], Callable[[_Storage], bytes]]:
    """Return the tensors of a file, and a function that returns the bytes of a storage."""
    if zipfile.is_zipfile(opened):
        state, data = _read_archive(opened)
    else:
        opened.seek(0)
        state, data = _read_stream(opened)
    # Some programs put the state dict under this name.
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, _Tensor) for name, tensor in state.items()
    ):
        raise pickle.UnpicklingError("it is not a dictionary of tensors")
    return state, data


def _read_archive(opened: BinaryIO) -> tuple[Any, Callable[[_Storage], bytes]]:
    archive = zipfile.ZipFile(opened)
    names = {Path(part.filename).name: part for part in archive.infolist()}
    if any(part.compress_type != zipfile.ZIP_STORED for part in names.values()):
        raise pickle.UnpicklingError("it is compressed")  # and may be huge in memory
    folder = names["data.pkl"].filename.removesuffix("data.pkl")
    if (
        f"{folder}byteorder" in archive.namelist()
        and archive.read(f"{folder}byteorder") != b"little"
    ):
        raise pickle.UnpicklingError("its numbers are big-endian")
    state = _StateUnpickler(io.BytesIO(archive.read(names["data.pkl"]))).load()
    stored = {
        part.filename.removeprefix(f"{folder}data/"): archive.read(part)
        for part in archive.infolist()
        if part.filename.startswith(f"{folder}data/")
    }
    return state, lambda storage: stored[storage.key]


def _read_stream(opened: BinaryIO) -> tuple[Any, Callable[[_Storage], bytes]]:
    if _StateUnpickler(opened).load() != MAGIC:
        raise pickle.UnpicklingError("it does not begin as a file of torch.save")
    _StateUnpickler(opened).load()  # the version of the protocol
    if _StateUnpickler(opened).load().get("little_endian") is not True:
        raise pickle.UnpicklingError("its numbers are big-endian")
    state = _StateUnpickler(opened).load()
    keys = _StateUnpickler(opened).load()
    content, start = opened.read(), 0
    kinds = {tensor.storage.key: tensor.storage.kind for tensor in state.values()}
    stored: dict[str, bytes] = {}
    for key in keys:
        numbers = int.from_bytes(content[start : start + 8], "little")
        end = start + 8 + numbers * np.dtype(STORAGES[kinds[key]]).itemsize
        stored[key] = content[start + 8 : end]
        start = end
    return state, lambda storage: stored[storage.key]


def _array(tensor: _Tensor, bytes_of: Callable[[_Storage], bytes]) -> NDArray[Any]:
    """Return a tensor as a contiguous array of its own."""
    kind = np.dtype(STORAGES[tensor.storage.kind])
    numbers = np.frombuffer(bytes_of(tensor.storage), dtype=kind)
    shape, strides = tensor.shape, tensor.strides
    size = math.prod(shape)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if len(numbers) != tensor.storage.numbers or (size and last >= len(numbers)):
        raise pickle.UnpicklingError("a tensor is longer than its storage: the file is incomplete")
    if size > len(numbers):
        raise pickle.UnpicklingError("a tensor has more numbers than its storage")
    view = np.lib.stride_tricks.as_strided(
        numbers[tensor.offset :] if size else numbers[:0],
        shape,
        [step * kind.itemsize for step in strides],
        writeable=False,
    )
    return np.ascontiguousarray(view)
