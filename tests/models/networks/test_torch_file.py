"""PyTorch's files are read for their arrays, and nothing in them is executed."""

import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.torch_files import Storage, Tensor, write_torch

from models.errors import BuilderError
from models.networks.torch_file import read_torch_arrays

ARRAYS = {
    "a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "a.bias": np.array([1.5], dtype=np.float32),
}


class Call:
    """An object whose pickle calls a function when it is read."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


@pytest.mark.parametrize("legacy", [False, True])
def test_the_arrays_of_a_state_dict_are_read(tmp_path: Path, *, legacy: bool) -> None:
    found = read_torch_arrays(write_torch(tmp_path / "x.pth", ARRAYS, legacy=legacy))
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == np.float32


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("function", [os.system, eval, subprocess.getoutput, open])
def test_a_pickle_that_calls_a_function_is_refused_and_calls_nothing(
    tmp_path: Path, function: Any, *, legacy: bool
) -> None:
    mark = tmp_path / "called"
    code = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    arguments = {eval: (code,), open: (str(mark), "w")}.get(function, (f"touch {mark}",))
    file = write_torch(tmp_path / "x.pth", ARRAYS, legacy=legacy, evil=Call(function, *arguments))
    with pytest.raises(BuilderError, match=r"which is not an array.*state_dict"):
        read_torch_arrays(file)
    assert not mark.exists()


@pytest.mark.parametrize("shape", [(25,), (2, 13), (10**6, 10**6)])
def test_a_tensor_that_is_longer_than_its_storage_is_refused(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    longer = Tensor(Storage("0", 24), shape, (1,) * len(shape))
    file = write_torch(tmp_path / "x.pth", ARRAYS, longer=longer)
    with pytest.raises(BuilderError, match=r"longer than its storage|more numbers"):
        read_torch_arrays(file)


def test_a_tensor_that_repeats_one_number_without_end_is_refused(tmp_path: Path) -> None:
    repeated = Tensor(Storage("0", 24), (10**9,), (0,))
    file = write_torch(tmp_path / "x.pth", ARRAYS, repeated=repeated)
    with pytest.raises(BuilderError, match="more numbers than its storage"):
        read_torch_arrays(file)


@pytest.mark.parametrize("length", [0, 1, 40, 200, 500])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_that_was_cut_off_is_one_line(tmp_path: Path, length: int, *, legacy: bool) -> None:
    file = write_torch(tmp_path / "x.pth", ARRAYS, legacy=legacy)
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(BuilderError, match=r"x\.pth: no PyTorch state dict") as caught:
        read_torch_arrays(file)
    assert "\n" not in str(caught.value)


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    file = write_torch(tmp_path / "x.pth", ARRAYS)
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(tmp_path / "y.pth", "w", 8) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(BuilderError, match="it is compressed"):
        read_torch_arrays(tmp_path / "y.pth")


def test_something_that_is_not_a_dictionary_of_tensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuilderError, match="not a dictionary of tensors"):
        read_torch_arrays(write_torch(tmp_path / "x.pth", ARRAYS, epoch=3))
