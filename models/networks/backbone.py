"""Backbones: networks with trained weights whose features a small head classifies.

A backbone is a network of ``keras.applications``, EfficientNet-Lite0, or a file in Keras's native
format. Here it gets its preprocessing in front and average pooling behind, so that it takes pixels
from 0 to 255 and returns one vector of features per image.
"""

import difflib
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import BuilderError
from models.networks import efficientnet_lite as lite
from models.networks.applications import (
    APPLICATIONS,
    CAFFE_MEANS,
    TORCH_DEVIATIONS,
    TORCH_MEANS,
)
from models.networks.weight_files import (
    DIGITS,
    FORMATS,
    KERAS_FORMATS,
    check_digest,
    file_digest,
    is_url,
    read_arrays,
)

#: The backbones with names.
BACKBONES = (lite.NAME, *APPLICATIONS)
#: The end of a file with a backbone.
KERAS_FILE = ".keras"
#: Layers that run code which their file brings along, or load other files.
UNSAFE_LAYERS = frozenset({"Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"})
#: How the layers of a block are named: block7a_, conv5_block3_, block_16_, stage_3_block_2_,
#: expanded_conv_11_, conv_dw_13.
_BLOCK = re.compile(r"(.*?block_?\d+[a-z]?|expanded_conv(?:_\d+)?|conv_(?:dw|pw)_\d+)(?=[_/]|$)")


@dataclass(frozen=True)
class BackboneChoice:
    """A backbone and its weights, as a study names them.

    Attributes
    ----------
    backbone : one of `BACKBONES`, or the path of a ``.keras`` file.
    weights : ``imagenet``, ``none`` (random), a path or a URL. A ``.keras`` file has its own.
    digest : SHA-256 of the file of weights, or its first digits; empty if it is not checked.
    """

    backbone: str
    weights: str = "imagenet"
    digest: str = ""

    @property
    def is_file(self) -> bool:
        """Whether the backbone is a file, which has its own weights."""
        return self.backbone.endswith(KERAS_FILE)

    @property
    def is_random(self) -> bool:
        """Whether the weights are random."""
        return self.weights == "none" and not self.is_file

    @property
    def file(self) -> Path | None:
        """The file on this machine that the weights are read from; None if Keras finds them."""
        if self.is_file:
            return Path(self.backbone)
        if self.weights == "imagenet":
            return lite.package_file() if self.backbone == lite.NAME else None
        return None if self.is_random or is_url(self.weights) else Path(self.weights)

    def check(self, image_size: int) -> None:
        """Check what can be checked without Keras and without reading the weights.

        Raises
        ------
        BuilderError
            If the backbone, the weights, the digest or the image size cannot be used.
        """
        if self.backbone not in BACKBONES and not self.is_file:
            raise BuilderError(_unknown_backbone(self.backbone))
        if self.digest and not re.fullmatch(rf"[0-9a-f]{{16,{DIGITS}}}", self.digest):
            raise BuilderError(
                f"weights_digest {self.digest}: is no SHA-256 digest of 16 to {DIGITS} hexadecimal "
                "digits; take the one that sha256sum prints"
            )
        if self.is_file and self.weights != "imagenet":
            raise BuilderError(
                f"weights {self.weights}: the backbone {self.backbone} has weights in its file; "
                "remove weights"
            )
        if not self.is_file:
            self._check_weights()
        least = least_size(self.backbone)
        if image_size < least:
            raise BuilderError(
                f"image_size {image_size}: the backbone {self.backbone} takes images of {least} "
                f"pixels per side or more; raise image_size in [data] to {least} at least"
            )

    def _check_weights(self) -> None:
        text = self.weights
        if text in {"imagenet", "none"}:
            if self.digest and self.file is None:
                raise BuilderError(
                    f"weights_digest {self.digest}: weights = {text!r} is no file of yours; remove "
                    "weights_digest"
                )
            return
        if is_url(text) and not text.startswith(("https://", "http://")):
            raise BuilderError(
                f"weights {text}: is no https address; download the file, and name it"
            )
        if is_url(text) and len(self.digest) != DIGITS:
            raise BuilderError(
                f"weights {text}: weights_digest is missing; add the SHA-256 digest of the file "
                f"({DIGITS} digits), so that it is known what is downloaded"
            )
        if not text.endswith(FORMATS):
            raise BuilderError(
                f"weights {text}: is none of imagenet, none, or a file of {', '.join(FORMATS)}; "
                "correct it, or convert the file (other formats may execute code)"
            )

    def source(self) -> str:
        """Return a digest of the weights for the replicate's key; compare it if one is given.

        Empty if the name says it all: weights of Keras's own download, and random ones.

        Raises
        ------
        BuilderError
            If the file is missing, or is not the one with the digest.
        """
        if is_url(self.weights) and not self.is_file:
            return self.digest
        return "" if self.file is None else check_digest(self.file, self._expected)

    @property
    def _expected(self) -> str:
        is_packaged = self.backbone == lite.NAME and self.weights == "imagenet"
        return self.digest or (lite.DIGEST if is_packaged else "")


