"""The multiply-adds of a network for one image, counted from its layers."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

#: Layers of Keras without weights that multiply all the same, and layers that call other layers.
MULTIPLYING = frozenset({"Dot", "Attention", "AdditiveAttention", "Lambda", "TorchModuleWrapper"})
#: Operations of Keras in a functional network that multiply matrices.
MULTIPLYING_OPERATIONS = frozenset(
    {
        *("Matmul", "Einsum", "Tensordot", "Dot", "Inner", "Outer", "Vdot", "Kron"),
        *("Conv", "DepthwiseConv", "SeparableConv", "ConvTranspose", "DotProductAttention"),
    }
)
#: Layers with weights whose multiplications are one per value, which do not count.
ONE_PER_VALUE = (
    *("BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization"),
    *("UnitNormalization", "Normalization", "PReLU", "Embedding"),
    # The weights of these are the states of their random generators.
    *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout"),
    *("GaussianDropout", "GaussianNoise", "ActivityRegularization"),
)


@dataclass(frozen=True)
class MultiplyAdds:
    """The multiply-adds of the forward pass of one image.

    Attributes
    ----------
    total : of the layers that can be counted.
    not_counted : the layers that cannot, each as its class and name; empty if the total is whole.
    """

    total: int
    not_counted: tuple[str, ...] = ()


def count_multiply_adds(network: Any) -> MultiplyAdds:
    """Count the multiply-adds of a network for one image.

    They are counted from the shapes of kernels and outputs, so the count is the same on every
    backend and machine. Dense, convolutional, depthwise, separable and transposed convolutional
    layers are counted, in networks within the network too. As usual, biases, activations, pooling
    and normalisation do not count, and the zeros of padding count as values.

    Parameters
    ----------
    network : a `keras.Model`. Of a network that is no graph of layers (a subclass with its own
        `call`) nothing can be counted.

    References
    ----------
    Howard, A. G. et al. (2017), MobileNets, arXiv:1704.04861, section 3 (mult-adds).
    """
    counted: Counter[str] = Counter()
    total = sum(_of_call(operation, output, counted) for operation, output in _calls(network))
    return MultiplyAdds(int(total), tuple(counted))


def _calls(network: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each call in a network: the layer or operation, and Keras's node of the call.

    A layer that is called twice is yielded twice; a network that is no graph once, without a node.
    """
    import keras

    # Keras has no public list of the calls in a graph.
    graph = getattr(network, "_functional", None) or network
    nodes = getattr(graph, "_nodes_by_depth", None)
    if nodes is None:
        yield network, None
        return
    for node in (node for depth in sorted(nodes, reverse=True) for node in nodes[depth]):
        if node.is_input:
            continue
        if isinstance(node.operation, keras.Model):
            yield from _calls(node.operation)
        else:
            yield node.operation, node


def _of_call(operation: Any, node: Any, not_counted: Counter[str]) -> int:
    """Return the multiply-adds of one call; add the layer to `not_counted` if it is not known."""
    import keras

    layers = keras.layers
    counts: tuple[tuple[tuple[type, ...], Callable[[Any, Any], int]], ...] = (
        ((layers.Dense,), _of_dense),
        ((layers.Conv1D, layers.Conv2D, layers.Conv3D), _of_convolution),
        ((layers.DepthwiseConv1D, layers.DepthwiseConv2D), _of_convolution),
        ((layers.SeparableConv1D, layers.SeparableConv2D), _of_separable),
        ((layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose), _of_transposed),
    )
    # The class itself: a subclass may do anything in its own `call`.
    for classes, count in counts:
        if type(operation) in classes and _has_known_shapes(node):
            return count(operation, node)
    if not _is_free(operation, layers):
        not_counted[f"{type(operation).__name__} {operation.name}"] += 1
    return 0


def _is_free(operation: Any, layers: Any) -> bool:
    """Whether a call has no multiply-adds: pooling, activations, normalisation and the like."""
    kind = type(operation)
    if not kind.__module__.startswith("keras."):
        return False
    if kind.__name__ in ONE_PER_VALUE:
        return True
    if isinstance(operation, layers.Layer):
        return not operation.weights and kind.__name__ not in MULTIPLYING
    return kind.__name__ not in MULTIPLYING_OPERATIONS


def _has_known_shapes(node: Any) -> bool:
    """Whether all sizes but that of the batch are known."""
    return all(None not in tensor.shape[1:] for tensor in (*node.input_tensors, *node.outputs))


def _size(kernel: Any) -> int:
    return int(math.prod(kernel.shape))


def _of_dense(layer: Any, node: Any) -> int:
    # (B, ..., units): the kernel is applied at each position between the first and the last axis.
    return _size(layer.kernel) * int(math.prod(node.outputs[0].shape[1:-1]))


def _positions(layer: Any, tensor: Any) -> int:
    """Return the number of positions of a map: all axes but the batch and the channels."""
    sizes = list(tensor.shape[1:])
    del sizes[0 if layer.data_format == "channels_first" else -1]
    return int(math.prod(sizes))


def _of_convolution(layer: Any, node: Any) -> int:
    # The kernel has the input channels of one group, so groups need no factor.
    return _size(layer.kernel) * _positions(layer, node.outputs[0])


def _of_separable(layer: Any, node: Any) -> int:
    kernels = _size(layer.depthwise_kernel) + _size(layer.pointwise_kernel)
    return kernels * _positions(layer, node.outputs[0])


def _of_transposed(layer: Any, node: Any) -> int:
    # Each value of the input is multiplied by the whole kernel.
    return _size(layer.kernel) * _positions(layer, node.input_tensors[0])
