"""The engine on JAX: an epoch is one jitted loop over state that never leaves the device."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from models.engine import EpochFigures, Job, in_steps


class JaxEngine:
    """See `models.engine.Engine`.

    The learning rate is a variable of the optimiser, and so an argument of the compiled function:
    cells that differ in it alone share one compilation, through JAX's cache on disk.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        job.optimizer.build(job.trained.trainable_variables)
        self._images = jnp.asarray(job.images)
        self._labels = jnp.asarray(job.labels, dtype=jnp.int32)
        self._epoch = jax.jit(self._steps, donate_argnums=0)
        self._answers = jax.jit(self._evaluate)

    def train(self, order: NDArray[np.int32]) -> EpochFigures:
        """Take a step for each row of `order`."""
        state = [[variable.value for variable in group] for group in self._groups()]
        ended = self._epoch(state, self._images, self._labels, jnp.asarray(order))
        state, (step, loss, hits, good) = ended
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
        answers = self._answers(weights, rest, self._images, jnp.asarray(in_steps(rows)))
        return np.asarray(answers.reshape(-1, answers.shape[-1])[: len(rows)], dtype=np.float32)

    def _groups(self) -> tuple[Any, Any, Any]:
        trained = self._job.trained
        rest, optimizer = trained.non_trainable_variables, self._job.optimizer.variables
        return trained.trainable_variables, rest, optimizer

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

    def _evaluate(self, weights: Any, rest: Any, images: Any, order: Any) -> Any:
        def answer(rows: Any) -> Any:
            logits, _ = self._job.network.stateless_call(
                weights, rest, images[rows], training=False
            )
            return logits.astype(jnp.float32)

        return lax.map(answer, order)