def _unknown_backbone(name: str) -> str:
    known = {known.lower(): known for known in BACKBONES}
    near = difflib.get_close_matches(name.lower(), known, n=1)
    meant = f"did you mean {known[near[0]]}? " if near else ""
    return (
        f"backbone {name}: is not known; {meant}known are {', '.join(BACKBONES)}, and files in "
        "Keras's native format (.keras)"
    )


def least_size(backbone: str) -> int:
    """Return the pixels per side that a backbone needs at least; 1 for a file, which says so."""
    if backbone == lite.NAME:
        return lite.LEAST_SIZE
    return APPLICATIONS[backbone].least_size if backbone in APPLICATIONS else 1


def build_backbone(choice: BackboneChoice, image_size: int, source: str = "") -> tuple[Any, Any]:
    """Build a backbone with its weights.

    Parameters
    ----------
    choice : the backbone and its weights.
    image_size : pixels per side.
    source : the digest that the file of weights must have; empty if it is not compared.

    Returns
    -------
    features : from images (B, image_size, image_size, 3), 0 to 255, to features (B, F).
    base : the network within it, whose layers may be trained.

    Raises
    ------
    BuilderError
        If it cannot be built, or the weights are missing or do not fit.
    """
    import keras

    choice.check(image_size)
    if choice.file is not None:
        check_digest(choice.file, source or choice.digest)
    if choice.is_file:
        base = _load_file(Path(choice.backbone), image_size)
    else:
        base = _build_base(choice, image_size)
    inputs = keras.Input((image_size, image_size, 3), name="image")
    x = base(preprocessed(inputs, choice.backbone))
    if len(x.shape) == 4:  # noqa: PLR2004 # a feature map
        x = keras.layers.GlobalAveragePooling2D(name="pooling")(x)
    if len(x.shape) != 2 or x.shape[-1] is None:  # noqa: PLR2004 # (B, F)
        raise BuilderError(
            f"backbone {choice.backbone}: returns {tuple(x.shape)}, which is neither a feature map "
            "(B, h, w, F) nor features (B, F); save the network without its last layers"
        )
    return keras.Model(inputs, x, name="features"), base


def preprocessed(x: Any, backbone: str) -> Any:
    """Return pixels as the backbone takes them; in float32 under every precision policy."""
    import keras

    def rescaling(scale: Any, offset: Any) -> Any:
        return keras.layers.Rescaling(scale, offset, dtype="float32", name="preprocessing")(x)

    if backbone == lite.NAME:
        return rescaling(1 / lite.DEVIATION, -lite.MEAN / lite.DEVIATION)
    match APPLICATIONS[backbone].preprocessing if backbone in APPLICATIONS else "none":
        case "tf":
            return rescaling(1 / 127.5, -1.0)
        case "torch":
            both = list(zip(TORCH_MEANS, TORCH_DEVIATIONS, strict=True))
            scale = [1 / (255 * deviation) for _, deviation in both]
            return rescaling(scale, [-mean / deviation for mean, deviation in both])
        case "caffe":
            return keras.ops.flip(rescaling(1.0, [-mean for mean in CAFFE_MEANS]), axis=-1)
    return x


