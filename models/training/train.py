"""Training one replicate: a spec and image arrays go in, a result and a saved network come out."""

import json
import math
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.errors import CheckpointError
from models.networks.average_flip import with_average_flip
from models.networks.build_network import build_from
from models.networks.multiply_adds import count_multiply_adds
from models.spec import ReplicateSpec, is_frozen
from models.training.backbone_rate import with_backbone_rate
from models.training.backend import (
    cpu_threads,
    device_name,
    load_keras,
    make_deterministic,
    resolve_precision,
)
from models.training.checkpoint import (
    Checkpoint,
    Conditions,
    check_continues,
    load_checkpoint,
    restore_state,
    save_checkpoint,
    training_state,
)
from models.training.engine import Engine, EngineJob, is_out_of_memory
from models.training.engine_choice import cheapest_network, engine_of, prediction_engine
from models.training.features import OnFeatures, learner_and_inputs
from models.training.metrics import metrics_of
from models.training.optimizers import optimizer_for
from models.training.result import ReplicateResult, probability
from models.training.schedule import epoch_rates
from models.training.targets import target_table

#: Images by which the seconds of a network are measured if only its last blocks were trained.
TIMED_IMAGES = 128
OnEpoch = Callable[[dict[str, Any]], None]
#: From a network and the images to the network that is trained, and its inputs.
InputsOf = Callable[[Any, "Arrays"], tuple[Any, NDArray[Any]]]


class Arrays(Protocol):
    """The images that training needs; `models.images.arrays.ImageArrays` is one implementation.

    Attributes
    ----------
    images : uint8 (N, H, W, 3), 0-255.
    labels : int64 (N,) class indices.
    classes : the names of the classes.
    version : the dataset version.
    """

    @property
    def images(self) -> NDArray[np.uint8]: ...  # noqa: D102 # described above
    @property
    def labels(self) -> NDArray[np.int64]: ...  # noqa: D102 # described above
    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102 # described above
    @property
    def version(self) -> str: ...  # noqa: D102 # described above
    def side(self, name: str) -> NDArray[np.intp]:
        """Return the rows of one part of the split: training, validation or test."""
        ...


def fit_replicate(
    spec: ReplicateSpec,
    arrays: Arrays,
    *,
    on_epoch: OnEpoch | None = None,
    on_trained: Callable[[], None] | None = None,
    weights_to: Path | None = None,
    checkpoint_to: Path | None = None,
    continue_from: Path | None = None,
    arrays_folder: Path | None = None,
    on_features: OnFeatures | None = None,
) -> ReplicateResult:
    """Train one replicate.

    If an accelerator does not have enough memory for a batch, the training starts again with half
    as many images in memory at once. The gradients of a batch are then the mean of the gradients of
    its parts, so that the steps are otherwise the same.

    Parameters
    ----------
    spec : network, training settings and seed.
    arrays : the images and their split.
    on_epoch : called with the figures of each epoch when it ends.
    on_trained : called when everything is computed and only the network must still be written.
    weights_to : the file for the network, in Keras's native format.
    checkpoint_to : the file for the state at the end, from which a longer training continues.
    continue_from : the checkpoint of a shorter training of the same replicate. The training
        continues after its last epoch, and reports the figures of its epochs first. If that cannot
        give what an uninterrupted training gives, it starts from the beginning, and the result has
        the reason.
    arrays_folder : the cache of the images; what a frozen backbone, or its frozen blocks, make of
        them is kept beside it.
    on_features : called while features are computed.

    Raises
    ------
    BuilderError
        If the network cannot be built, or does not return logits.
    ArraysError
        If features cannot be written.
    """
    keras = load_keras()
    precision = resolve_precision(spec.training.precision)
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    if spec.training.deterministic:
        make_deterministic()
    backend = keras.backend.backend()
    conditions = Conditions(arrays.version, backend, precision, device_name(), cpu_threads())
    start, not_continued = _load_start(continue_from, spec, conditions)
    inputs = partial(learner_and_inputs, spec, folder=arrays_folder, on_features=on_features)
    attempt = _train(spec, arrays, on_epoch, start, not_continued, inputs)
    # Before the weights of the last step are replaced by averaged ones, or by those of another
    # epoch.
    checkpoint = attempt.checkpoint(conditions) if checkpoint_to is not None else None
    attempt.set_final_weights()
    result = attempt.result(conditions)
    if on_trained is not None:
        on_trained()
    if not attempt.divergence:
        if weights_to is not None:
            attempt.network.save(weights_to)
        if checkpoint is not None and checkpoint_to is not None:
            save_checkpoint(checkpoint, checkpoint_to)
    return result


