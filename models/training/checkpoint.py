"""The state at the end of a training, as a file from which a longer training continues.

The file is an uncompressed npz: arrays of numbers, and facts as JSON text. Reading it executes no
code, so that a checkpoint may come from an MLflow server that others can write to. The order of the
images needs no state: it depends only on the seed and the epoch.
"""

import dataclasses
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import CheckpointError
from models.spec import ReplicateSpec, continues
from models.training.backend import load_keras
from models.training.engine import EngineJob

#: Of the layout of the file; raised by one whenever older files must not be read.
FORMAT = 1


@dataclass(frozen=True)
class Conditions:
    """What determines the weights that a spec trains to, besides the spec.

    Attributes
    ----------
    dataset : the dataset version.
    backend, precision, device : as in `models.training.result.ReplicateResult`.
    threads : of the arithmetic on the CPU; 0 in older checkpoints.
    """

    dataset: str
    backend: str
    precision: str
    device: str
    threads: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """A training at the end of its last epoch.

    Attributes
    ----------
    spec : what was trained; its number of epochs is the number of epochs that ended.
    conditions : under which it was trained.
    micro_batch : the number of images whose gradients were in memory at once.
    seconds : wall clock time of all epochs.
    history : the figures of each epoch, as in `ReplicateResult`.
    state : weights, the state of random layers, the optimizer's variables with the moving averages
        (see `training_state`); and the weights of the best epoch, if that is kept.
    """

    spec: ReplicateSpec
    conditions: Conditions
    micro_batch: int
    seconds: float
    history: list[dict[str, Any]]
    state: list[NDArray[Any]]


def training_state(job: EngineJob) -> list[NDArray[Any]]:
    """Return everything that a training changes, in an order that equal networks share."""
    ops = load_keras().ops
    return [np.array(ops.convert_to_numpy(variable)) for variable in _variables(job)]


def restore_state(
    job: EngineJob, state: list[NDArray[Any]], *, keeps_best: bool = False
) -> list[NDArray[Any]]:
    """Set everything that a training changes; the engine of the job must exist already.

    Parameters
    ----------
    keeps_best : whether the weights of the best epoch follow in the state.

    Returns
    -------
    The weights of the best epoch; none if they do not follow.

    Raises
    ------
    CheckpointError
        If the arrays are not those of this network and optimizer; nothing is changed then.
    """
    variables = _variables(job)
    kept = job.network.weights if keeps_best else []
    types = [(variable.shape, np.dtype(variable.dtype)) for variable in [*variables, *kept]]
    if [(tuple(shape), kind.itemsize) for shape, kind in types] != [
        (array.shape, array.dtype.itemsize) for array in state
    ]:
        raise CheckpointError("it has the state of another network")
    # A file has the bytes of bfloat16 without the name of that type.
    arrays = [array.view(kind) for array, (_, kind) in zip(state, types, strict=True)]
    for variable, array in zip(variables, arrays, strict=False):
        variable.assign(array)
    return arrays[len(variables) :]


def _variables(job: EngineJob) -> list[Any]:
    trained = job.trained
    # The seeds of dropout and augmentation are among those that are not trainable.
    layers = [*trained.trainable_variables, *trained.non_trainable_variables]
    return [*layers, *job.optimizer.variables]


def save_checkpoint(checkpoint: Checkpoint, file: Path) -> None:
    """Write a checkpoint, whole or not at all."""
    facts = {
        "format": FORMAT,
        "spec": checkpoint.spec.to_dict(),
        "conditions": dataclasses.asdict(checkpoint.conditions),
        "micro_batch": checkpoint.micro_batch,
        "seconds": checkpoint.seconds,
        "history": checkpoint.history,
    }
    text = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
    partial = file.with_name(f".{file.name}.new")
    try:
        with partial.open("wb") as opened:
            np.savez(opened, text, *checkpoint.state)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(file: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, or of another version of FactorGrid.
    """
    try:
        return _load(file)
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError("it is missing") from error
    except Exception as error:  # a damaged file can raise anything in zipfile, NumPy and JSON
        reason = f"it is damaged ({type(error).__name__}: {error})"
        raise CheckpointError(reason.splitlines()[0]) from error


def _load(file: Path) -> Checkpoint:
    with zipfile.ZipFile(file) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise CheckpointError("it is damaged (it is compressed)")  # and may be huge in memory
    with np.load(file, allow_pickle=False) as saved:
        # Each array is compared with its checksum when it is read.
        text, *state = [saved[f"arr_{number}"] for number in range(len(saved.files))]
    facts: dict[str, Any] = json.loads(text.tobytes())
    if facts["format"] != FORMAT:
        raise CheckpointError("another version of FactorGrid wrote it")
    checkpoint = Checkpoint(
        ReplicateSpec.from_dict(facts["spec"]),
        Conditions(**facts["conditions"]),
        int(facts["micro_batch"]),
        float(facts["seconds"]),
        [{str(name): _as_number(value) for name, value in row.items()} for row in facts["history"]],
        state,
    )
    if checkpoint.micro_batch < 1:
        raise CheckpointError("it is damaged (it was trained with no image at once)")
    epochs = [row["epoch"] for row in checkpoint.history]
    if epochs != list(range(1, checkpoint.spec.training.epochs + 1)):
        raise CheckpointError("it is damaged (not all of its epochs have figures)")
    return checkpoint


def _as_number(value: object) -> int | float:
    """Return a number as it is.

    Raises
    ------
    TypeError
        If it is not a number.
    """
    if isinstance(value, int | float):
        return value
    raise TypeError(f"{value!r} is not a number")


def check_continues(checkpoint: Checkpoint, spec: ReplicateSpec, now: Conditions) -> None:
    """Check that a training can continue from a checkpoint as if it had never been interrupted.

    Parameters
    ----------
    spec, now : the longer training, and its conditions.

    Raises
    ------
    CheckpointError
        If it cannot. The message says why.
    """
    then = checkpoint.conditions
    if not continues(checkpoint.spec, spec) or then.dataset != now.dataset:
        raise CheckpointError("it is not of the beginning of this training")
    names = ["backend", "precision"]
    if spec.training.deterministic:  # equal bit by bit only on one device, with as many threads
        names.append("device")
        if then.threads:
            names.append("threads")
    for name in names:
        if getattr(then, name) != getattr(now, name):
            before, after = getattr(then, name), getattr(now, name)
            raise CheckpointError(f"it was trained with {name} {before}, and this one is {after}")