def _build_base(choice: BackboneChoice, image_size: int) -> Any:
    import keras

    name, weights = choice.backbone, choice.weights
    if name == lite.NAME:
        base = lite.build(image_size)
    else:
        build = getattr(keras.applications, name)
        shape = (image_size, image_size, 3)
        if weights == "imagenet":
            return _with_imagenet_weights(build, name, shape)
        base = build(include_top=False, weights=None, input_shape=shape)
    file = _downloaded(weights, choice.digest) if is_url(weights) else choice.file
    if file is not None:
        _load_weights(base, name, file)
    return base


def _with_imagenet_weights(build: Any, name: str, shape: tuple[int, int, int]) -> Any:
    try:
        return build(include_top=False, weights="imagenet", input_shape=shape)
    except Exception as error:  # Keras raises Exception itself where a download fails
        raise BuilderError(
            f"backbone {name}: its ImageNet weights cannot be downloaded "
            f"({_first_line(error)}); connect to a network once, or name a file in weights"
        ) from error


def _downloaded(url: str, digest: str) -> Path:
    """Return a file of an address, downloaded once by Keras and compared with a digest."""
    import keras

    name = f"{digest[:16]}-{url.partition('?')[0].rpartition('/')[2]}"
    try:
        return Path(keras.utils.get_file(name, url, file_hash=digest, cache_subdir="factorgrid"))
    except Exception as error:  # Keras raises Exception itself where a download fails
        if "hash" in str(error).lower():
            raise BuilderError(
                f"weights {url}: the file there does not have the SHA-256 digest {digest}; correct "
                "weights_digest or the address"
            ) from error
        raise BuilderError(
            f"weights {url}: cannot be downloaded ({_first_line(error)}); check the address and "
            "the network, or name a file"
        ) from error


def _load_weights(base: Any, name: str, file: Path) -> None:
    """Load a file of weights into a network; every weight of the network must be in the file."""
    if str(file).endswith(KERAS_FORMATS):
        file_digest(file)  # for its error, if it cannot be read
        try:
            base.load_weights(file)
        except Exception as error:  # a damaged or another network's file can raise anything
            raise _does_not_fit(file, name, _first_line(error)) from error
        return
    arrays = read_arrays(file)
    if name == lite.NAME and "_conv_stem.weight" in arrays:
        arrays = lite.arrays_from_torch(arrays)
    values = [_array_of(variable, arrays, file, name) for variable in base.weights]
    for variable, value in zip(base.weights, values, strict=True):
        variable.assign(value)


def _array_of(
    variable: Any, arrays: dict[str, NDArray[Any]], file: Path, name: str
) -> NDArray[Any]:
    array, shape = arrays.get(variable.path), tuple(variable.shape)
    if array is None:
        raise _does_not_fit(file, name, f"{variable.path} is missing")
    if array.shape != shape:
        raise _does_not_fit(file, name, f"{variable.path} has shape {array.shape}, not {shape}")
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise _does_not_fit(file, name, f"{variable.path} has values that are not finite numbers")
    return array


def _does_not_fit(file: Path, name: str, reason: str) -> BuilderError:
    return BuilderError(
        f"weights {file}: do not fit the backbone {name} ({reason}); name the weights of this "
        "backbone, without its classifier, or the backbone of these weights"
    )


def _load_file(file: Path, image_size: int) -> Any:
    """Load a backbone in Keras's native format, if it has only layers of Keras that are safe."""
    import keras

    file_digest(file)  # for its error, if it cannot be read
    try:
        with zipfile.ZipFile(file) as archive:
            config = json.loads(archive.read("config.json"))
        unsafe = sorted(set(_unsafe_parts(config)))
        network = None if unsafe else keras.models.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # a damaged file can raise anything
        raise BuilderError(
            f"backbone {file}: is no network in Keras's native format ({_first_line(error)}); save "
            "it again with network.save"
        ) from error
    if network is None:
        raise BuilderError(
            f"backbone {file}: has {', '.join(unsafe)}, which could execute code; use layers of "
            "Keras only"
        )
    takes = getattr(network, "input_shape", None)
    if not _takes_images(takes, image_size):
        raise BuilderError(
            f"backbone {file}: takes {takes}, and the study's images are (None, {image_size}, "
            f"{image_size}, 3); correct image_size in [data], or the backbone"
        )
    if None in network.input_shape[1:]:
        # With known shapes its multiply-adds can be counted.
        inputs = keras.Input((image_size, image_size, 3))
        sized = keras.models.clone_model(network, input_tensors=inputs)
        sized.set_weights(network.get_weights())
        return sized
    return network