def _load_start(
    file: Path | None, spec: ReplicateSpec, conditions: Conditions
) -> tuple[Checkpoint | None, str]:
    """Return the checkpoint to continue from, or None and why there is none to continue from."""
    if file is None:
        return None, ""
    try:
        checkpoint = load_checkpoint(file)
        check_continues(checkpoint, spec, conditions)
    except CheckpointError as error:
        return None, str(error)
    return checkpoint, ""


def _train(
    spec: ReplicateSpec,
    arrays: Arrays,
    on_epoch: OnEpoch | None,
    start: Checkpoint | None,
    not_continued: str,
    inputs: InputsOf,
) -> "_TrainingAttempt":
    """Train with as many images in memory at once as there is memory for."""
    batch = min(spec.training.batch_size, len(arrays.side("training")))
    largest = batch if start is None else start.micro_batch
    for micro_batch in [size for size in micro_batches(batch) if size <= largest]:
        attempt = _TrainingAttempt(spec, arrays, batch, micro_batch, on_epoch, inputs)
        attempt.not_continued = not_continued
        try:
            attempt.run(start)
        except Exception as error:
            if micro_batch == 1 or not is_out_of_memory(error):
                raise
        else:
            break
        if start is not None:
            # An uninterrupted training would train all of its epochs with the smaller parts.
            start = None
            not_continued = f"there was not enough memory for {micro_batch} images at once"
    return attempt


def micro_batches(batch: int) -> list[int]:
    """Return the numbers of images to try in memory at once, the largest first.

    The first is the whole batch; each next one is the largest divisor of the batch that is at most
    half of the previous one. Only divisors give equal parts, and only for equal parts is the mean
    of the parts' gradients the gradient of the batch.
    """
    sizes = [batch]
    while sizes[-1] > 1:
        half = sizes[-1] // 2
        sizes.append(next(size for size in range(half, 0, -1) if batch % size == 0))
    return sizes


