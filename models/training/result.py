"""The result of training one replicate, in memory and as files."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ReplicateResult:
    """The result of training one replicate.

    Attributes
    ----------
    status : ``finished``, or ``diverged`` if the loss became NaN or infinite.
    reason : why it diverged; empty if it finished.
    history : one dictionary per epoch: epoch, train_loss, train_accuracy, val_loss, val_accuracy,
        epoch_seconds, images_per_second, and the other figures of `models.training.metrics`. If the
        best epoch is kept, val_loss, val_accuracy and these are those of the best epoch so far, and
        epoch_val_loss and epoch_val_accuracy those of each one. Epochs of versions before 0.3 have
        only val_loss and val_accuracy.
    val_probability, test_probability : float32 (n, classes); each row adds up to 1.
    parameters : number of parameters of the network.
    train_seconds : wall clock time of all epochs in the history.
    images_per_second : median over the epochs after the first one, which includes compilation.
    peak_memory_mb : peak memory of the process, MiB.
    device : ``cpu``, or the name of the GPU.
    backend : the Keras backend: ``tensorflow`` or ``jax``.
    precision : ``bfloat16`` or ``float32``.
    deterministic : whether equal seeds give bit-equal weights.
    micro_batch : the number of images whose gradients were in memory at once; less than the batch
        size if an accelerator did not have enough memory for the whole batch.
    continued_epochs : the first epochs of the history that another training trained, from whose
        checkpoint this one continued; 0 if it started from the beginning.
    continued_seconds : the part of `train_seconds` of those epochs.
    not_continued : why it did not continue from the checkpoint that was given; empty if it did, or
        if none was given.
    multiply_adds : of the forward pass of one image, in the layers that can be counted; see
        `models.networks.multiply_adds`. None in results of versions before 0.3.
    not_counted : the layers that cannot be counted; empty if `multiply_adds` is of all layers.
    kept_epoch : the epoch whose weights the network has. If it was chosen by validation accuracy,
        that accuracy is a little too high for new images. 0 in results of versions before 0.3.
    seconds_per_image : the least seconds that one image of a batch took to predict, on `device`;
        None if it is not known: for the head of a frozen backbone, and in results of versions
        before 0.3.
    """

    status: str
    reason: str
    history: list[dict[str, Any]]
    val_probability: NDArray[np.float32]
    test_probability: NDArray[np.float32]
    parameters: int
    train_seconds: float
    images_per_second: float
    peak_memory_mb: float
    device: str
    backend: str
    precision: str
    deterministic: bool
    micro_batch: int
    continued_epochs: int = 0
    continued_seconds: float = 0.0
    not_continued: str = ""
    multiply_adds: int | None = None
    not_counted: tuple[str, ...] = ()
    kept_epoch: int = 0
    seconds_per_image: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, without the predictions."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {k: v for k, v in fields.items() if not k.endswith("_probability")}


def save_result(result: ReplicateResult, folder: Path) -> None:
    """Write ``predictions.npz`` and ``result.json`` into a folder."""
    np.savez(
        folder / "predictions.npz",
        val_probability=result.val_probability,
        test_probability=result.test_probability,
    )
    (folder / "result.json").write_text(json.dumps(result.to_dict()), encoding="utf-8")


def load_result(folder: Path) -> ReplicateResult:
    """Read what `save_result` wrote."""
    content = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    with np.load(folder / "predictions.npz") as saved:
        return ReplicateResult(**content, **{name: saved[name] for name in saved.files})


def probability(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the softmax of logits (n, classes)."""
    exponent = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True), dtype=np.float32)
