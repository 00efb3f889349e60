"""Files as PyTorch writes them, made without PyTorch."""

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = 0x1950A86A20F9469CFC6C


class FloatStorage:
    """Stands for ``torch.FloatStorage``."""


def _rebuild_tensor_v2(*_: object) -> None:
    """Stand for ``torch._utils._rebuild_tensor_v2``."""


@contextmanager
def _torch() -> Iterator[None]:
    """Let pickle find PyTorch's names while the block runs."""
    modules: dict[str, Any] = {n: types.ModuleType(n) for n in ("torch", "torch._utils")}
    FloatStorage.__module__, _rebuild_tensor_v2.__module__ = modules
    modules["torch"].FloatStorage = FloatStorage
    modules["torch._utils"]._rebuild_tensor_v2 = _rebuild_tensor_v2
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module


class Storage:
    """Numbers that are stored apart from the pickle."""

    def __init__(self, key: str, numbers: int) -> None:
        self.key, self.numbers = key, numbers


class Tensor:
    """A tensor of a storage."""

    def __init__(self, storage: Storage, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.storage, self.shape, self.strides = storage, shape, strides

    def __reduce__(self) -> Any:
        hooks: OrderedDict[str, Any] = OrderedDict()
        return _rebuild_tensor_v2, (self.storage, 0, self.shape, self.strides, False, hooks)


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, Storage):
            return ("storage", FloatStorage, obj.key, "cpu", obj.numbers, None)
        return None


def _pickled(content: Any, protocol: int = 2) -> bytes:
    with _torch():
        stream = io.BytesIO()
        _Pickler(stream, protocol).dump(content)
        return stream.getvalue()


def write_torch(
    file: Path, arrays: Mapping[str, NDArray[np.float32]], *, legacy: bool = False, **more: Any
) -> Path:
    """Write a state dict in the zip format, or in that of PyTorch before 1.6; `more` is added."""
    state: OrderedDict[str, Any] = OrderedDict()
    for number, (name, array) in enumerate(arrays.items()):
        strides = tuple(step // 4 for step in array.strides)
        state[name] = Tensor(Storage(str(number), array.size), array.shape, strides)
    state.update(more)
    contents = [array.tobytes() for array in arrays.values()]
    if legacy:
        sizes = {"short": 2, "int": 4, "long": 4}
        about = {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}
        head = [_pickled(part) for part in (MAGIC, 1001, about, state)]
        keys = _pickled([str(number) for number in range(len(contents))])
        numbers = [(len(content) // 4).to_bytes(8, "little") for content in contents]
        data = [n + content for n, content in zip(numbers, contents, strict=True)]
        file.write_bytes(b"".join([*head, keys, *data]))
        return file
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", _pickled(state))
        archive.writestr("archive/byteorder", "little")
        for number, content in enumerate(contents):
            archive.writestr(f"archive/data/{number}", content)
    return file