class _TrainingAttempt:
    """One attempt to train a replicate, from fresh weights to the last epoch.

    Attributes
    ----------
    network : the network that is saved.
    divergence : where the loss became NaN or infinite, as text; empty if it did not.
    not_continued : why it started from the beginning though a checkpoint was given, as text.
    best : with ``keep = "best"``, the weights of the best epoch so far; empty before it.
    """

    def __init__(
        self,
        spec: ReplicateSpec,
        arrays: Arrays,
        batch: int,
        micro_batch: int,
        on_epoch: OnEpoch | None,
        inputs: InputsOf,
    ) -> None:
        self.spec, self.arrays, self.batch, self.micro_batch = spec, arrays, batch, micro_batch
        self.on_epoch = on_epoch
        self.history: list[dict[str, Any]] = []
        self.divergence = self.not_continued = ""
        self.seconds = self.continued_seconds = 0.0
        self.continued_epochs = 0
        self.best: list[NDArray[Any]] = []
        self.seconds_per_image = math.inf
        load_keras().utils.set_random_seed(spec.seed)
        self.network = build_from(spec.model, spec.image_size, len(arrays.classes))
        # The network and the images; or what is trained of a pretrained one, and features or maps.
        learner, self.inputs = inputs(self.network, arrays)
        self.sees_images = learner is self.network
        # Shares the weights of the network, and costs less to train on some backends.
        self.twin = cheapest_network(learner, deterministic=spec.training.deterministic)
        from models.training.augmentation import mixes, with_augmentation

        self.trained = with_augmentation(self.twin, spec.training, spec.seed)
        labels = arrays.labels[arrays.side("training")]
        self.targets = target_table(
            spec.training, labels, len(arrays.classes), mixed=mixes(spec.training)
        )
        self.mixes = mixes(spec.training)
        self.evaluated, self.built = self.twin, self.network
        if spec.training.average_flip:
            self.network = with_average_flip(self.network)
            self.evaluated = with_average_flip(self.twin)

    def run(self, start: Checkpoint | None) -> None:
        """Train all epochs after the checkpoint, or until the loss is NaN or infinite."""
        started = time.perf_counter()
        arrays = self.arrays
        self.job = EngineJob(
            self.evaluated,
            self.trained,
            with_backbone_rate(
                optimizer_for(self.spec.training, self.trained.trainable_variables),
                self.spec.model,
                self.built,
                self.trained,
            ),
            self.inputs,
            arrays.labels,
            self.micro_batch,
            self._compilation_key(),
            self.spec.training.deterministic,
            self.targets,
            self.mixes,
        )
        self.engine = engine_of(self.job)
        if start is not None:
            self._continue_from(start)
        shape = len(arrays.side("validation")), len(arrays.classes)
        self.val_logits = np.zeros(shape, dtype=np.float32)
        for epoch in range(self.continued_epochs, self.spec.training.epochs):
            self._train_epoch(epoch)
            if self.divergence:
                break
        self.seconds = self.continued_seconds + time.perf_counter() - started

    def _continue_from(self, start: Checkpoint) -> None:
        """Set the state of the training to a checkpoint, and report the epochs before it."""
        try:
            self.best = restore_state(self.job, start.state, keeps_best=self._keeps_best)
        except CheckpointError as error:
            self.not_continued = str(error)
            return
        self.continued_epochs, self.continued_seconds = len(start.history), start.seconds
        for row in start.history:
            self._report(row)
        self.best_figures = {
            name: value for name, value in start.history[-1].items() if name.startswith("val_")
        }

    def _compilation_key(self) -> str:
        """Return as text everything that the compiled functions depend on."""
        settings = self.spec.to_dict()
        # These are arguments of the compiled functions, or do not reach them.
        for name in ("learning_rate", "epochs", "batch_size", "schedule", "warmup", "keep"):
            del settings["training"][name]
        for name in ("label_smoothing", "class_weight"):
            del settings["training"][name]
        del settings["seed"]
        policy = load_keras().config.dtype_policy().name
        facts = (policy, len(self.arrays.classes), self.micro_batch, self.targets is not None)
        return json.dumps([settings, facts, self.sees_images])

    def _train_epoch(self, epoch: int) -> None:
        started = time.perf_counter()
        batches = self._batches(epoch)
        rates = epoch_rates(self.spec.training, len(batches), epoch)
        figures = self.engine.train(batches) if rates is None else self.engine.train(batches, rates)
        train_seconds = time.perf_counter() - started
        if figures.bad_step >= 0:
            self.divergence = (
                f"the loss became NaN or infinite in epoch {epoch + 1}, step {figures.bad_step + 1}"
            )
            return
        rows = self.arrays.side("validation")
        with self._averaged_weights():
            self.val_logits = self._timed_logits(rows)
            measured = validation_figures(self.val_logits, self.arrays.labels[rows])
            of_epoch = self._keep_if_best(measured) if self._keeps_best else {}
        if of_epoch:
            measured = self.best_figures
        row = {
            "epoch": epoch + 1,
            # First, because MLflow's pages show the first metric until the user selects another.
            "val_accuracy": measured["val_accuracy"],
            "train_loss": figures.loss,
            "train_accuracy": figures.accuracy,
            "val_loss": measured["val_loss"],
            "epoch_seconds": time.perf_counter() - started,
            "images_per_second": batches.size / train_seconds,
            **{name: x for name, x in measured.items() if name not in {"val_accuracy", "val_loss"}},
            **of_epoch,
        }
        self._report(row)

    @property
    def _keeps_best(self) -> bool:
        return self.spec.training.keep == "best"

    def _keep_if_best(self, measured: dict[str, float]) -> dict[str, float]:
        """Keep the weights if no epoch before had this validation accuracy; return the figures."""
        if not self.history or measured["val_accuracy"] > self.best_figures["val_accuracy"]:
            self.best = self.job.network.get_weights()
            self.best_figures = measured
        return {f"epoch_{name}": measured[name] for name in ("val_accuracy", "val_loss")}

    def _timed_logits(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the logits of images, and keep the least seconds that one of them took."""
        logits, seconds = timed_logits(self.engine, rows)
        self.seconds_per_image = min(seconds, self.seconds_per_image)
        return logits

    @contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        """Give the network the moving averages of its weights while the block runs."""
        if not self.spec.training.ema:
            yield
            return
        variables = self.trained.trainable_variables
        ops = load_keras().ops
        last = [np.array(ops.convert_to_numpy(variable)) for variable in variables]
        self.job.optimizer.finalize_variable_values(variables)
        try:
            yield
        finally:
            for variable, value in zip(variables, last, strict=True):
                variable.assign(value)

    def set_final_weights(self) -> None:
        """Give the network the weights that are kept: averaged ones, or those of the best epoch."""
        if self.divergence:
            return
        if self._keeps_best:
            self.job.network.set_weights(self.best)
            self.val_logits = self.engine.logits(self.arrays.side("validation"))
        elif self.spec.training.ema:
            self.job.optimizer.finalize_variable_values(self.trained.trainable_variables)

    @property
    def _kept_epoch(self) -> int:
        """The number of the epoch whose weights the network has."""
        if not self._keeps_best:
            return len(self.history)
        return 1 + int(np.argmax([row["epoch_val_accuracy"] for row in self.history] or [0]))

    def _report(self, row: dict[str, Any]) -> None:
        self.history.append(row)
        if self.on_epoch is not None:
            self.on_epoch(row)

    def _batches(self, epoch: int) -> NDArray[np.int32]:
        """Return the rows of each step of an epoch, (steps, batch), in a different order per epoch.

        All steps have the same shape. If the number of images is not a multiple of the batch size,
        different images are left out in each epoch.
        """
        rows = self.arrays.side("training")
        shuffled = np.random.default_rng([self.spec.seed, epoch]).permutation(rows)
        steps = len(rows) // self.batch
        return shuffled[: steps * self.batch].reshape(steps, self.batch).astype(np.int32)

    def checkpoint(self, conditions: Conditions) -> Checkpoint:
        """Return the state of the training after its last epoch."""
        return Checkpoint(
            self.spec,
            conditions,
            self.micro_batch,
            self.seconds,
            self.history,
            [*training_state(self.job), *self.best],
        )

    def result(self, conditions: Conditions) -> ReplicateResult:
        """Return the result of the attempt."""
        rates = [row["images_per_second"] for row in self.history]
        multiply_adds = count_multiply_adds(self.network)
        test_logits = self._timed_logits(self.arrays.side("test"))
        return ReplicateResult(
            status="diverged" if self.divergence else "finished",
            reason=self.divergence,
            history=self.history,
            val_probability=probability(self.val_logits),
            test_probability=probability(test_logits),
            parameters=int(self.network.count_params()),
            train_seconds=self.seconds,
            images_per_second=float(np.median(rates[1:] or rates or [math.nan])),
            peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            device=conditions.device,
            backend=conditions.backend,
            precision=conditions.precision,
            deterministic=self.spec.training.deterministic,
            micro_batch=self.micro_batch,
            continued_epochs=self.continued_epochs,
            continued_seconds=self.continued_seconds,
            not_continued=self.not_continued,
            multiply_adds=multiply_adds.total,
            not_counted=multiply_adds.not_counted,
            kept_epoch=self._kept_epoch,
            seconds_per_image=self._seconds_of_network(),
        )

    def _seconds_of_network(self) -> float | None:
        """Return the seconds that the whole network takes for an image.

        They are not measured with a frozen backbone, whose head takes about none of them.
        """
        if is_frozen(self.spec.model):
            return None
        if self.sees_images:
            return self.seconds_per_image
        images = self.arrays.images[self.arrays.side("test")[:TIMED_IMAGES]]
        engine = prediction_engine(cheapest_network(self.network), images)
        rows = np.arange(len(images))
        engine.logits(rows)  # it is compiled now
        return timed_logits(engine, rows)[1]


def timed_logits(engine: Engine, rows: NDArray[np.intp]) -> tuple[NDArray[np.float32], float]:
    """Return the logits of images, and the seconds that one of them took."""
    started = time.perf_counter()
    logits = engine.logits(rows)
    return logits, (time.perf_counter() - started) / len(rows)


def validation_figures(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    """Return ``val_loss``, the mean cross-entropy (nats) of logits, and `metrics_of` them."""
    loss, accuracy = loss_and_accuracy(logits, labels)
    others = metrics_of(probability(logits), labels, "val_")
    # Of equal probabilities, rounding may change the order of two classes.
    return {**others, "val_loss": loss, "val_accuracy": accuracy}


def loss_and_accuracy(
    logits: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[float, float]:
    """Return mean cross-entropy (nats) and accuracy of logits (n, classes) for labels (n,)."""
    wide = logits.astype(np.float64)
    highest = wide.max(axis=1)
    log_sum = highest + np.log(np.exp(wide - highest[:, None]).sum(axis=1))
    loss = (log_sum - wide[np.arange(len(labels)), labels]).mean()
    return float(loss), float((logits.argmax(axis=1) == labels).mean())
