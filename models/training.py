"""Training one replicate: a spec and arrays in, figures and a saved network out."""

import dataclasses
import json
import math
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.backend import load_keras, make_deterministic
from models.cnn import build_from
from models.errors import SpecError
from models.spec import ReplicateSpec, TrainingSpec

OnEpoch = Callable[[dict[str, Any]], None]


class Arrays(Protocol):
    """The images that training needs; `models.images.ImageArrays` is one.

    Attributes
    ----------
    images : uint8 (N, H, W, 3), 0-255.
    labels : int64 (N,) class indices.
    classes : names.
    """

    @property
    def images(self) -> NDArray[np.uint8]: ...  # noqa: D102 # described above
    @property
    def labels(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102
    def side(self, name: str) -> NDArray[np.intp]:
        """Return the rows of a side: training, validation or test."""
        ...


@dataclass(frozen=True)
class ReplicateResult:
    """What training one replicate gave.

    Attributes
    ----------
    status : ``finished``, or ``diverged`` where the loss became NaN or infinite.
    reason : why it diverged, else empty.
    history : a dictionary an epoch: epoch, train_loss, train_accuracy, val_loss, val_accuracy,
        epoch_seconds, images_per_second.
    val_probability, test_probability : float32 (n, classes), rows add up to 1.
    parameters : of the network.
    train_seconds : wall clock of all epochs.
    images_per_second : median over the epochs after the first, which compiles.
    peak_memory_mb : of the process, MiB.
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
    extra: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, without the predictions."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {k: v for k, v in fields.items() if not k.endswith("_probability")}


def bfloat16_is_fast() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX512-BF16 or AMX)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def precision_of(training: TrainingSpec) -> str:
    """Return the precision that ``auto`` means here: ``bfloat16`` or ``float32``."""
    if training.precision != "auto":
        return training.precision
    return "bfloat16" if bfloat16_is_fast() else "float32"


def fit(
    spec: ReplicateSpec,
    arrays: Arrays,
    *,
    on_epoch: OnEpoch | None = None,
    weights_to: Path | None = None,
) -> ReplicateResult:
    """Train one replicate.

    Parameters
    ----------
    spec : network, training and seed.
    arrays : the images and their sides.
    on_epoch : told each epoch's figures as it ends.
    weights_to : where the network goes, in Keras's native format.

    Raises
    ------
    BuilderError
        If the network cannot be built.
    """
    keras = load_keras()
    precision = precision_of(spec.training)
    keras.utils.set_random_seed(spec.seed)
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    if spec.training.deterministic:
        make_deterministic()
    model = build_from(spec.model, spec.image_size, len(arrays.classes))
    trained = _augmented(model, spec.seed) if spec.training.augment else model
    trained.compile(
        optimizer=_optimizer(spec.training),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    recorder = _recorder(len(arrays.side("training")), on_epoch)
    started = time.perf_counter()
    x, y = _side(arrays, "training")
    val = _side(arrays, "validation")
    trained.fit(
        x,
        y,
        batch_size=spec.training.batch_size,
        epochs=spec.training.epochs,
        validation_data=val,
        validation_batch_size=256,
        callbacks=[recorder],
        verbose=0,
    )
    seconds = time.perf_counter() - started
    if weights_to is not None and not recorder.reason:
        model.save(weights_to)
    rates = [row["images_per_second"] for row in recorder.history]
    return ReplicateResult(
        status="diverged" if recorder.reason else "finished",
        reason=recorder.reason,
        history=recorder.history,
        val_probability=_probability(model, val[0]),
        test_probability=_probability(model, _side(arrays, "test")[0]),
        parameters=int(model.count_params()),
        train_seconds=seconds,
        images_per_second=float(np.median(rates[1:] or rates or [math.nan])),
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        device="cpu",
        backend=keras.backend.backend(),
        precision=precision,
        deterministic=spec.training.deterministic,
    )


def _side(arrays: Arrays, name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    rows = arrays.side(name)
    return arrays.images[rows], arrays.labels[rows]


def _optimizer(training: TrainingSpec) -> Any:
    import keras

    match training.optimizer:
        case "sgd":
            return keras.optimizers.SGD(training.learning_rate, momentum=0.9)
        case "rmsprop":
            return keras.optimizers.RMSprop(training.learning_rate)
        case "adam":
            return keras.optimizers.Adam(training.learning_rate)
    raise SpecError(f"optimizer {training.optimizer!r}: not adam, sgd or rmsprop")


def _augmented(model: Any, seed: int) -> Any:
    """Return a network to train in place of this one: it sees each picture changed a little.

    Flips, shifts by up to a tenth and zooms by up to a tenth, inside the compiled step; the two
    share their weights, and what is saved is the one without.
    """
    import keras

    layers = keras.layers
    inputs = keras.Input(model.input_shape[1:])
    x = layers.RandomFlip("horizontal", seed=seed)(inputs)
    x = layers.RandomTranslation(0.1, 0.1, seed=seed + 1)(x)
    x = layers.RandomZoom(0.1, seed=seed + 2)(x)
    return keras.Model(inputs, model(x))


def _probability(model: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    logits = np.asarray(model.predict(images, batch_size=256, verbose=0), dtype=np.float64)
    exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True), dtype=np.float32)


def _recorder(images: int, on_epoch: OnEpoch | None) -> Any:
    import keras

    class Recorder(keras.callbacks.Callback):  # type: ignore[misc] # Keras ships no types
        """Keeps each epoch's figures, and stops where the loss is no number."""

        def __init__(self) -> None:
            super().__init__()
            self.history: list[dict[str, Any]] = []
            self.reason = ""
            self.started = time.perf_counter()

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002 # Keras calls it so
            self.epoch, self.started = epoch, time.perf_counter()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if logs and not math.isfinite(logs.get("loss", 0.0)):
                self.reason = (
                    f"the loss became {logs['loss']} in epoch {self.epoch + 1}, step {batch + 1}"
                )
                self.model.stop_training = True

        def on_test_begin(self, logs: Any = None) -> None:  # noqa: ARG002 # likewise
            self.seconds = time.perf_counter() - self.started

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if self.reason:
                return
            row = {
                "epoch": epoch + 1,
                # First, since MLflow's pages show the first metric before any is chosen.
                "val_accuracy": float(logs["val_accuracy"]),
                "train_loss": float(logs["loss"]),
                "train_accuracy": float(logs["accuracy"]),
                "val_loss": float(logs["val_loss"]),
                "epoch_seconds": time.perf_counter() - self.started,
                "images_per_second": images / self.seconds,
            }
            self.history.append(row)
            if on_epoch is not None:
                on_epoch(row)

    return Recorder()


def save_result(result: ReplicateResult, folder: Path) -> None:
    """Write ``predictions.npz`` and ``result.json`` into a folder."""
    np.savez(
        folder / "predictions.npz",
        val_probability=result.val_probability,
        test_probability=result.test_probability,
    )
    (folder / "result.json").write_text(json.dumps(result.to_dict()), encoding="utf-8")
