"""Checkpoints as files; trainings that continue from them are in `test_continued_training`."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.errors import CheckpointError
from models.spec import ModelSpec, ReplicateSpec, TrainingSpec
from models.training.checkpoint import (
    Checkpoint,
    Conditions,
    check_continues,
    load_checkpoint,
    save_checkpoint,
)

CONDITIONS = Conditions("v1", "tensorflow", "float32", "cpu")
SPEC = ReplicateSpec(ModelSpec(settings={"filters": 4}), TrainingSpec(epochs=2), 16, 1)
LONGER = SPEC.with_levels({"epochs": 5})
CHECKPOINT = Checkpoint(
    SPEC,
    CONDITIONS,
    32,
    1.5,
    [{"epoch": 1, "val_accuracy": 1 / 3}, {"epoch": 2, "val_accuracy": 0.1 + 0.2}],
    [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(7, dtype=np.int64)],
)


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.npz"
    save_checkpoint(CHECKPOINT, file)
    found = load_checkpoint(file)
    assert replace(found, state=[]) == replace(CHECKPOINT, state=[])
    assert [array.tolist() for array in found.state] == [[[0, 1, 2], [3, 4, 5]], 7]
    assert [array.dtype for array in found.state] == [np.float32, np.int64]
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"]


def test_a_checkpoint_that_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    unwritable = replace(CHECKPOINT, history=[{"epoch": object()}])
    with pytest.raises(TypeError):
        save_checkpoint(unwritable, tmp_path / "checkpoint.npz")
    state: list[Any] = [_FullDisk()]
    full = replace(CHECKPOINT, state=state)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(full, tmp_path / "checkpoint.npz")
    assert list(tmp_path.iterdir()) == []


class _FullDisk:
    """An array that no disk has the space for."""

    def __array__(self, *_: object, **__: object) -> Any:
        raise OSError(28, "No space left on device")


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-200])


def _flip_a_byte_of_an_array(file: Path) -> None:
    content = bytearray(file.read_bytes())
    at = content.index(CHECKPOINT.state[0].tobytes())
    content[at] ^= 0xFF
    file.write_bytes(content)


def _compress(file: Path) -> None:
    with np.load(file) as saved:
        arrays = [saved[name] for name in saved.files]
    np.savez_compressed(file, *arrays)


def _with_an_object(file: Path) -> None:
    with np.load(file) as saved:
        facts = saved["arr_0"]
    np.savez(file, facts, np.array([{"any": "object"}], dtype=object), allow_pickle=True)


def _with_facts(**changed: object) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        with np.load(file) as saved:
            facts, *state = [saved[name] for name in saved.files]
        text = json.dumps({**json.loads(facts.tobytes()), **changed})
        np.savez(file, np.frombuffer(text.encode(), np.uint8), *state)

    return change


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (Path.unlink, "it is missing"),
        (_cut, "damaged"),
        (lambda file: file.write_bytes(b""), "damaged"),
        (lambda file: file.write_text("not a checkpoint"), "damaged"),
        (_flip_a_byte_of_an_array, "damaged .*Bad CRC-32"),
        (_compress, "it is compressed"),
        (_with_an_object, "damaged .*allow_pickle=False"),
        (_with_facts(format=99), "another version of FactorGrid"),
        (_with_facts(spec={}), "not the spec of a replicate"),
        (_with_facts(history=[{"epoch": 1}]), "not all of its epochs"),
        (_with_facts(history=[{"epoch": "1"}, {"epoch": 2}]), "is not a number"),
        (_with_facts(conditions={"device": "cpu"}), "damaged"),
        (_with_facts(micro_batch=0), "damaged"),
    ],
)
def test_a_damaged_checkpoint_is_refused_with_the_reason_in_one_line(
    tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    file = tmp_path / "checkpoint.npz"
    save_checkpoint(CHECKPOINT, file)
    damage(file)
    with pytest.raises(CheckpointError, match=reason) as caught:
        load_checkpoint(file)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_has_only_numbers_and_text(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.npz"
    save_checkpoint(CHECKPOINT, file)
    with zipfile.ZipFile(file) as archive:
        assert all(part.compress_type == zipfile.ZIP_STORED for part in archive.infolist())
    with np.load(file, allow_pickle=False) as saved:
        assert all(saved[name].dtype.kind in "uif" for name in saved.files)


def test_a_checkpoint_is_used_only_under_its_own_conditions() -> None:
    check_continues(CHECKPOINT, LONGER, CONDITIONS)
    cases: tuple[tuple[ReplicateSpec, dict[str, Any], str], ...] = (
        (SPEC, {}, "not of the beginning"),
        (replace(LONGER, seed=2), {}, "not of the beginning"),
        (LONGER, {"dataset": "v2"}, "not of the beginning"),
        (LONGER, {"backend": "jax"}, "with backend tensorflow, and this one is jax"),
        (LONGER, {"precision": "bfloat16"}, "with precision float32, and this one is bfloat16"),
    )
    for spec, changed, reason in cases:
        with pytest.raises(CheckpointError, match=reason):
            check_continues(CHECKPOINT, spec, replace(CONDITIONS, **changed))


def test_another_number_of_threads_matters_only_where_results_must_be_equal_bit_by_bit() -> None:
    deterministic = replace(CHECKPOINT, spec=SPEC.with_levels({"deterministic": True}))
    longer = LONGER.with_levels({"deterministic": True})
    one, two = replace(CONDITIONS, threads=1), replace(CONDITIONS, threads=2)
    check_continues(replace(CHECKPOINT, conditions=one), LONGER, two)
    check_continues(deterministic, longer, two)  # an older checkpoint does not say
    check_continues(replace(deterministic, conditions=two), longer, two)
    with pytest.raises(CheckpointError, match="with threads 1, and this one is 2"):
        check_continues(replace(deterministic, conditions=one), longer, two)


def test_another_device_matters_only_where_results_must_be_equal_bit_by_bit() -> None:
    elsewhere = replace(CONDITIONS, device="NVIDIA H100")
    check_continues(CHECKPOINT, LONGER, elsewhere)
    deterministic = replace(CHECKPOINT, spec=SPEC.with_levels({"deterministic": True}))
    with pytest.raises(CheckpointError, match="with device cpu, and this one is NVIDIA H100"):
        check_continues(deterministic, LONGER.with_levels({"deterministic": True}), elsewhere)
