"""The engine for TensorFlow: one `tf.function` per epoch, with the loop over the steps inside."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.training.engine import EngineJob, EpochFigures, evaluation_batches

#: TensorFlow's kernels require that tensors begin at multiples of this address (bytes), and abort
#: the process if one does not.
ALIGNMENT = 64
# If one process trains several networks, TensorFlow warns that it traces each of them: intended.
tf.get_logger().setLevel("ERROR")


class TensorFlowEngine:
    """See `models.training.engine.Engine`."""

    def __init__(self, job: EngineJob) -> None:
        self._job = job
        self._variables = job.trained.trainable_variables
        job.optimizer.build(self._variables)
        self._images = _images_as_tensor(job.images)
        self._labels = tf.constant(job.labels, dtype=tf.int32)
        self._targets = None if job.targets is None else tf.constant(job.targets)
        # With AutoGraph a child that is killed would leave one file per function in /tmp.
        self._epoch = tf.function(self._steps, autograph=False)
        # Traced once for any number of rows: the parts of the split differ in size.
        rows = [tf.TensorSpec([None, None], tf.int32)]
        self._logits = tf.function(self._evaluate, autograph=False, input_signature=rows)

    def train(
        self, batches: NDArray[np.int32], rates: NDArray[np.float32] | None = None
    ) -> EpochFigures:
        """Train one step per row of `batches`, with its learning rate if rates are given."""
        scheduled = None if rates is None else tf.constant(rates)
        step, loss, hits, finite = self._epoch(tf.constant(batches), scheduled)
        bad_step = -1 if bool(finite) else int(step) - 1
        return EpochFigures(float(loss) / len(batches), float(hits) / batches.size, bad_step)

    def logits(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the network's logits."""
        logits = self._logits(tf.constant(evaluation_batches(rows))).numpy()
        return np.asarray(logits.reshape(-1, *logits.shape[2:])[: len(rows)], dtype=np.float32)

    def _steps(self, batches: Any, rates: Any) -> Any:
        """Train all steps, or until the loss is NaN or infinite; this function is traced."""

        def continues(step: Any, total: Any, hits: Any, finite: Any) -> Any:  # noqa: ARG001 # the loop passes all its variables
            return tf.logical_and(step < tf.shape(batches)[0], finite)

        def train_step(step: Any, total: Any, hits: Any, finite: Any) -> Any:  # noqa: ARG001 # the loop passes all its variables
            if rates is not None:
                self._job.optimizer.learning_rate.assign(rates[step])
            loss, step_hits = self._step(batches[step])
            return step + 1, total + loss, hits + step_hits, tf.math.is_finite(loss)

        start = tf.constant(0), tf.constant(0.0), tf.constant(0), tf.constant(value=True)
        return tf.while_loop(continues, train_step, start)

    def _step(self, rows: Any) -> tuple[Any, Any]:
        parts = rows.shape[0] // self._job.micro_batch
        loss, hits, gradients = self._gradients(rows[: self._job.micro_batch])
        for part in range(1, parts):
            # One part after the other. The graph may otherwise run them in parallel, which would
            # need the memory that the parts save.
            with tf.control_dependencies(gradients):
                start = part * self._job.micro_batch
                next_part = self._gradients(rows[start : start + self._job.micro_batch])
            loss, hits = loss + next_part[0], hits + next_part[1]
            gradients = [a + b for a, b in zip(gradients, next_part[2], strict=True)]
        if parts > 1:
            gradients = [gradient / parts for gradient in gradients]
        self._job.optimizer.apply(gradients, self._variables)
        return loss / parts, hits

    def _gradients(self, rows: Any) -> tuple[Any, Any, list[Any]]:
        labels, images = tf.gather(self._labels, rows), tf.gather(self._images, rows)
        targets = None if self._targets is None else tf.gather(self._targets, labels)
        with tf.GradientTape() as tape:
            if self._job.mixes:
                logits, targets = self._job.trained([images, targets], training=True)
                labels = tf.argmax(targets, axis=1, output_type=tf.int32)
            else:
                logits = self._job.trained(images, training=True)
            logits = tf.cast(logits, tf.float32)
            if targets is None:
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            else:
                # The gradient of TensorFlow's own loss is only right for targets that add up to 1.
                losses = -tf.reduce_sum(targets * tf.nn.log_softmax(logits), axis=1)
            loss = tf.add_n([tf.reduce_mean(losses), *self._job.trained.losses])
        predicted = tf.argmax(logits, axis=1, output_type=tf.int32)
        hits = tf.reduce_sum(tf.cast(predicted == labels, tf.int32))
        return loss, hits, tape.gradient(loss, self._variables)

    def _evaluate(self, batches: Any) -> Any:
        def logits_of(rows: Any) -> Any:
            logits = self._job.network(tf.gather(self._images, rows), training=False)
            return tf.cast(logits, tf.float32)

        return tf.map_fn(logits_of, batches, fn_output_signature=tf.float32, parallel_iterations=1)


def _images_as_tensor(images: NDArray[Any]) -> Any:
    """Return the images as a tensor: copied to the GPU if there is one, else not copied.

    TensorFlow copies numpy arrays, even memory-mapped ones (measured: 750 MB in 0.8 s, and as much
    memory per slot). DLPack shares their memory, but only if they are writeable. The file is
    therefore mapped again, copy-on-write; nothing writes to it.
    """
    if tf.config.list_logical_devices("GPU"):
        with tf.device("GPU:0"):
            return tf.identity(tf.constant(images))
    if isinstance(images, np.memmap) and images.filename:
        images = np.memmap(images.filename, images.dtype, "c", images.offset, images.shape)
    plain = np.asarray(images)
    aligned = plain.ctypes.data % ALIGNMENT == 0 and plain.flags.c_contiguous
    if not (aligned and plain.flags.writeable):
        return tf.constant(plain)
    return tf.experimental.dlpack.from_dlpack(plain.__dlpack__())
