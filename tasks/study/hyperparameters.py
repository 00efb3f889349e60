"""The settings of the network and of its training, any of which may be a factor."""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from analysis.errors import FactorError
from analysis.factors import Factor
from models.networks.build_network import BUILT_IN, NETWORK_NAMES
from models.networks.plain_cnn import ACTIVATIONS
from models.networks.residual_cnn import DOWNSAMPLINGS, HEADS, IDENTIFIER, NORMALIZATIONS
from models.spec import DEFAULT_BUILDER, PRETRAINED_BUILDER, Scalar
from tasks.study.field_help import add_help

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
    "weight_decay": ("log", (1e-8, 1.0)),
    "warmup": ("linear", (0.0, 0.9)),
    "label_smoothing": ("linear", (0.0, 0.9)),
    "clip_norm": ("log", (1e-4, 1e4)),
    "ema": ("linear", (0.0, 0.99999)),
    "mixup": ("linear", (0.0, 10.0)),
    "cutmix": ("linear", (0.0, 10.0)),
    "erase": ("linear", (0.0, 1.0)),
}
#: The same for the settings that only one built-in network has, by its identifier. A user's own
#: network may have settings of these names with other values.
NETWORK_SCALES: dict[str, dict[str, tuple[str, tuple[float, float]]]] = {
    IDENTIFIER: {
        "stages": ("integer", (1, 8)),
        "depth": ("integer", (1, 16)),
        "width": ("integer", (8, 1024)),
        "width_growth": ("linear", (1.0, 4.0)),
        "stochastic_depth": ("linear", (0.0, 0.9)),
    },
    PRETRAINED_BUILDER: {"backbone_rate": ("log", (1e-6, 1.0))},
}
#: The values of the settings of the built-in networks that are categories.
CATEGORIES: dict[str, tuple[Scalar, ...]] = {
    "activation": ACTIVATIONS,
    "normalization": NORMALIZATIONS,
    "downsample": DOWNSAMPLINGS,
    "head": HEADS,
    "residual": (False, True),
    "squeeze_excitation": (False, True),
}


#: Characters of a value that an error quotes, at most.
QUOTED = 200

#: Settings of a network that may also be 0 where they do not vary.
MAY_BE_ZERO = frozenset({"conv_layers", "fc_layers", "depth"})
#: Settings of a network that are names, paths or digests. They cannot be factors.
TEXT_SETTINGS = frozenset({"backbone", "weights", "weights_digest"})


def known_scale(name: str, builder: str) -> tuple[str | None, tuple[float, float] | None]:
    """Return the scale and the domain of a setting of a network; None for each if not known."""
    scales = {**KNOWN_SCALES, **NETWORK_SCALES.get(builder, {})}
    return scales.get(name, (None, None))


def setting_fault(name: str, value: object, builder: str = DEFAULT_BUILDER) -> str:
    """Return why a value of a setting of a built-in network is not valid; empty if it is."""
    if known := CATEGORIES.get(name):
        # 1 and 0 are equal to True and False.
        is_known = any(value == one and type(value) is type(one) for one in known)
        texts = (str(one).lower() if isinstance(one, bool) else str(one) for one in known)
        return "" if is_known else f"not one of {', '.join(texts)}"
    if name in TEXT_SETTINGS and not isinstance(value, str):
        return "not text"
    if name == "unfreeze" and value not in {"none", "all"} and not _is_count(value):
        return "not none, all, or a number of blocks"
    scale, domain = known_scale(name, builder)
    if domain is None:
        return ""
    low, high = (0.0 if name in MAY_BE_ZERO else domain[0]), domain[1]
    whole = scale == "integer"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and low <= value <= high and not (whole and value % 1):  # type: ignore[operator] # a number
        return ""
    return f"not a {'whole ' * whole}number from {low:g} to {high:g}"


def closest(name: str, known: Iterable[str]) -> str:
    """Return the known name that one with a spelling mistake most likely means; empty if none."""
    return next(iter(difflib.get_close_matches(name.lower(), list(known), n=1)), "")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


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
#: Values of a list, at most.
MAX_VALUES = 100


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

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), json_schema_extra=add_help
    )


