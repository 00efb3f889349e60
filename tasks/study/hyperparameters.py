"""The settings of the network and of its training, any of which may be a factor."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from analysis.factors import Factor
from models.networks.plain_cnn import ACTIVATIONS
from models.spec import DEFAULT_BUILDER, Scalar

#: The scale and the domain of the factors that are known, so that a study need not give them.
KNOWN_SCALES: dict[str, tuple[str, tuple[float, float] | None]] = {
    "conv_layers": ("integer", (1, 16)),
    "fc_layers": ("integer", (1, 16)),
    "filters": ("integer", (1, 4096)),
    "kernel_size": ("integer", (1, 15)),
    "dense_units": ("integer", (1, 65536)),
    "batch_size": ("integer", (1, 65536)),
    "epochs": ("integer", (1, 100000)),
    "learning_rate": ("log", (1e-8, 10.0)),
    "dropout": ("linear", (0.0, 0.95)),
}


#: Settings of a network that may also be 0 where they do not vary.
MAY_BE_ZERO = frozenset({"conv_layers", "fc_layers"})


def setting_fault(name: str, value: object) -> str:
    """Return why a value of a setting of a built-in network is not valid; empty if it is."""
    if name == "activation":
        return "" if value in ACTIVATIONS else f"not one of {', '.join(ACTIVATIONS)}"
    scale, domain = KNOWN_SCALES.get(name, (None, None))
    if domain is None:
        return ""
    low, high = (0.0 if name in MAY_BE_ZERO else domain[0]), domain[1]
    whole = scale == "integer"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and low <= value <= high and not (whole and value % 1):  # type: ignore[operator] # a number
        return ""
    return f"not a {'whole ' * whole}number from {low:g} to {high:g}"


#: The context of a validation that reads a study back from MLflow. An earlier version may have
#: stored what this one no longer accepts in a new study.
STORED = {"stored": True}


def is_stored(info: ValidationInfo) -> bool:
    """Whether a validation reads a study back from MLflow; see `STORED`."""
    return info.context == STORED


def _usable_path(path: Path, info: ValidationInfo) -> Path:
    if is_stored(info):
        return path
    if "\0" in str(path):
        raise ValueError("a path cannot have a NUL character; correct it")
    try:
        path.expanduser()
    except RuntimeError:
        raise ValueError(f"{path}: there is no such user; write the whole path") from None
    return path


#: A path of a study file.
StudyPath = Annotated[Path, AfterValidator(_usable_path)]


#: The largest whole number of a level, up to which floating-point numbers are exact, and the
#: characters of a level, at most.
LARGEST_LEVEL, MAX_LEVEL_CHARACTERS = 2**53, 200


def _usable_level(level: Scalar, info: ValidationInfo) -> Scalar:
    if is_stored(info):
        return level
    if isinstance(level, str) and len(level) > MAX_LEVEL_CHARACTERS:
        raise ValueError(f"a level has at most {MAX_LEVEL_CHARACTERS} characters; shorten it")
    if isinstance(level, int) and abs(level) > LARGEST_LEVEL:
        raise ValueError(f"a whole number is at most {LARGEST_LEVEL}; correct it")
    return level


#: A level of a factor in a study file.
Level = Annotated[Scalar, AfterValidator(_usable_level)]


class Part(BaseModel):
    """A table of a study file. Unknown keys are errors, and values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class FactorPart(Part):
    """``[factors.NAME]``: the two levels, and the scale between them."""

    low: Level
    high: Level
    scale: Literal["linear", "log", "integer", "categorical"] | None = None
    domain: tuple[float, float] | None = None

    def factor(self, name: str, *, counts: bool = True) -> Factor:
        """Return the factor that the analysis knows.

        Parameters
        ----------
        name : of the setting.
        counts : whether an unknown setting takes whole numbers only, if its levels are whole
            numbers on a log scale, as those of layers and units are.
        """
        known, domain = KNOWN_SCALES.get(name, (None, None))
        guessed = _scale_of(self.low, self.high)
        scale = self.scale or known or guessed
        if known is not None:
            counts = known == "integer"
        else:
            counts = counts and scale == "log" and guessed == "integer"
        return Factor(name, self.low, self.high, scale, self.domain or domain, counts)  # type: ignore[arg-type] # a Literal by construction


def _scale_of(low: Scalar, high: Scalar) -> str:
    levels = (low, high)
    if any(isinstance(level, bool | str) for level in levels):
        return "categorical"
    return "integer" if all(isinstance(level, int) for level in levels) else "linear"


class TrainingPart(Part):
    """``[training]``: `models.spec.TrainingSpec`, with bounds."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 8
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 0.001
    optimizer: Literal["adam", "sgd", "rmsprop"] = "adam"
    augment: bool = False
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    deterministic: bool = False


class ModelPart(BaseModel):
    """``[model]``: the builder, and every other key a keyword of it.

    A user's own builder, ``module:function``, is searched for in the folder of the study file;
    `tasks.study.custom_network` adds the digest of its code.
    """

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())
    builder: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")] = DEFAULT_BUILDER
    builder_folder: StudyPath | None = None
    builder_source: str = ""

    @property
    def settings(self) -> dict[str, Scalar]:
        """The builder's keywords."""
        return dict(self.model_extra or {})
