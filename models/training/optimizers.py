"""The optimizer of a training: one of Keras's own, with its settings."""

from collections.abc import Sequence
from typing import Any

from models.errors import SpecError
from models.spec import TrainingSpec

#: The smallest number of axes of a weight that decays: a kernel has at least two. Biases and the
#: scales and shifts of normalization, with one axis, do not decay.
DECAYING_AXES = 2
MOMENTUM = 0.9


def optimizer_for(training: TrainingSpec, variables: Sequence[Any]) -> Any:
    """Return the optimizer that a training names.

    Settings at their neutral values add nothing to the compiled step.

    Parameters
    ----------
    variables : the variables that will be trained.

    Raises
    ------
    SpecError
        If the optimizer is unknown.
    """
    import keras

    rate, known = training.learning_rate, keras.optimizers
    options: dict[str, Any] = {}
    if training.weight_decay:
        options["weight_decay"] = training.weight_decay
    if training.clip_norm:
        options["global_clipnorm"] = training.clip_norm
    if training.ema:
        # It is not overwritten during the training, so that the weights go on as without it.
        options |= {"use_ema": True, "ema_momentum": training.ema, "ema_overwrite_frequency": None}
    match training.optimizer:
        case "adam" | "adamw":
            # In Keras, Adam's weight decay is decoupled: with it, Adam is AdamW.
            optimizer = known.Adam(rate, **options)
        case "sgd":
            optimizer = known.SGD(rate, momentum=MOMENTUM, **options)
        case "nesterov":
            optimizer = known.SGD(rate, momentum=MOMENTUM, nesterov=True, **options)
        case "rmsprop":
            optimizer = known.RMSprop(rate, **options)
        case "lion":
            optimizer = known.Lion(rate, **options)
        case other:
            raise SpecError(
                f"optimizer {other!r}: not adam, adamw, sgd, nesterov, rmsprop or lion; use one of "
                "them"
            )
    if training.weight_decay:
        optimizer.exclude_from_weight_decay(
            var_list=[variable for variable in variables if len(variable.shape) < DECAYING_AXES]
        )
    return optimizer
