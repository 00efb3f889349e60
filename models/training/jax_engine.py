"""The engine for JAX: one jitted loop per epoch over state that never leaves the device.

On a CPU each step is one jitted call; see `_Program`.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from models.training.engine import EngineJob, EpochFigures, evaluation_batches

#: How many compiled programs a process keeps for later jobs with the same compilation key.
CACHED_PROGRAMS = 8


class JaxEngine:
    """See `models.training.engine.Engine`.

    The learning rate is a variable of the optimizer, and thus an argument of the compiled function:
    cells that differ only in the learning rate share one compilation. Inside one process they share
    the function itself; several processes share JAX's cache on disk, if it is enabled
    (`models.training.backend.enable_compilation_cache`).
    """

    def __init__(self, job: EngineJob) -> None:
        self._job = job
        job.optimizer.build(job.trained.trainable_variables)
        self._images = _images_on_device(job.images)
        targets = None if job.targets is None else jnp.asarray(job.targets)
        self._labels = jnp.asarray(job.labels, dtype=jnp.int32), targets
        key = job.compilation_key
        self._program = _cached_program(_ProgramKey(key, job)) if key else _Program(job)

    def train(
        self, batches: NDArray[np.int32], rates: NDArray[np.float32] | None = None
    ) -> EpochFigures:
        """Train one step per row of `batches`, with its learning rate if rates are given."""
        state = [[variable.value for variable in group] for group in self._variables()]
        epoch = self._program.epoch
        state, (step, loss, hits, finite) = epoch(state, self._images, self._labels, batches, rates)
        for group, values in zip(self._variables(), state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        bad_step = -1 if bool(finite) else int(step) - 1
        return EpochFigures(float(loss) / len(batches), float(hits) / batches.size, bad_step)

    def logits(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the network's logits."""
        network = self._job.network
        weights = [v.value for v in network.trainable_variables]
        non_trainable = [v.value for v in network.non_trainable_variables]
        logits = self._program.logits(
            weights, non_trainable, self._images, evaluation_batches(rows)
        )
        return logits.reshape(-1, *logits.shape[2:])[: len(rows)]

    def _variables(self) -> tuple[Any, Any, Any]:
        """Return the state of the training: weights, other variables, the optimizer's."""
        trained = self._job.trained
        non_trainable, optimizer = trained.non_trainable_variables, self._job.optimizer.variables
        return trained.trainable_variables, non_trainable, optimizer


