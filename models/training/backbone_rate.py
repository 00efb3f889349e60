"""A smaller learning rate for the layers of a backbone than for its head."""

from typing import Any

from models.networks.pretrained import parts
from models.spec import NEUTRAL_NETWORK, PRETRAINED_BUILDER, ModelSpec
from models.training.optimizers import DECAYING_AXES


def with_backbone_rate(optimizer: Any, model: ModelSpec, network: Any, trained: Any) -> Any:
    """Return an optimizer whose steps on the backbone's weights have their own learning rate.

    The rate is that of the head times the setting ``backbone_rate``, at any learning rate. The
    backbone has no weight decay, which would pull it away from its trained weights at the rate of
    the head. Of every other network the optimizer stays as it is.

    Parameters
    ----------
    optimizer : a Keras optimizer that has not been built yet.
    model : the spec of the network.
    network : it.
    trained : the network that the optimizer trains; it shares the weights.
    """
    if model.builder != PRETRAINED_BUILDER:
        return optimizer
    backbone, _ = parts(network)
    own = {id(variable) for variable in backbone.trainable_variables}
    if not own:
        return optimizer
    neutral = NEUTRAL_NETWORK[PRETRAINED_BUILDER]["backbone_rate"]
    rate = float(model.settings.get("backbone_rate", neutral))
    rates = [rate if id(v) in own else 1.0 for v in trained.trainable_variables]
    # Instead of what was excluded before: biases and scales of normalization.
    optimizer.exclude_from_weight_decay(
        [v for v in trained.trainable_variables if id(v) in own or len(v.shape) < DECAYING_AXES]
    )
    step = optimizer.update_step

    def update_step(gradient: Any, variable: Any, learning_rate: Any) -> None:
        # Keras has no public way from a variable to its place among those that are trained.
        place = optimizer._get_variable_index(variable)  # noqa: SLF001
        step(gradient, variable, learning_rate * rates[place])

    optimizer.update_step = update_step
    return optimizer
