"""The engine on TensorFlow: a `tf.function` an epoch, its loop compiled with it."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.training.engine import EngineJob, EpochFigures, in_steps

#: TensorFlow's kernels expect tensors to begin at such addresses (bytes), and abort the process
#: where one does not.
ALIGNMENT = 64
# Where one process trains several networks, TensorFlow warns that each is traced anew, as is meant.
tf.get_logger().setLevel("ERROR")


class TensorFlowEngine:
    """See `models.training.engine.Engine`."""

    def __init__(self, job: EngineJob) -> None:
        self._job = job
        self._variables = job.trained.trainable_variables
        job.optimizer.build(self._variables)
        self._images = _resident(job.images)
        self._labels = tf.constant(job.labels, dtype=tf.int32)
        # AutoGraph would leave a file in /tmp for each function of a child that is killed.
        self._epoch = tf.function(self._steps, autograph=False)
        # Traced once, whatever the number of rows: each side has its own.
        rows = [tf.TensorSpec([None, None], tf.int32)]
        self._answers = tf.function(self._evaluate, autograph=False, input_signature=rows)

    def train(self, order: NDArray[np.int32]) -> EpochFigures:
        """Take a step for each row of `order`."""
        step, loss, hits, good = self._epoch(tf.constant(order))
        bad = -1 if bool(good) else int(step) - 1
        return EpochFigures(float(loss) / len(order), float(hits) / order.size, bad)

    def logits(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the network's answers."""
        answers = self._answers(tf.constant(in_steps(rows))).numpy()
        return np.asarray(answers.reshape(-1, answers.shape[-1])[: len(rows)], dtype=np.float32)

    def _steps(self, order: Any) -> Any:
        """Be traced: steps until the last one, or until a loss is no number."""

        def goes_on(step: Any, total: Any, hits: Any, good: Any) -> Any:  # noqa: ARG001 # of the loop
            return tf.logical_and(step < tf.shape(order)[0], good)

        def take(step: Any, total: Any, hits: Any, good: Any) -> Any:  # noqa: ARG001 # likewise
            loss, right = self._step(order[step])
            return step + 1, total + loss, hits + right, tf.math.is_finite(loss)

        begin = tf.constant(0), tf.constant(0.0), tf.constant(0), tf.constant(value=True)
        return tf.while_loop(goes_on, take, begin)

    def _step(self, rows: Any) -> tuple[Any, Any]:
        parts = rows.shape[0] // self._job.micro_batch
        loss, hits, gradients = self._gradients(rows[: self._job.micro_batch])
        for part in range(1, parts):
            # One after the other: side by side, as the graph may run them, they would need the
            # memory that this saves.
            with tf.control_dependencies(gradients):
                begin = part * self._job.micro_batch
                more = self._gradients(rows[begin : begin + self._job.micro_batch])
            loss, hits = loss + more[0], hits + more[1]
            gradients = [a + b for a, b in zip(gradients, more[2], strict=True)]
        if parts > 1:
            gradients = [gradient / parts for gradient in gradients]
        self._job.optimizer.apply(gradients, self._variables)
        return loss / parts, hits

    def _gradients(self, rows: Any) -> tuple[Any, Any, list[Any]]:
        labels = tf.gather(self._labels, rows)
        with tf.GradientTape() as tape:
            logits = tf.cast(
                self._job.trained(tf.gather(self._images, rows), training=True), tf.float32
            )
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.add_n([tf.reduce_mean(losses), *self._job.trained.losses])
        answers = tf.argmax(logits, axis=1, output_type=tf.int32)
        hits = tf.reduce_sum(tf.cast(answers == labels, tf.int32))
        return loss, hits, tape.gradient(loss, self._variables)

    def _evaluate(self, order: Any) -> Any:
        def answer(rows: Any) -> Any:
            logits = self._job.network(tf.gather(self._images, rows), training=False)
            return tf.cast(logits, tf.float32)

        return tf.map_fn(answer, order, fn_output_signature=tf.float32, parallel_iterations=1)


def _resident(images: NDArray[np.uint8]) -> Any:
    """Return the images as a tensor: on a GPU if there is one, else where they are, not copied.

    TensorFlow copies numpy arrays, those that are mapped from disk too (measured: 750 MB in 0.8 s,
    and as much memory a slot). DLPack shares them, but only arrays that may be written: the file is
    mapped again, copy-on-write, and nothing writes.
    """
    if tf.config.list_logical_devices("GPU"):
        with tf.device("GPU:0"):
            return tf.identity(tf.constant(images))
    if isinstance(images, np.memmap) and images.filename:
        images = np.memmap(images.filename, np.uint8, "c", images.offset, images.shape)
    plain = np.asarray(images)
    aligned = plain.ctypes.data % ALIGNMENT == 0 and plain.flags.c_contiguous
    if not (aligned and plain.flags.writeable):
        return tf.constant(plain)
    return tf.experimental.dlpack.from_dlpack(plain.__dlpack__())
