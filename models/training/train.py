"""Training one replicate: a spec and arrays in, figures and a saved network out."""

import dataclasses
import json
import math
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.errors import SpecError
from models.networks.build_network import build_from
from models.spec import ReplicateSpec, TrainingSpec
from models.training.backend import device_name, load_keras, make_deterministic, precision_of
from models.training.engine import EngineJob, is_out_of_memory
from models.training.engine_choice import cheapest_network, engine_of

OnEpoch = Callable[[dict[str, Any]], None]


class Arrays(Protocol):
    """The images that training needs; `models.images.arrays.ImageArrays` is one.

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
    micro_batch : images whose gradients were in memory at once; below the batch size where an
        accelerator had no room for it.
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

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, without the predictions."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {k: v for k, v in fields.items() if not k.endswith("_probability")}


def fit_replicate(
    spec: ReplicateSpec,
    arrays: Arrays,
    *,
    on_epoch: OnEpoch | None = None,
    on_trained: Callable[[], None] | None = None,
    weights_to: Path | None = None,
) -> ReplicateResult:
    """Train one replicate.

    Where an accelerator has no memory for a batch, the replicate begins again with half as many
    images at once, and the batch's gradients are the mean of its parts': the same steps otherwise.

    Parameters
    ----------
    spec : network, training and seed.
    arrays : the images and their sides.
    on_epoch : told each epoch's figures as it ends.
    on_trained : called when all is computed, and only the network is still to be written.
    weights_to : where the network goes, in Keras's native format.

    Raises
    ------
    BuilderError
        If the network cannot be built, or does not answer logits.
    """
    keras = load_keras()
    precision = precision_of(spec.training.precision)
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    if spec.training.deterministic:
        make_deterministic()
    batch = min(spec.training.batch_size, len(arrays.side("training")))
    for micro_batch in micro_batches(batch):
        course = _Course(spec, arrays, batch, micro_batch, on_epoch)
        try:
            course.run()
        except Exception as error:
            if micro_batch == 1 or not is_out_of_memory(error):
                raise
        else:
            break
    result = course.result(precision)
    if on_trained is not None:
        on_trained()
    if weights_to is not None and not course.reason:
        course.network.save(weights_to)
    return result


def micro_batches(batch: int) -> list[int]:
    """Return how many images at once are tried: the batch, and then the divisors up to each half.

    Gradients of equal parts have the batch's as their mean.
    """
    tried = [batch]
    while tried[-1] > 1:
        half = tried[-1] // 2
        tried.append(next(size for size in range(half, 0, -1) if batch % size == 0))
    return tried


class _Course:
    """One course of training, from fresh weights to the last epoch."""

    def __init__(
        self,
        spec: ReplicateSpec,
        arrays: Arrays,
        batch: int,
        micro_batch: int,
        on_epoch: OnEpoch | None,
    ) -> None:
        self.spec, self.arrays, self.batch, self.micro_batch = spec, arrays, batch, micro_batch
        self.on_epoch = on_epoch
        self.history: list[dict[str, Any]] = []
        self.reason = ""
        self.seconds = 0.0
        load_keras().utils.set_random_seed(spec.seed)
        self.network = build_from(spec.model, spec.image_size, len(arrays.classes))
        self.twin = cheapest_network(self.network)
        augment = spec.training.augment
        self.trained = _augmented(self.twin, spec.seed) if augment else self.twin

    def run(self) -> None:
        """Train all epochs, or until a loss is no number."""
        started = time.perf_counter()
        arrays = self.arrays
        optimizer = _optimizer(self.spec.training)
        job = EngineJob(
            self.twin,
            self.trained,
            optimizer,
            arrays.images,
            arrays.labels,
            self.micro_batch,
            self._kind(),
            self.spec.training.deterministic,
        )
        self.engine = engine_of(job)
        shape = len(arrays.side("validation")), len(arrays.classes)
        self.val_logits = np.zeros(shape, dtype=np.float32)
        for epoch in range(self.spec.training.epochs):
            self._epoch(epoch)
            if self.reason:
                break
        self.seconds = time.perf_counter() - started

    def _kind(self) -> str:
        """Return what decides the compiled functions, as text."""
        about = self.spec.to_dict()
        for setting in ("learning_rate", "epochs", "batch_size"):
            del about["training"][setting]
        del about["seed"]
        more = load_keras().config.dtype_policy().name, len(self.arrays.classes), self.micro_batch
        return json.dumps([about, more])

    def _epoch(self, epoch: int) -> None:
        started = time.perf_counter()
        order = self._order(epoch)
        figures = self.engine.train(order)
        trained = time.perf_counter() - started
        if figures.bad_step >= 0:
            self.reason = (
                f"the loss became no number in epoch {epoch + 1}, step {figures.bad_step + 1}"
            )
            return
        rows = self.arrays.side("validation")
        self.val_logits = self.engine.logits(rows)
        loss, accuracy = accuracy_and_loss(self.val_logits, self.arrays.labels[rows])
        row = {
            "epoch": epoch + 1,
            # First, since MLflow's pages show the first metric before any is chosen.
            "val_accuracy": accuracy,
            "train_loss": figures.loss,
            "train_accuracy": figures.accuracy,
            "val_loss": loss,
            "epoch_seconds": time.perf_counter() - started,
            "images_per_second": order.size / trained,
        }
        self.history.append(row)
        if self.on_epoch is not None:
            self.on_epoch(row)

    def _order(self, epoch: int) -> NDArray[np.int32]:
        """Return the rows of each step, (steps, batch).

        Another order each epoch; of a set that is no multiple of the batch others stay away each
        time, so that all steps have one shape.
        """
        rows = self.arrays.side("training")
        drawn = np.random.default_rng([self.spec.seed, epoch]).permutation(rows)
        steps = len(rows) // self.batch
        return drawn[: steps * self.batch].reshape(steps, self.batch).astype(np.int32)

    def result(self, precision: str) -> ReplicateResult:
        """Return what it gave."""
        rates = [row["images_per_second"] for row in self.history]
        keras = load_keras()
        return ReplicateResult(
            status="diverged" if self.reason else "finished",
            reason=self.reason,
            history=self.history,
            val_probability=probability(self.val_logits),
            test_probability=probability(self.engine.logits(self.arrays.side("test"))),
            parameters=int(self.network.count_params()),
            train_seconds=self.seconds,
            images_per_second=float(np.median(rates[1:] or rates or [math.nan])),
            peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            device=device_name(),
            backend=keras.backend.backend(),
            precision=precision,
            deterministic=self.spec.training.deterministic,
            micro_batch=self.micro_batch,
        )


def accuracy_and_loss(
    logits: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[float, float]:
    """Return cross-entropy (nats) and accuracy of answers (n, classes) to labels (n,)."""
    wide = logits.astype(np.float64)
    highest = wide.max(axis=1)
    log_sum = highest + np.log(np.exp(wide - highest[:, None]).sum(axis=1))
    loss = (log_sum - wide[np.arange(len(labels)), labels]).mean()
    return float(loss), float((logits.argmax(axis=1) == labels).mean())


def probability(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the softmax of answers (n, classes)."""
    exponent = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True), dtype=np.float32)


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


def save_result(result: ReplicateResult, folder: Path) -> None:
    """Write ``predictions.npz`` and ``result.json`` into a folder."""
    np.savez(
        folder / "predictions.npz",
        val_probability=result.val_probability,
        test_probability=result.test_probability,
    )
    (folder / "result.json").write_text(json.dumps(result.to_dict()), encoding="utf-8")
