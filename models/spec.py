"""What to train, as data: the settings of one replicate, and their digest."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from models.errors import SpecError

#: A factor's level, or any other setting of the model: what both TOML and MLflow can hold.
Scalar = bool | int | float | str

#: The identifier of the network that is built if a study names none. It is part of every key and of
#: stored studies, so that it never changes, wherever the code lies (`models.networks`).
DEFAULT_BUILDER = "models.cnn:build"
#: The identifier of the network of transfer learning.
PRETRAINED_BUILDER = "models.pretrained:build"

#: Raised by one whenever equal specs and seeds would train to other weights than before. Specs that
#: the last changes did not concern keep the version before (`ReplicateSpec._version`).
TRAINING_VERSION = 5

#: Settings that a key leaves out, by their values. A new setting is added here with the value at
#: which it changes nothing, so that the keys of stored studies stay as they are. Entries are never
#: changed, not even when a default of `TrainingSpec` or of a network changes.
NEUTRAL_TRAINING: dict[str, Scalar] = {
    "epochs": 8,
    "batch_size": 64,
    "learning_rate": 0.001,
    "optimizer": "adam",
    "augment": False,
    "precision": "auto",
    "deterministic": False,
    "weight_decay": 0.0,
    "schedule": "constant",
    "warmup": 0.0,
    "label_smoothing": 0.0,
    "clip_norm": 0.0,
    "ema": 0.0,
    "class_weight": "none",
    "mixup": 0.0,
    "cutmix": 0.0,
    "erase": 0.0,
    "keep": "last",
    "average_flip": False,
}
#: Settings of the training that change images, with the values at which they change nothing.
IMAGE_CHANGES: dict[str, tuple[Scalar, ...]] = {
    "augment": (False, "none"),
    "mixup": (0,),
    "cutmix": (0,),
    "erase": (0,),
    "average_flip": (False,),
}
#: The levels of `augment` that had no names at first. Keys and stored studies have them as they
#: were.
UNNAMED_AUGMENT: dict[str, bool] = {"none": False, "light": True}
#: The same for the settings of the built-in networks, by their identifiers.
NEUTRAL_NETWORK: dict[str, dict[str, Scalar]] = {
    DEFAULT_BUILDER: {
        "conv_layers": 3,
        "fc_layers": 1,
        "filters": 64,
        "kernel_size": 3,
        "dense_units": 64,
        "dropout": 0.2,
        "activation": "relu",
    },
    "models.residual:build": {
        "stages": 4,
        "depth": 1,
        "width": 16,
        "width_growth": 2.0,
        "normalization": "batch",
        "residual": True,
        "downsample": "pooling",
        "head": "average",
        "squeeze_excitation": False,
        "activation": "relu",
        "dropout": 0.0,
        "stochastic_depth": 0.0,
    },
    PRETRAINED_BUILDER: {
        "backbone": "efficientnet-lite0",
        "weights": "imagenet",
        "weights_digest": "",
        "unfreeze": "none",
        "backbone_rate": 0.1,
        "fc_layers": 0,
        "dense_units": 64,
        "dropout": 0.2,
        "activation": "relu",
    },
}
#: Settings that name a file whose digest is the `source` of a spec. A key has the file's name only,
#: and the digest: the same file in another folder has the same key.
FILE_SETTINGS: dict[str, tuple[str, ...]] = {PRETRAINED_BUILDER: ("backbone", "weights")}

#: Settings of `TrainingSpec` that, at any value but the neutral one, make what an epoch does depend
#: on the number of epochs: a training with one of them does not begin like a longer one, and
#: `continues` is false.
LENGTH_DEPENDENT: frozenset[str] = frozenset({"schedule", "warmup"})


@dataclass(frozen=True)
class TrainingSpec:
    """How to train: everything but the network.

    Attributes
    ----------
    epochs : passes over the training images.
    batch_size : images a step.
    learning_rate : the optimizer's step; with a schedule, its largest value.
    optimizer : ``adam``, ``adamw``, ``sgd`` (momentum 0.9), ``nesterov`` (the same with Nesterov
        momentum), ``rmsprop`` or ``lion``.
    augment : random changes of the training images inside the compiled step: ``none`` (or False),
        ``flip``, ``light`` (or True: flip, shift and zoom) or ``strong``; see
        `models.training.augmentation`.
    precision : ``auto`` (mixed bfloat16 where the hardware has it), ``float32`` or ``bfloat16``.
    deterministic : equal seeds give bit-equal weights on one machine.
    weight_decay : decoupled from the gradient, times the learning rate, and of kernels only: biases
        and the scales of normalization do not decay. ``adam`` with it is ``adamw``.
    schedule : of the learning rate, over all steps: ``constant``, ``cosine`` or ``one_cycle``; see
        `models.training.schedule`.
    warmup : the share of the steps in which the learning rate rises. 0: none, and 0.3 of
        ``one_cycle``.
    label_smoothing : the share of each target that is divided equally between all classes.
    clip_norm : the largest norm of the gradient of all weights together; 0: no limit.
    ema : momentum of an exponential moving average of the weights, one update per step, with which
        the network is evaluated and saved; 0: none.
    class_weight : ``none``, or ``balanced``: each class counts equally in the loss.
    mixup, cutmix : the parameter of the Beta distribution of the share of a second image that is
        added to a training image, or pasted into it; 0: none.
    erase : the share of the training images in which a random rectangle is made uniform.
    keep : the epoch whose weights are kept: ``last``, or ``best`` by validation accuracy.
    average_flip : whether the network that is evaluated and saved averages the logits of an image
        and of the mirrored image. It is trained without this.
    """

    epochs: int = 8
    batch_size: int = 64
    learning_rate: float = 0.001
    optimizer: str = "adam"
    augment: bool | str = False
    precision: str = "auto"
    deterministic: bool = False
    weight_decay: float = 0.0
    schedule: str = "constant"
    warmup: float = 0.0
    label_smoothing: float = 0.0
    clip_norm: float = 0.0
    ema: float = 0.0
    class_weight: str = "none"
    mixup: float = 0.0
    cutmix: float = 0.0
    erase: float = 0.0
    keep: str = "last"
    average_flip: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.augment, str) and self.augment in UNNAMED_AUGMENT:
            object.__setattr__(self, "augment", UNNAMED_AUGMENT[self.augment])

    @property
    def changes_images(self) -> bool:
        """Whether a network sees other images than those of the cache."""
        return any(getattr(self, name) not in same for name, same in IMAGE_CHANGES.items())


@dataclass(frozen=True)
class ModelSpec:
    """Which network: a builder, and the keywords it is called with.

    Attributes
    ----------
    builder : the identifier of a built-in network (`models.networks.build_network.BUILT_IN`), or
        ``module:function`` of the user's own.
    settings : the builder's keywords.
    source : the digest of the file of a user's own builder, or of a file of weights, so that
        changed code and other weights have another key.
    """

    builder: str = DEFAULT_BUILDER
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True)
class ReplicateSpec:
    """One replicate: a cell's network and training, image size in pixels, and the seed."""

    model: ModelSpec
    training: TrainingSpec
    image_size: int
    seed: int

    def with_levels(self, levels: Mapping[str, Scalar]) -> Self:
        """Return the spec at these natural levels: of training by name, else of the model."""
        names = {f.name for f in dataclasses.fields(TrainingSpec)}
        training = {k: v for k, v in levels.items() if k in names}
        settings = {k: v for k, v in levels.items() if k not in names}
        return dataclasses.replace(
            self,
            training=dataclasses.replace(self.training, **training),  # type: ignore[arg-type] # checked where a study is read
            model=dataclasses.replace(self.model, settings={**self.model.settings, **settings}),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` is its inverse."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build a spec from `to_dict`'s answer."""
        try:
            model = ModelSpec(**data["model"])
            return cls(model, TrainingSpec(**data["training"]), data["image_size"], data["seed"])
        except (KeyError, TypeError) as error:
            raise SpecError(f"not the spec of a replicate: {error}") from error

    def key(self, dataset_version: str) -> str:
        """Return the replicate's key: equal keys train to equal figures, and are trained once.

        Only what differs from the neutral settings is digested.
        """
        return _digest(self._content(dataset_version))

    def prefix_key(self, dataset_version: str) -> str:
        """Return the key without the number of epochs: equal for trainings that begin equally.

        Of two trainings with equal prefix keys, the shorter one is the beginning of the longer one
        if `continues` says so.
        """
        content = self._content(dataset_version)
        content["training"].pop("epochs", None)
        # Otherwise it would be the key of the neutral number of epochs, which a key leaves out.
        return _digest({**content, "prefix": True})

    def _content(self, dataset_version: str) -> dict[str, Any]:
        network = NEUTRAL_NETWORK.get(self.model.builder, {})
        settings = dict(self.model.settings)
        for name in FILE_SETTINGS.get(self.model.builder, ()) if self.model.source else ():
            if name in settings:
                settings[name] = str(settings[name]).rpartition("/")[2]
                settings.pop("weights_digest", None)
        return {
            "builder": self.model.builder,
            "source": self.model.source,
            "network": _without_neutral(settings, network),
            "training": _without_neutral(dataclasses.asdict(self.training), NEUTRAL_TRAINING),
            "image_size": self.image_size,
            "seed": self.seed,
            "dataset": dataset_version,
            "version": self._version(),
        }

    def _version(self) -> int:
        """Return the training version of this spec.

        Version 5 has no dropout in the frozen blocks of a backbone. Of those with names only the
        EfficientNets have dropout between blocks; a file may have it. Version 4 moves the images of
        light augmentation in another way, and rounds normalization on a CPU in another way, which
        counts where weights must be equal bit by bit. The plain network has no normalization.
        """
        backbone = str(self.model.settings.get("backbone", ""))
        has_dropout = backbone.startswith("EfficientNet") or backbone.endswith(".keras")
        if has_dropout and is_partly_frozen(self.model):
            return TRAINING_VERSION
        light = self.training.augment is True
        other_bits = self.training.deterministic and self.model.builder != DEFAULT_BUILDER
        return 4 if light or other_bits else 3


def is_frozen(model: ModelSpec) -> bool:
    """Whether a spec is of a pretrained network whose backbone is not trained."""
    # The value may be one that a study must not have, and that is refused later.
    unfreeze = model.settings.get("unfreeze", "none")
    return model.builder == PRETRAINED_BUILDER and str(unfreeze) in {"none", "0"}


def trained_blocks(model: ModelSpec) -> float:
    """Return how many blocks of a backbone are trained: infinity for all, 0 without a backbone."""
    unfreeze = str(model.settings.get("unfreeze", "none"))
    if model.builder != PRETRAINED_BUILDER or unfreeze == "none":
        return 0.0
    return math.inf if unfreeze == "all" else float(unfreeze)


def is_partly_frozen(model: ModelSpec) -> bool:
    """Whether a spec is of a pretrained network of which only the last blocks are trained."""
    return 0 < trained_blocks(model) < math.inf


def continues(shorter: ReplicateSpec, longer: ReplicateSpec) -> bool:
    """Whether a training is the beginning of a longer one, which can continue where it ended.

    They must differ only in the number of epochs, and no setting may depend on it
    (`LENGTH_DEPENDENT`).
    """
    training = longer.training
    if any(getattr(training, name) != NEUTRAL_TRAINING[name] for name in LENGTH_DEPENDENT):
        return False
    epochs = training.epochs
    as_long = dataclasses.replace(shorter.training, epochs=epochs)
    return (
        shorter.training.epochs < epochs
        and dataclasses.replace(shorter, training=as_long) == longer
    )


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _without_neutral(
    settings: Mapping[str, Scalar], neutral: Mapping[str, Scalar]
) -> dict[str, Scalar]:
    return {k: v for k, v in settings.items() if k not in neutral or neutral[k] != v}