def _takes_images(shape: Any, image_size: int) -> bool:
    """Whether an input shape is (None, h, w, 3), with this size or any size."""
    if not isinstance(shape, tuple) or len(shape) != 4:  # noqa: PLR2004 # (B, h, w, 3)
        return False
    return shape[3] == 3 and all(side in (None, image_size) for side in shape[1:3])  # noqa: PLR2004 # red, green, blue


def _unsafe_parts(config: Any) -> Iterator[str]:
    """Yield the classes and functions of a configuration that are not safe layers of Keras."""
    if isinstance(config, dict):
        name, module = config.get("class_name"), config.get("module")
        is_foreign = isinstance(module, str) and module.split(".")[0] != "keras"
        if name in UNSAFE_LAYERS or is_foreign or name in {"function", "__lambda__"}:
            yield f"{module}.{name}" if is_foreign else str(name)
        for part in config.values():
            yield from _unsafe_parts(part)
    elif isinstance(config, list):
        for part in config:
            yield from _unsafe_parts(part)


def unfreeze_blocks(base: Any, backbone: str, unfreeze: str | int) -> None:
    """Let the last blocks of a network be trained, and no other of its layers.

    A block is what the names of the network's layers call one (``block7a``, ``conv5_block3``);
    layers behind the last block belong to it. Where no layer has such a name, each layer with a
    kernel begins a block. Batch normalisation is never trained: its averages stay those of the
    images that the backbone was trained on, and it computes as in a prediction. So do the layers
    that are not trained: they have no dropout.

    Parameters
    ----------
    base : the network.
    backbone : its name, for an error.
    unfreeze : ``none``, ``all``, or a number of blocks.

    Raises
    ------
    BuilderError
        If it has fewer blocks.
    """
    start = first_unfrozen_layer(base, backbone, unfreeze)
    base.trainable = True
    for position, layer in enumerate(base.layers):
        layer.trainable = position >= start
    for layer in layers_within(base.layers[:start]):
        # Keras drops units in a training also where a layer is not trainable.
        if getattr(layer, "seed_generator", None) is not None and hasattr(layer, "rate"):
            layer.rate = 0.0
    for layer in layers_within(base.layers):
        # Keras computes a call with `training=True` with the averages of the batch, even where the
        # layer was called with `training=False`; only a layer that is not trainable keeps its own.
        if type(layer).__name__ == "BatchNormalization":
            layer.trainable = False


def first_unfrozen_layer(base: Any, backbone: str, unfreeze: str | int) -> int:
    """Return the position of the first layer of a network that is trained; see `unfreeze_blocks`.

    It is the number of layers if none is trained.

    Raises
    ------
    BuilderError
        If the network has fewer blocks.
    """
    blocks = first_layers_of_blocks(base)
    count = {"none": 0, "all": len(blocks)}.get(str(unfreeze))
    count = int(unfreeze) if count is None else count
    if count > len(blocks):
        raise BuilderError(
            f"unfreeze {unfreeze}: the backbone {backbone} has {len(blocks)} blocks; lower it, or "
            'write "all"'
        )
    if unfreeze == "all":
        return 0
    return blocks[-count] if count else len(base.layers)


def layers_within(layers: Iterable[Any]) -> Iterator[Any]:
    """Yield layers, and those of networks among them."""
    for layer in layers:
        yield layer
        yield from layers_within(getattr(layer, "layers", ()))


def first_layers_of_blocks(base: Any) -> list[int]:
    """Return the position of the first layer of each block of a network."""
    firsts: dict[str, int] = {}
    for position, layer in enumerate(base.layers):
        found = _BLOCK.match(layer.name)
        if found:
            firsts.setdefault(found[1], position)
    if firsts:
        return sorted(firsts.values())
    return [
        n for n, layer in enumerate(base.layers) if any(len(w.shape) > 1 for w in layer.weights)
    ]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