class _Program:
    """The compiled functions; the weights are arguments, so that several jobs can share them."""

    def __init__(self, job: EngineJob) -> None:
        self._job = job
        variables, rate = job.optimizer.variables, job.optimizer.learning_rate
        self._rate_index = next(n for n, variable in enumerate(variables) if variable is rate)
        options: dict[str, Any] | None = None
        if jax.default_backend() == "gpu":
            # Level 2 times the algorithms but does not compare their results, which took minutes
            # (measured at 256 pixels: the first epoch ended after 150 s, at level 2 after 9 s).
            options = {"xla_gpu_autotune_level": 2}
            if job.deterministic:
                options["xla_gpu_deterministic_ops"] = True
        self._one_batch = jax.jit(self._batch_logits, compiler_options=options)
        if jax.default_backend() == "cpu":
            # XLA computes a convolution inside a loop slowly, with one thread (measured: 20 images
            # per second, and 440 with single steps), so that the loop is in Python here.
            self._one_step = jax.jit(self._step, donate_argnums=0)
            self.epoch = self._python_loop
        else:
            self.epoch = jax.jit(self._compiled_loop, donate_argnums=0, compiler_options=options)

    def logits(
        self, weights: Any, non_trainable: Any, images: Any, batches: Any
    ) -> NDArray[np.float32]:
        """Return the network's logits, (steps, images, classes), or what else it makes."""
        # All batches are started before the first result is waited for.
        started = [self._one_batch(weights, non_trainable, images, rows) for rows in batches]
        return np.stack([np.asarray(logits) for logits in started])

    def _python_loop(
        self, state: Any, images: Any, labels: Any, batches: Any, rates: Any = None
    ) -> Any:
        figures: tuple[Any, ...] = (0, 0.0, 0, True)
        for rows in batches:
            step, total, hits, _ = figures
            rate = None if rates is None else rates[step]
            state, loss, step_hits = self._one_step(state, images, labels, rows, rate)
            figures = step + 1, total + loss, hits + step_hits, bool(jnp.isfinite(loss))
            if not figures[-1]:
                break
        return state, figures

    def _compiled_loop(
        self, state: Any, images: Any, labels: Any, batches: Any, rates: Any = None
    ) -> Any:
        """Train all steps, or until the loss is NaN or infinite; this function is traced."""

        def continues(carried: Any) -> Any:
            _, (step, _, _, finite) = carried
            return (step < batches.shape[0]) & finite

        def train_step(carried: Any) -> Any:
            state, (step, total, hits, _) = carried
            rate = None if rates is None else rates[step]
            state, loss, step_hits = self._step(state, images, labels, batches[step], rate)
            return state, (step + 1, total + loss, hits + step_hits, jnp.isfinite(loss))

        figures = (jnp.int32(0), jnp.float32(0), jnp.int32(0), jnp.bool_(1))
        return lax.while_loop(continues, train_step, (state, figures))

    def _step(
        self, state: Any, images: Any, labels: Any, rows: Any, rate: Any
    ) -> tuple[Any, Any, Any]:
        weights, non_trainable, optimizer_state = state
        labels, targets = labels
        if rate is not None:
            optimizer_state = list(optimizer_state)
            optimizer_state[self._rate_index] = rate
        gradients_of = jax.value_and_grad(self._loss, has_aux=True)
        parts = rows.reshape(-1, self._job.micro_batch)

        def add(carried: Any, part: Any) -> tuple[Any, None]:
            non_trainable, summed, loss, hits = carried
            batch = images[part], labels[part], targets
            (part_loss, (non_trainable, part_hits)), gradients = gradients_of(
                weights, non_trainable, *batch
            )
            summed = jax.tree.map(jnp.add, summed, gradients)
            return (non_trainable, summed, loss + part_loss, hits + part_hits), None

        if len(parts) == 1:
            batch = images[rows], labels[rows], targets
            (loss, (non_trainable, hits)), gradients = gradients_of(weights, non_trainable, *batch)
        else:
            zeros = jax.tree.map(jnp.zeros_like, weights)
            start = (non_trainable, zeros, jnp.float32(0), jnp.int32(0))
            (non_trainable, summed, loss, hits), _ = lax.scan(add, start, parts)
            gradients = jax.tree.map(lambda gradient: gradient / len(parts), summed)
        weights, optimizer_state = self._job.optimizer.stateless_apply(
            optimizer_state, gradients, weights
        )
        return [weights, non_trainable, optimizer_state], loss / len(parts), hits

    def _loss(
        self, weights: Any, non_trainable: Any, images: Any, labels: Any, targets: Any
    ) -> Any:
        if targets is not None:
            targets = targets[labels]
        inputs = [images, targets] if self._job.mixes else images
        answers, non_trainable, losses = self._job.trained.stateless_call(
            weights, non_trainable, inputs, training=True, return_losses=True
        )
        if self._job.mixes:
            answers, targets = answers
            labels = targets.argmax(axis=1)
        logits = answers.astype(jnp.float32)
        log_probability = jax.nn.log_softmax(logits)
        if targets is None:
            log_probability = jnp.take_along_axis(log_probability, labels[:, None], axis=1)
        else:
            log_probability = (targets * log_probability).sum(axis=1)
        hits = jnp.sum(logits.argmax(axis=1) == labels, dtype=jnp.int32)
        return sum(losses, start=-log_probability.mean()), (non_trainable, hits)

    def _batch_logits(self, weights: Any, non_trainable: Any, images: Any, rows: Any) -> Any:
        logits, _ = self._job.network.stateless_call(
            weights, non_trainable, images[rows], training=False
        )
        return logits.astype(jnp.float32)


@dataclass(frozen=True)
class _ProgramKey:
    """A job that is compared only by its compilation key."""

    compilation_key: str
    job: EngineJob = field(compare=False)


@lru_cache(maxsize=CACHED_PROGRAMS)
def _cached_program(key: _ProgramKey) -> _Program:
    return _Program(key.job)


class _DeviceImages:
    """The images that are on the device, so that a process copies them there only once."""

    def __init__(self) -> None:
        self.images: NDArray[Any] | None = None
        self.array: Any = None


_DEVICE_IMAGES = _DeviceImages()


def _images_on_device(images: NDArray[Any]) -> Any:
    if _DEVICE_IMAGES.images is not images:
        _DEVICE_IMAGES.array = None  # freed first, or both arrays would be in memory
        _DEVICE_IMAGES.array, _DEVICE_IMAGES.images = jnp.asarray(images), images
    return _DEVICE_IMAGES.array
