"""What to train, as data: the settings of one replicate, and their digest."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from models.errors import SpecError

#: A factor's level, or any other setting of the model: what both TOML and MLflow can hold.
Scalar = bool | int | float | str

#: The identifier of the network that is built if a study names none. It is part of every key and of
#: stored studies, so that it never changes, wherever the code lies (`models.networks`).
DEFAULT_BUILDER = "models.cnn:build"

#: Raised by one whenever equal specs and seeds would train to other weights than before.
TRAINING_VERSION = 3

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
}
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
}

#: Settings of `TrainingSpec` that, at any value but the neutral one, make what an epoch does depend
#: on the number of epochs. A learning-rate schedule over the whole length is added here: a training
#: with it does not begin like a longer one, and `continues` is false.
LENGTH_DEPENDENT: frozenset[str] = frozenset()


@dataclass(frozen=True)
class TrainingSpec:
    """How to train: everything but the network.

    Attributes
    ----------
    epochs : passes over the training images.
    batch_size : images a step.
    learning_rate : the optimiser's step.
    optimizer : ``adam``, ``sgd`` (momentum 0.9) or ``rmsprop``.
    augment : random flip, shift and zoom inside the compiled step.
    precision : ``auto`` (mixed bfloat16 where the hardware has it), ``float32`` or ``bfloat16``.
    deterministic : equal seeds give bit-equal weights on one machine.
    """

    epochs: int = 8
    batch_size: int = 64
    learning_rate: float = 0.001
    optimizer: str = "adam"
    augment: bool = False
    precision: str = "auto"
    deterministic: bool = False


@dataclass(frozen=True)
class ModelSpec:
    """Which network: a builder, and the keywords it is called with.

    Attributes
    ----------
    builder : the identifier of a built-in network (`models.networks.build_network.BUILT_IN`), or
        ``module:function`` of the user's own.
    settings : the builder's keywords.
    source : the digest of the file of a user's own builder, so that changed code has another key.
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
        return {
            "builder": self.model.builder,
            "source": self.model.source,
            "network": _without_neutral(self.model.settings, network),
            "training": _without_neutral(dataclasses.asdict(self.training), NEUTRAL_TRAINING),
            "image_size": self.image_size,
            "seed": self.seed,
            "dataset": dataset_version,
            "version": TRAINING_VERSION,
        }


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