class FactorPart(Part):
    """``[factors.NAME]``: the two levels and the scale between them, or a list of the values.

    Of a list of numbers, no other value is run; low and high are its ends, unless they name two
    values of the list, with which the search then starts. Three or more categories are always a
    list; the first is the reference. With ``when``, the factor counts only in cells with these
    values of other factors; elsewhere the setting keeps the value that it has without the factor.
    """

    low: Level | None = None
    high: Level | None = None
    values: Annotated[tuple[Level, ...], Field(min_length=2, max_length=MAX_VALUES)] | None = None
    scale: Literal["linear", "log", "integer", "categorical"] | None = None
    domain: tuple[float, float] | None = None
    when: Annotated[dict[str, Level | tuple[Level, ...]], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _has_levels_or_values(self) -> Self:
        missing = [key for key in ("low", "high") if getattr(self, key) is None]
        if missing and (self.values is None or len(missing) == 1):
            raise ValueError(
                f"{missing[0]} is missing; add it, or give only a list: values = [..., ...]"
            )
        if self.values and self.domain is not None:
            raise ValueError("domain and values are both given; remove domain")
        return self

    @property
    def levels(self) -> tuple[Scalar, ...]:
        """Every level that the file names."""
        return self.values or (self.low, self.high)  # type: ignore[return-value] # as checked

    def factor(self, name: str, *, counts: bool = True, builder: str = DEFAULT_BUILDER) -> Factor:
        """Return the factor that the analysis knows.

        Parameters
        ----------
        name : of the setting.
        counts : whether an unknown setting takes whole numbers only, if its levels are whole
            numbers on a log scale, as those of layers and units are.
        builder : the identifier of the network.
        """
        known, domain = known_scale(name, builder)
        guessed = _scale_of(self.levels)
        by_ratio = "log" if self.values and _has_equal_ratios(self.values) else None
        scale = self.scale or by_ratio or known or guessed
        if known is not None:
            counts = known == "integer"
        else:
            counts = counts and scale == "log" and guessed == "integer"
        values, domain = self.values or (), self.domain or domain
        if values and scale == "categorical":
            if self.low is not None:
                raise FactorError(
                    f"factor {name}: categories have values only; remove low and high"
                )
        elif values:
            values = _rising(name, values, domain)
            domain = (float(values[0]), float(values[-1]))
        low, high = (values[0], values[-1]) if values else self.levels
        if self.low is not None and self.high is not None:
            low, high = self.low, self.high
        if scale == "categorical" and len(values) == 2:  # noqa: PLR2004 # low and high
            values = ()
        when = tuple(
            (other, known if isinstance(known, tuple) else (known,))
            for other, known in (self.when or {}).items()
        )
        return Factor(name, low, high, scale, domain, counts, values, when)  # type: ignore[arg-type] # a Literal by construction


def _rising(
    name: str, values: Sequence[Scalar], domain: tuple[float, float] | None
) -> tuple[Scalar, ...]:
    """Return a list of numbers in rising order, and inside the domain of the setting."""
    for value in values:
        if isinstance(value, bool | str) or not math.isfinite(value):
            raise FactorError(
                f"factor {name}: value {value!r} is not a number; give one, or "
                'scale = "categorical"'
            )
        if domain and not domain[0] <= value <= domain[1]:
            raise FactorError(
                f"factor {name}: value {value!r} lies outside {domain[0]:g} to {domain[1]:g}; "
                "remove it"
            )
    return tuple(sorted(values, key=float))


def _has_equal_ratios(values: Sequence[Scalar]) -> bool:
    """Whether three or more values are each the same multiple of the one before, as 16, 32, 64."""
    numbers = [x for x in values if not isinstance(x, bool | str) and x > 0]
    if len(numbers) < len(values) or len(numbers) < 3:  # noqa: PLR2004 # two have one ratio
        return False
    ratios = [b / a for a, b in pairwise(sorted(map(float, numbers)))]
    return math.isclose(min(ratios), max(ratios), rel_tol=1e-3) and ratios[0] > 1


def _scale_of(levels: Sequence[Scalar]) -> str:
    if any(isinstance(level, bool | str) for level in levels):
        return "categorical"
    return "integer" if all(isinstance(level, int) for level in levels) else "linear"


class TrainingPart(Part):
    """``[training]``: `models.spec.TrainingSpec`, with bounds."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 8
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 0.001
    optimizer: Literal["adam", "adamw", "sgd", "nesterov", "rmsprop", "lion"] = "adam"
    #: Before the levels had names there were only False (none) and True (light).
    augment: Literal["none", "flip", "light", "strong", False, True] = False
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    deterministic: bool = False
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    schedule: Literal["constant", "cosine", "one_cycle"] = "constant"
    warmup: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    label_smoothing: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    clip_norm: Annotated[float, Field(ge=0, le=1e4)] = 0.0
    ema: Annotated[float, Field(ge=0, le=0.99999)] = 0.0
    class_weight: Literal["none", "balanced"] = "none"
    mixup: Annotated[float, Field(ge=0, le=10)] = 0.0
    cutmix: Annotated[float, Field(ge=0, le=10)] = 0.0
    erase: Annotated[float, Field(ge=0, le=1)] = 0.0
    keep: Literal["last", "best"] = "last"
    average_flip: bool = False


class ModelPart(BaseModel):
    """``[model]``: the network, and every other key a setting of it.

    ``network`` is the name of a built-in network; it is stored as the identifier of its builder.
    A user's own builder, ``module:function``, is searched for in the folder of the study file;
    `tasks.study.custom_network` adds the digest of its code.
    """

    model_config = ConfigDict(
        extra="allow", frozen=True, protected_namespaces=(), json_schema_extra=add_help
    )
    builder: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")] = DEFAULT_BUILDER
    # Set when the study is read, and in no file or form.
    builder_folder: SkipJsonSchema[StudyPath | None] = None
    builder_source: SkipJsonSchema[str] = ""

    @model_validator(mode="before")
    @classmethod
    def _take_a_name(cls, content: Any) -> Any:
        """Replace the name of a built-in network by its identifier."""
        if not isinstance(content, Mapping) or "network" not in content:
            return content
        builder, name = content.get("builder"), content["network"]
        if builder is not None and builder not in BUILT_IN:
            return content  # a setting of the user's own builder
        if builder is not None:
            raise ValueError(
                f"network {name!r:.{QUOTED}} and builder {builder!r} both name the network; keep "
                "one of them"
            )
        if not isinstance(name, str) or name not in NETWORK_NAMES:
            near = closest(str(name)[:QUOTED], NETWORK_NAMES)
            meant = f"did you mean {near}? " if near else ""
            raise ValueError(
                f"network {name!r:.{QUOTED}} is unknown; {meant}networks: "
                f'{", ".join(NETWORK_NAMES)}; your own is builder = "module:function"'
            )
        others = {key: value for key, value in content.items() if key != "network"}
        return {**others, "builder": NETWORK_NAMES[name]}

    @property
    def settings(self) -> dict[str, Scalar]:
        """The builder's keywords."""
        return dict(self.model_extra or {})
