"""The engine on JAX: an epoch is one jitted loop over state that never leaves the device.

On a CPU it is a jitted step at a time, see `_Program`.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from models.training.engine import EngineJob, EpochFigures, in_steps

#: Programs that are kept for later jobs of the same kind in this process.
PROGRAMS = 8


class JaxEngine:
    """See `models.training.engine.Engine`.

    The learning rate is a variable of the optimiser, and so an argument of the compiled function:
    cells that differ in it alone share one compilation, in one process the function itself, in
    several JAX's cache on disk, where there is one (`models.training.backend.keep_compiled`).
    """

    def __init__(self, job: EngineJob) -> None:
        self._job = job
        job.optimizer.build(job.trained.trainable_variables)
        self._images = _resident(job.images)
        self._labels = jnp.asarray(job.labels, dtype=jnp.int32)
        self._program = _kept(_Kind(job.kind, job)) if job.kind else _Program(job)

    def train(self, order: NDArray[np.int32]) -> EpochFigures:
        """Take a step for each row of `order`."""
        state = [[variable.value for variable in group] for group in self._groups()]
        epoch = self._program.epoch
        state, (step, loss, hits, good) = epoch(state, self._images, self._labels, order)
        for group, values in zip(self._groups(), state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        bad = -1 if bool(good) else int(step) - 1
        return EpochFigures(float(loss) / len(order), float(hits) / order.size, bad)

    def logits(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the network's answers."""
        network = self._job.network
        weights = [v.value for v in network.trainable_variables]
        rest = [v.value for v in network.non_trainable_variables]
        answers = self._program.answers(weights, rest, self._images, in_steps(rows))
        return answers.reshape(-1, answers.shape[-1])[: len(rows)]

    def _groups(self) -> tuple[Any, Any, Any]:
        trained = self._job.trained
        rest, optimizer = trained.non_trainable_variables, self._job.optimizer.variables
        return trained.trainable_variables, rest, optimizer


class _Program:
    """What is compiled: functions of the weights, of whichever job of the kind they are."""

    def __init__(self, job: EngineJob) -> None:
        self._job = job
        options: dict[str, Any] | None = None
        if jax.default_backend() == "gpu":
            # Algorithms are timed, but their answers are not compared, which took minutes (measured
            # at 256 pixels: 150 s until the first epoch ended, and 9 s without).
            options = {"xla_gpu_autotune_level": 2}
            if job.deterministic:
                options["xla_gpu_deterministic_ops"] = True
        self._one_answer = jax.jit(self._answer, compiler_options=options)
        if jax.default_backend() == "cpu":
            # XLA computes a convolution inside a loop by one thread, and slowly (measured: 20
            # images a second where single steps take 440), so that Python loops here.
            self._one_step = jax.jit(self._step, donate_argnums=0)
            self.epoch = self._step_by_step
        else:
            self.epoch = jax.jit(self._steps, donate_argnums=0, compiler_options=options)

    def answers(self, weights: Any, rest: Any, images: Any, order: Any) -> NDArray[np.float32]:
        """Return the network's answers, (steps, images, classes)."""
        begun = [self._one_answer(weights, rest, images, rows) for rows in order]
        return np.stack([np.asarray(answer) for answer in begun])

    def _step_by_step(self, state: Any, images: Any, labels: Any, order: Any) -> Any:
        figures: tuple[Any, ...] = (0, 0.0, 0, True)
        for rows in order:
            step, total, hits, _ = figures
            state, loss, right = self._one_step(state, images, labels, rows)
            figures = step + 1, total + loss, hits + right, bool(jnp.isfinite(loss))
            if not figures[-1]:
                break
        return state, figures

    def _steps(self, state: Any, images: Any, labels: Any, order: Any) -> Any:
        """Be traced: steps until the last one, or until a loss is no number."""

        def goes_on(carried: Any) -> Any:
            _, (step, _, _, good) = carried
            return (step < order.shape[0]) & good

        def take(carried: Any) -> Any:
            state, (step, total, hits, _) = carried
            rows = order[step]
            state, loss, right = self._step(state, images, labels, rows)
            return state, (step + 1, total + loss, hits + right, jnp.isfinite(loss))

        figures = (jnp.int32(0), jnp.float32(0), jnp.int32(0), jnp.bool_(1))
        return lax.while_loop(goes_on, take, (state, figures))

    def _step(self, state: Any, images: Any, labels: Any, rows: Any) -> tuple[Any, Any, Any]:
        weights, rest, slots = state
        gradients_of = jax.value_and_grad(self._loss, has_aux=True)
        parts = rows.reshape(-1, self._job.micro_batch)

        def add(carried: Any, part: Any) -> tuple[Any, None]:
            rest, summed, loss, hits = carried
            batch = images[part], labels[part]
            (more, (rest, right)), gradients = gradients_of(weights, rest, *batch)
            return (rest, jax.tree.map(jnp.add, summed, gradients), loss + more, hits + right), None

        if len(parts) == 1:
            batch = images[rows], labels[rows]
            (loss, (rest, hits)), gradients = gradients_of(weights, rest, *batch)
        else:
            nothing = jax.tree.map(jnp.zeros_like, weights)
            begin = (rest, nothing, jnp.float32(0), jnp.int32(0))
            (rest, summed, loss, hits), _ = lax.scan(add, begin, parts)
            gradients = jax.tree.map(lambda gradient: gradient / len(parts), summed)
        weights, slots = self._job.optimizer.stateless_apply(slots, gradients, weights)
        return [weights, rest, slots], loss / len(parts), hits

    def _loss(self, weights: Any, rest: Any, images: Any, labels: Any) -> Any:
        logits, rest, losses = self._job.trained.stateless_call(
            weights, rest, images, training=True, return_losses=True
        )
        logits = logits.astype(jnp.float32)
        likely = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)
        hits = jnp.sum(logits.argmax(axis=1) == labels, dtype=jnp.int32)
        return sum(losses, start=-likely.mean()), (rest, hits)

    def _answer(self, weights: Any, rest: Any, images: Any, rows: Any) -> Any:
        logits, _ = self._job.network.stateless_call(weights, rest, images[rows], training=False)
        return logits.astype(jnp.float32)


@dataclass(frozen=True)
class _Kind:
    name: str
    job: EngineJob = field(compare=False)


@lru_cache(maxsize=PROGRAMS)
def _kept(kind: _Kind) -> _Program:
    return _Program(kind.job)


class _Resident:
    """The images that are on the device, so that a process copies them there once."""

    def __init__(self) -> None:
        self.images: NDArray[np.uint8] | None = None
        self.array: Any = None


_RESIDENT = _Resident()


def _resident(images: NDArray[np.uint8]) -> Any:
    if _RESIDENT.images is not images:
        _RESIDENT.array = None  # first, or both would be in memory
        _RESIDENT.array, _RESIDENT.images = jnp.asarray(images), images
    return _RESIDENT.array
