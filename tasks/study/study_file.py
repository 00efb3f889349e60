"""A study file, checked: an error is one line that names the field, the value and the remedy."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from analysis.designs.fractions import Fraction
from analysis.designs.mixed_levels import design_within, usual_design
from analysis.errors import DesignError, FactorError
from analysis.factors import Factor
from analysis.runs.response import (
    DEFAULT,
    DEFAULT_IMBALANCED,
    RESPONSES,
    SECOND_RESPONSES,
    Response,
    is_imbalanced,
    response_of,
)
from analysis.search.best_cell import Pick
from analysis.search.budget import (
    FACTORIAL,
    LATIN_HYPERCUBE,
    Screen,
    default_budget,
    least_budget,
    least_factorial_budget,
    rules_for_budget,
)
from analysis.search.procedure import SearchRules
from models.networks.backbone import KERAS_FILE
from models.networks.build_network import BUILT_IN, network_settings
from models.networks.weight_files import FORMATS
from models.spec import (
    DEFAULT_BUILDER,
    LENGTH_DEPENDENT,
    NEUTRAL_NETWORK,
    NEUTRAL_TRAINING,
    ModelSpec,
    ReplicateSpec,
    Scalar,
    TrainingSpec,
    is_frozen,
)
from tasks.credentials import move_signature_to_environment
from tasks.errors import StudyError
from tasks.redaction import SIGNED_URLS, has_secret, without_password
from tasks.study.hyperparameters import (
    QUOTED,
    STORED,
    FactorPart,
    Level,
    ModelPart,
    Part,
    StudyPath,
    TrainingPart,
    closest,
    is_stored,
    setting_fault,
)
from tasks.study.replaced_keys import with_replaced_keys
from tasks.study.toml_file import read_toml

#: Raised by one whenever a default below changes: a study that was interrupted is then not resumed.
STUDY_VERSION = 1


#: Keys of ``method = "published"``.
PUBLISHED_KEYS = ("replicates", "screen_cells", "centre_points", "pilot", "refine", "confirm")

#: Drawn images, and their pixels together, at most: their cache has 13 GB.
MAX_DRAWN, MAX_DRAWN_PIXELS = 100_000, 2**32

#: Trainings of a search, at most.
MAX_BUDGET = 10_000

#: Cells that are chosen at once, at most: with more, each is chosen by little more than chance.
MAX_PARALLEL = 64

#: Factors of a study, at most: as many as the table of fractions has.
MAX_FACTORS = 15

#: Columns of the tables of runs and cells: no factor can have their names.
TABLE_COLUMNS = frozenset(
    {
        *("run_id", "key", "reused_from", "stage", "replicate", "seed", "centre", "status"),
        *("collapsed", "val_accuracy", "val_loss", "train_seconds"),
        *("n", "mean", "sd", "multiply_adds", "parameters", "left_out", "equal"),
        *("run", "block"),
        *RESPONSES,
        *SECOND_RESPONSES,
    }
)


def is_url(text: str) -> bool:
    """Whether a source is a URL; in a path only one of its two slashes is left."""
    return bool(re.match(r"[a-z][a-z0-9+.-]+:/", text))


#: Names that MLflow accepts, and that need no quotes in its filters.
ModelName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\w][\w .-]*$")]


class DataPart(Part):
    """``[data]``: which pictures, how many, and their size (pixels per side)."""

    source: StudyPath | None = None
    drawn: Annotated[int, Field(ge=64)] | None = None
    image_size: Annotated[int, Field(ge=16, le=1024)] = 64
    per_class: Annotated[int, Field(ge=8)] | None = None
    seed: int = 1
    training: Annotated[float, Field(gt=0, lt=1)] = 0.7
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.15
    exclude: dict[str, str] = Field(default_factory=dict)
    rules: StudyPath | None = None
    #: Where relative paths start. No key of the file, and no part of the study's identity.
    _source_folder: Path = PrivateAttr(default=Path())
    _rules_folder: Path = PrivateAttr(default=Path())

    def in_folder(self, folder: Path, *, source: bool) -> "DataPart":
        """Return the same with relative paths that start from a folder, not from the current one.

        Parameters
        ----------
        folder : that of the study file.
        source : whether the source is from the file, too.
        """
        copied = self.model_copy()
        copied._rules_folder = folder  # noqa: SLF001 # of this class
        copied._source_folder = folder if source else Path()  # noqa: SLF001 # of this class
        return copied

    @property
    def source_place(self) -> Path | None:
        """Where the pictures are; a URL stays as it is."""
        if self.source is None or is_url(str(self.source)):
            return self.source
        return self._source_folder / self.source.expanduser()

    @property
    def rules_place(self) -> Path | None:
        """Where the file of rules is."""
        return self.rules and self._rules_folder / self.rules.expanduser()

    @field_validator("drawn")
    @classmethod
    def _is_not_too_many(cls, drawn: int | None, info: ValidationInfo) -> int | None:
        if drawn is not None and drawn > MAX_DRAWN and not is_stored(info):
            raise ValueError(f"at most {MAX_DRAWN} images are drawn, given {drawn}; lower it")
        return drawn

    @field_validator("source")
    @classmethod
    def _has_no_secret(cls, source: Path | None, info: ValidationInfo) -> Path | None:
        url = re.sub(":/+", "://", str(source), count=1)
        if source is not None and is_url(url) and has_secret(url):
            if is_stored(info):
                return Path(without_password(url))
            raise ValueError(
                f"{without_password(url)} has a password, token or signature, which would "
                f"be kept in MLflow with the study; give a signed address in {SIGNED_URLS}, other "
                "credentials in the environment, as the store's package reads them"
            )
        return source

    @model_validator(mode="after")
    def _drawn_images_fit(self, info: ValidationInfo) -> Self:
        if self.drawn is None or is_stored(info):
            return self
        if self.drawn * self.image_size**2 > MAX_DRAWN_PIXELS:
            raise ValueError(
                f"drawn {self.drawn} images of {self.image_size} x {self.image_size} pixels are "
                f"more than {MAX_DRAWN_PIXELS:,} pixels; lower drawn or image_size"
            )
        return self

    @model_validator(mode="after")
    def _leaves_a_test_side(self) -> Self:
        if self.training + self.validation >= 1:
            raise ValueError(
                f"training {self.training} + validation {self.validation} leave no test images;"
                " their sum must be below 1"
            )
        return self


class PilotFinding(Part):
    """Where the pilot put the two levels of a factor, and the responses that it went by.

    ``figures`` are the responses at the low end, in the middle and at the high end of the range
    that the study gave, one run each, None if it failed; none for a factor that the pilot does not
    vary.
    """

    factor: str
    low: Scalar
    high: Scalar
    figures: tuple[float | None, ...] = ()


class PilotPart(Part):
    """``[pilot]``: whether low and high are the ends of ranges, where a few runs place the levels.

    ``found`` and ``ranges``, the ends of the ranges that the study gave, are written into the study
    that MLflow keeps. Version 0.1 wrote sentences, and no ranges.
    """

    enabled: bool = False
    found: tuple[PilotFinding | str, ...] = ()
    ranges: dict[str, tuple[Scalar, Scalar]] = Field(default_factory=dict)


class RefinePart(Part):
    """``[refine]``: the method, the most cells, seeds per cell, moves of a grid, and pruning.

    ``method`` is ``grid``, as in the published study; ``gp``: ``budget`` cells, one at a time, each
    chosen by a Gaussian process fitted to the runs so far; or ``surface``: ``budget`` cells, first
    the centre and the axial points of the region, then each where a second-order model is highest.
    """

    method: Literal["grid", "gp", "surface"] = "grid"
    budget: Annotated[int, Field(ge=1, le=10_000)] = 12
    replicates: Annotated[int, Field(ge=1)] | None = None
    rounds: Annotated[int, Field(ge=1)] = 2
    prune: bool = False


class ConfirmPart(Part):
    """``[confirm]``: fresh seeds for cells that cannot be distinguished, and for how many cells."""

    replicates: Annotated[int, Field(ge=0)] = 2
    cells: Annotated[int, Field(ge=1)] = 4


class PickPart(Part):
    """``[pick]``: how the cell is chosen by the response and the second response together.

    ``within``: the cell with the lowest second response, of those whose mean response is at most
    this much worse than the best. ``at_most``: only cells whose second response is at most this.
    """

    within: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    at_most: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class ComparePart(Part):
    """``[compare]``: cells that a person would try, in order, and the levels of each factor.

    By default the levels go from low to high: half decades on a log scale, every whole number of an
    integer, nine levels of a linear scale.
    """

    manual: tuple[dict[str, Level], ...] = ()
    levels: dict[str, Annotated[tuple[Level, ...], Field(min_length=2)]] = Field(
        default_factory=dict
    )


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


class Study(Part):
    """One whole procedure: screen, refine, confirm, register.

    ``method = "budget"``, the default: `analysis.search.budget` divides ``budget`` trainings, or as
    many as fit into ``minutes``, between the stages. Half of them are spent on trainings of a
    quarter of the epochs, unless ``short_trainings`` is false. Its screen is a two-level
    design if that leaves enough of the budget, or as ``screen`` says. The Gaussian process chooses
    ``parallel`` cells at once; by default one for each device of the machine that begins the study.
    On a CPU as many trainings run at once, each with its share of the cores.
    After the search, the chosen network is trained once more for ``final_epochs``, if they are
    given, and this training is registered if it is better than the others of its cell.
    ``method = "published"``: the procedure of the published study, with the keys of
    `PUBLISHED_KEYS`; it is also taken if one of these keys is there and neither ``budget`` nor
    ``minutes`` is.
    """

    name: ModelName
    description: str = ""
    response: str = DEFAULT
    second: str | None = None
    method: Literal["budget", "published"] = "budget"
    budget: Annotated[int, Field(ge=2, le=MAX_BUDGET)] | None = None
    minutes: Annotated[float, Field(gt=0, le=100_000)] | None = None
    short_trainings: bool = True
    screen: Screen | None = None
    parallel: Annotated[int, Field(ge=1, le=MAX_PARALLEL)] | None = None
    final_epochs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    replicates: Annotated[int, Field(ge=1, le=50)] = 1
    screen_cells: Annotated[int, Field(ge=2)] | None = None
    centre_points: Annotated[int, Field(ge=0, le=50)] = 0
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    registered_model: ModelName | None = None
    data: DataPart = DataPart()
    factors: Annotated[dict[str, FactorPart], Field(min_length=1, max_length=MAX_FACTORS)]
    # Its default has the keys that are set when the study is read, which no form shows.
    model: Annotated[ModelPart, Field(json_schema_extra=_without_default)] = ModelPart()
    training: TrainingPart = TrainingPart()
    pilot: PilotPart = PilotPart()
    refine: RefinePart = RefinePart()
    confirm: ConfirmPart = ConfirmPart()
    pick: PickPart = PickPart()
    compare: ComparePart = ComparePart()

    @field_validator("response")
    @classmethod
    def _is_a_response(cls, name: str) -> str:
        return _known_name(name, tuple(RESPONSES), "a response")

    @field_validator("second")
    @classmethod
    def _is_a_second_response(cls, name: str | None) -> str | None:
        return name and _known_name(name, SECOND_RESPONSES, "a second response")

    @model_validator(mode="after")
    def _picks_by_a_second_response(self) -> Self:
        limits = self.pick.model_dump(exclude_none=True)
        if not limits:
            return self
        if self.second is None:
            raise ValueError(
                f"pick: {' and '.join(limits)} without a second response; add second above the "
                f"first table, one of {', '.join(SECOND_RESPONSES)}, or remove [pick]"
            )
        if len(limits) > 1:
            raise ValueError(
                f"pick: within {self.pick.within:g} and at_most {self.pick.at_most:g} are two "
                "rules; keep one of them"
            )
        return self

    @model_validator(mode="after")
    def _seconds_are_those_of_the_network(self) -> Self:
        if self.second != "seconds_per_image":
            return self
        part = self.factors.get("unfreeze")
        levels = part.levels if part else (self.model.settings.get("unfreeze", "none"),)
        if any(is_frozen(ModelSpec(self.model.builder, {"unfreeze": x})) for x in levels):
            raise ValueError(
                "second: seconds_per_image is not measured with a frozen backbone, whose features "
                "are computed once for all cells; use multiply_adds, or unfreeze blocks"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _take_a_method(cls, content: Any, info: ValidationInfo) -> Any:
        if not isinstance(content, Mapping) or "method" in content:
            return content
        # Before version 0.3.0 there was only the published procedure.
        if is_stored(info) or (_published_keys(content) and not _budget_keys(content)):
            return {**content, "method": "published"}
        return content

    @model_validator(mode="after")
    def _method_has_its_keys(self, info: ValidationInfo) -> Self:
        if is_stored(info):
            return self
        given = self.model_dump(exclude_defaults=True)
        if self.method == "published":
            if wrong := _budget_keys(given):
                raise ValueError(
                    f'{wrong[0]}: has no effect with method = "published", whose size follows from '
                    "screen_cells, [refine] and [confirm]; remove it, or remove method"
                )
            if self.parallel is not None:
                raise ValueError(
                    'parallel: has no effect with method = "published", whose grids are known as a '
                    "whole; remove it, or remove method"
                )
        elif self.budget is not None and self.minutes is not None and not self.pilot.found:
            raise ValueError(
                f"budget {self.budget} and minutes {self.minutes:g}: both set the size of the "
                "search; keep one of them"
            )
        elif wrong := _published_keys(given):
            raise ValueError(
                f'{wrong[0]}: a key of method = "published"; with a budget, the stages follow from '
                "it. Remove the key, or budget and minutes"
            )
        return self

    @field_validator("factors")
    @classmethod
    def _factors_make_sense(
        cls, parts: dict[str, FactorPart], info: ValidationInfo
    ) -> dict[str, FactorPart]:
        for name, part in parts.items():
            if name in TABLE_COLUMNS and not is_stored(info):
                raise ValueError(
                    f"factor {name}: a column of that name describes runs or cells in every table; "
                    "rename the argument of your network"
                )
            try:
                part.factor(name)
            except FactorError as error:
                raise ValueError(str(error)) from error
        return parts

    @model_validator(mode="after")
    def _factors_are_inside_the_network(self) -> Self:
        try:
            _ = self.factor_list
        except FactorError as error:
            raise ValueError(f"factors: {error}") from error
        return self

    @model_validator(mode="after")
    def _conditions_name_categories(self) -> Self:
        factors = {factor.name: factor for factor in self.factor_list}
        for factor in factors.values():
            for name, known in factor.when:
                _check_condition(factor.name, name, known, factors)
        return self

    @model_validator(mode="after")
    def _training_takes_them(self) -> Self:
        for name, part in self.factors.items():
            if name in TrainingPart.model_fields:
                for level in part.levels:
                    self._training_takes(name, level)
        return self

    @model_validator(mode="after")
    def _adamw_differs_from_adam(self, info: ValidationInfo) -> Self:
        """Refuse optimizers that would be equal: in Keras, Adam with weight decay is AdamW."""
        if is_stored(info) or "weight_decay" in self.factors:
            return self
        part, decay = self.factors.get("optimizer"), self.training.weight_decay
        used = part.levels if part is not None else (self.training.optimizer,)
        where = "training.optimizer" if part is None else "factors.optimizer"
        if {"adam", "adamw"} <= set(used):
            raise ValueError(
                f"{where}: adam and adamw, with weight_decay {decay:g} for both, are the same; "
                'remove one, or add a factor weight_decay with when = { optimizer = "adamw" }'
            )
        if "adamw" in used and not decay:
            raise ValueError(
                f"{where}: adamw with weight_decay 0 is adam; set weight_decay in [training], for "
                "example 0.01"
            )
        return self

    def _training_takes(self, name: str, level: Scalar) -> None:
        try:
            TrainingPart.model_validate({name: level}, strict=True)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            raise ValueError(
                f"factors.{name}: level {level!r} cannot be trained: {fault['msg']}; correct it"
            ) from None

    @model_validator(mode="after")
    def _the_network_takes_them(self, info: ValidationInfo) -> Self:
        if self.model.builder not in BUILT_IN:
            return self
        if self.model.builder_folder is not None and not is_stored(info):
            raise ValueError(
                f"model.builder_folder: {self.model.builder_folder} has no effect with the "
                "built-in network; remove it, or name your network in model.builder "
                "(module:function)"
            )
        known = set(network_settings(self.model.builder))
        training = set(TrainingPart.model_fields)
        _reject(self.model.settings, known, "model")
        _reject(self.factors, known | training, "factors")
        _check_settings(self.model.settings, "model", self.model.builder)
        for name in self.factors.keys() & known:
            part = self.factors[name]
            for level in part.levels:
                _check_settings({name: level}, "factors", self.model.builder)
        return self

    @model_validator(mode="after")
    def _batches_have_statistics(self) -> Self:
        """Refuse batch normalization of single images: their statistics are those of one image."""
        known = NEUTRAL_NETWORK.get(self.model.builder, {})
        if "normalization" not in known:
            return self
        fixed = {**known, **self.model.settings, "batch_size": self.training.batch_size}
        levels: dict[str, tuple[Scalar, ...]] = {name: (value,) for name, value in fixed.items()}
        levels |= {name: part.levels for name, part in self.factors.items()}
        if "batch" in levels["normalization"] and 1 in levels["batch_size"]:
            raise ValueError(
                "batch_size 1 with normalization batch: a batch of one image has no statistics; "
                "raise batch_size, or set normalization to group"
            )
        return self

    @model_validator(mode="after")
    def _what_is_compared_has_the_factors(self) -> Self:
        names = set(self.factors)
        for name in set(self.compare.levels) - names:
            raise ValueError(f"compare.levels.{name}: not a factor of this study; remove it")
        for number, cell in enumerate(self.compare.manual, 1):
            if set(cell) != names:
                raise ValueError(
                    f"compare.manual: cell {number} has {', '.join(cell) or 'no level'}; it must "
                    f"have one level of each factor: {', '.join(self.factors)}"
                )
        return self

    @model_validator(mode="after")
    def _the_published_screen_is_factorial(self) -> Self:
        if self.method == "published" and self.screen == LATIN_HYPERCUBE:
            raise ValueError(
                f"screen: that of the published procedure is {FACTORIAL}; remove screen, or use "
                'method = "budget"'
            )
        return self

    @model_validator(mode="after")
    def _the_final_training_is_longer(self) -> Self:
        if self.final_epochs is None:
            return self
        if "epochs" in self.factors:
            raise ValueError(
                f"final_epochs {self.final_epochs}: the epochs are a factor, so that the search "
                "chooses the length itself; remove final_epochs, or the factor"
            )
        if self.final_epochs <= self.training.epochs:
            raise ValueError(
                f"final_epochs {self.final_epochs}: not above the {self.training.epochs} epochs of "
                "every training (training.epochs); raise it, or remove it"
            )
        return self

    @model_validator(mode="after")
    def _a_design_fits(self) -> Self:
        try:
            _ = self.rules
        except DesignError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def trainings(self) -> int:
        """The trainings of the whole search with ``method = "budget"``, at most."""
        if self.budget is not None:
            return self.budget
        ranges, epochs = self.ranges, self.full_epochs
        usual = default_budget(len(self.factors))
        if self.screen is None:
            return max(usual, least_factorial_budget(ranges, epochs))
        return max(usual, least_budget(ranges, epochs, screen=self.screen))

    @property
    def least_factorial_trainings(self) -> int | None:
        """The budget from which on the screen is a two-level design; None if that is not chosen."""
        if self.method != "budget" or self.screen is not None:
            return None
        return least_factorial_budget(self.ranges, self.full_epochs)

    @property
    def full_epochs(self) -> int | None:
        """Epochs of a training of full length; None if a search has no shorter ones.

        It has none if the epochs are a factor: then a cell says how long its training is.
        """
        is_factor = "epochs" in self.factors
        return self.training.epochs if self.short_trainings and not is_factor else None

    @property
    def trainings_continue(self) -> bool:
        """Whether each training can begin with a shorter one; see `LENGTH_DEPENDENT`."""
        settings = self.training.model_dump()
        return not any(
            name in self.factors or settings[name] != NEUTRAL_TRAINING[name]
            for name in LENGTH_DEPENDENT
        )

    @property
    def design(self) -> Fraction:
        """The screen's design: full, or a fraction."""
        design = self.rules.design
        if design is None:
            raise DesignError(f"study {self.name}: no design; raise the budget")
        return design

    @property
    def _published_design(self) -> Fraction:
        """The best design of at most `screen_cells` cells.

        Without `screen_cells`, the one of `usual_design`: with up to 7 factors of two levels, the
        full design.
        """
        factors = self.factor_list
        if self.screen_cells is None:
            try:
                return usual_design(factors)
            except DesignError as error:
                raise ValueError(f"factors: {error}") from error
        found = design_within(factors, self.screen_cells)
        if found is None:
            raise ValueError(
                f"screen_cells: no design of {len(factors)} factors has {self.screen_cells} cells "
                "or fewer; raise it, or remove factors"
            )
        return found

    @property
    def factor_list(self) -> tuple[Factor, ...]:
        """The factors, in the order of the file."""
        return tuple(self._factor(name, part) for name, part in self.factors.items())

    def _factor(self, name: str, part: FactorPart) -> Factor:
        factor = part.factor(name, builder=self.model.builder)
        if not factor.when:
            return factor
        fixed = {**NEUTRAL_NETWORK.get(self.model.builder, {}), **self.model.settings}
        value = {**fixed, **self.training.model_dump()}.get(name)
        if factor.scale == "categorical":
            usable = value in factor.levels
        else:
            usable = isinstance(value, int | float) and (factor.scale != "log" or value > 0)
        return replace(factor, otherwise=value) if usable else factor

    @property
    def given_factors(self) -> dict[str, FactorPart]:
        """The factors as the study gave them: with the ends of their ranges, also after a pilot."""
        ends = {
            name: dict(zip(("low", "high"), both, strict=True))
            for name, both in self.pilot.ranges.items()
        }
        return {
            name: part.model_copy(update=ends.get(name, {})) for name, part in self.factors.items()
        }

    @property
    def ranges(self) -> tuple[Factor, ...]:
        """The factors with the ends that the study gave, also after a pilot."""
        return tuple(self._factor(name, part) for name, part in self.given_factors.items())

    @property
    def rules(self) -> SearchRules:
        """The rules of the search that the study describes."""
        if self.method == "budget":
            rules = rules_for_budget(
                self.ranges,
                self.response,
                self.trainings,
                alpha=self.alpha,
                seed=self.seed,
                screen=self.screen,
                epochs=self.full_epochs,
                continues=self.trainings_continue,
            )
            rules = replace(rules, second=self.second, pick=self._pick, parallel=self.parallel or 1)
            if self.pilot.found:
                return replace(rules, factors=self.factor_list, pilot=False)
            return rules
        return SearchRules(
            self.factor_list,
            self.response,
            self._published_design,
            alpha=self.alpha,
            seed=self.seed,
            pilot=self.pilot.enabled,
            replicates=self.replicates,
            centre_points=self.centre_points,
            method=self.refine.method,
            budget=self.refine.budget,
            rounds=self.refine.rounds,
            refine_replicates=self.refine.replicates or self.replicates,
            confirm_replicates=self.confirm.replicates,
            confirm_cells=self.confirm.cells,
            second=self.second,
            pick=self._pick,
        )

    @property
    def measured(self) -> Response:
        """The response with its direction."""
        return response_of(self.response)

    @property
    def _pick(self) -> Pick | None:
        limits = self.pick.model_dump(exclude_none=True)
        return Pick(self.second, **limits) if self.second and limits else None

    @property
    def identity(self) -> dict[str, Any]:
        """What distinguishes this study from others: the settings that differ from their defaults.

        A new setting with a neutral default leaves it as it is. What the study is compared with is
        no part of it. Studies of the published procedure have the identity that they had when there
        was no other. With ``minutes``, the trainings that fit into them are no part of it: they
        depend on the machine. The cells that are chosen at once are not, either.
        """
        left_out = {
            "compare",
            "method",
            "parallel",
            *(["budget"] if self.minutes is not None else []),
        }
        own = self.model_dump(mode="json", exclude_defaults=True, exclude=left_out)
        method = {} if self.method == "published" else {"method": self.method}
        return {**own, **method, "version": STUDY_VERSION}

    @property
    def model_name(self) -> str:
        """The name of the registered model."""
        return self.registered_model or self.name

    def spec(self, levels: dict[str, Scalar], seed: int) -> ReplicateSpec:
        """Return what to train for one cell and seed."""
        base = ReplicateSpec(
            ModelSpec(self.model.builder, self.model.settings, self.model.builder_source),
            TrainingSpec(**self.training.model_dump()),
            self.data.image_size,
            seed,
        )
        counting = {f.name for f in self.factor_list if f.applies(levels)}
        return base.with_levels({name: x for name, x in levels.items() if name in counting})


def _known_name(name: str, known: tuple[str, ...], what: str) -> str:
    if name not in known:
        beginning = next((own for own in known if own.startswith(name)), "")
        near = closest(name, known) or closest(f"val_{name}", known) or beginning
        meant = f"did you mean {near}? " if near else ""
        raise ValueError(f"{name!r:.{QUOTED}} is not {what}; {meant}known: {', '.join(known)}")
    return name


def _check_condition(
    own: str, name: str, known: tuple[Scalar, ...], factors: Mapping[str, Factor]
) -> None:
    """Check one condition of a factor: another factor, which has categories and no condition."""
    where = f"factors.{own}.when"
    if name not in factors or name == own:
        others = ", ".join(other for other in factors if other != own) or "none"
        raise ValueError(
            f"{where}: {name} is not another factor of this study; there are: {others}"
        )
    other = factors[name]
    if other.scale != "categorical":
        raise ValueError(
            f"{where}: {name} has numbers; a condition names values of a factor without an order, "
            "such as optimizer; remove it"
        )
    if other.when:
        raise ValueError(f"{where}: {name} has a condition itself; name a factor without one")
    for value in known:
        if value not in other.levels:
            raise ValueError(
                f"{where}: {value!r} is not a value of {name}; its values are "
                f"{', '.join(map(str, other.levels))}"
            )
    if set(known) == set(other.levels) or not known:
        raise ValueError(
            f"{where}: {name} = {', '.join(map(str, known)) or 'nothing'} is no condition; name "
            "some of its values, or remove when"
        )


def _published_keys(content: Mapping[str, Any]) -> list[str]:
    """Return the keys of a study's content that only the published procedure has."""
    found = [name for name in PUBLISHED_KEYS if content.get(name) is not None]
    # What a pilot found is written into every study that MLflow keeps.
    pilot = content.get("pilot")
    is_finding = isinstance(pilot, Mapping) and "found" in pilot
    return [name for name in found if name != "pilot" or not is_finding]


def _budget_keys(content: Mapping[str, Any]) -> list[str]:
    return [name for name in ("budget", "minutes") if content.get(name) is not None]


def _check_settings(settings: Mapping[str, object], where: str, builder: str) -> None:
    for name, value in settings.items():
        if fault := setting_fault(name, value, builder):
            raise ValueError(f"{where}.{name}: {value!r:.{QUOTED}} is {fault}; correct it")


def _reject(given: Iterable[str], known: set[str], where: str) -> None:
    for name in given:
        if name not in known:
            near = closest(name, known)
            meant = f"did you mean {near}? " if near else ""
            if where == "model" and name in TrainingPart.model_fields:
                meant = "it belongs in the table [training]; "
            raise ValueError(
                f"{where}.{name} is not a setting; {meant}known settings: "
                f"{', '.join(sorted(known))}"
            )


def built_in_studies() -> dict[str, Path]:
    """Return the studies that come with FactorGrid, by name."""
    folder = Path(str(resources.files("flows") / "studies"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_study(
    name_or_path: str,
    *,
    budget: int | None = None,
    minutes: float | None = None,
    replaced: Iterable[str] = (),
    name: str | None = None,
    **changes: Any,
) -> Study:
    """Read a study by built-in name or path; `changes` replace keys of ``[data]``.

    Each item of `replaced` is a key of the file with another value, as in ``training.epochs=3``.
    A `budget` or `minutes` replaces both keys of the file, and its keys of the published procedure.

    Relative paths in the file start from its folder, those in `changes` from the current folder;
    ``~`` is the home folder of the user.

    Raises
    ------
    StudyError
        If there is no such study, if it is not TOML, or if a key is unknown, missing or out of its
        range.
    """
    path = built_in_studies().get(name_or_path, Path(name_or_path))
    try:
        content = read_toml(path)
    except FileNotFoundError as error:
        names = built_in_studies()
        meant = f"did you mean {path.stem}? " if path.stem in names else ""
        raise StudyError(
            f"study {name_or_path!r}: not a file and not a built-in study ({', '.join(names)}); "
            f"{meant}name one of these or a TOML file"
        ) from error
    except (OSError, ValueError) as error:
        raise StudyError(f"study {path}: cannot be read as TOML: {error}") from error
    content = with_replaced_keys(content, replaced)
    if name is not None:
        content["name"] = name
    if budget is not None or minutes is not None:
        content = {key: content[key] for key in content if key not in (*PUBLISHED_KEYS, "method")}
        content |= {"budget": budget, "minutes": minutes}
    folder = path.parent.absolute()
    model, data = content.get("model", {}), content.get("data", {})
    if isinstance(model, dict) and "network" in model:
        content["model"] = with_file_places(model, folder)
    elif isinstance(model, dict) and str(model.get("builder", DEFAULT_BUILDER)) not in BUILT_IN:
        content["model"] = {**model, "builder_folder": _from(folder, model.get("builder_folder"))}
    given = {key: value for key, value in changes.items() if value is not None}
    if isinstance(data, dict):
        data = {**data, **given}
        if isinstance(source := data.get("source"), str):
            data["source"] = move_signature_to_environment(source)
        content["data"] = data
    study = parse_study(content, str(path))
    if study.data.source is None and study.data.rules is None:
        return study
    places = study.data.in_folder(folder, source="source" not in given)
    return study.model_copy(update={"data": places})


def with_file_places(model: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return ``[model]`` with absolute paths of a file of weights and of a backbone."""
    names = [("weights", FORMATS), ("backbone", (KERAS_FILE,))]
    places = {
        name: str(_from(folder, text))
        for name, ends in names
        if isinstance(text := model.get(name), str) and text.endswith(ends) and not is_url(text)
    }
    return {**model, **places}


def _from(folder: Path, path: object) -> object:
    """Return the place of a path of a study file; what is no path stays, for its own error."""
    try:
        return folder / Path(path or "").expanduser() if isinstance(path, str | None) else path
    except RuntimeError:  # no such user
        return path


def study_with_response(study: Study, counts: Sequence[int]) -> Study:
    """Return a study that names its response: the one that suits the numbers of its images.

    A response that the study names already stays. A stored study names it, too.

    Parameters
    ----------
    counts : images of each class. If these differ much, a network that knows the largest class
        only has a high accuracy: the balanced accuracy is taken.
    """
    response = study.response
    if "response" not in study.model_fields_set and is_imbalanced(counts):
        response = DEFAULT_IMBALANCED
    return study.model_copy(update={"response": response})


def parse_study(content: dict[str, Any], where: str) -> Study:
    """Check the content of a study; `where` names its file in an error.

    Raises
    ------
    StudyError
        With the first error: field, value and remedy in one line.
    """
    return _validate(content, where)


def read_stored_study(content: dict[str, Any], where: str) -> Study:
    """Return a study that was read from MLflow; `where` names its run in an error.

    What an earlier version accepted and this one refuses in a new study is accepted; a password or
    a signature in the address of the pictures is replaced by ``***``.

    Raises
    ------
    StudyError
        As `parse_study` does.
    """
    return _validate(content, where, STORED)


def _validate(content: dict[str, Any], where: str, context: dict[str, bool] | None = None) -> Study:
    try:
        return Study.model_validate(content, context=context)
    except ValidationError as error:
        raise StudyError(f"study {where}: {_in_words(error)}") from error


def _in_words(error: ValidationError) -> str:
    faults = error.errors(include_url=False)
    # A key that is missing may be there in another spelling.
    fault = next((x for x in faults if x["type"] == "extra_forbidden"), faults[0])
    field, given = ".".join(str(part) for part in fault["loc"]), f"{fault['input']!r:.{QUOTED}}"
    match fault["type"]:
        case "extra_forbidden":
            return f"{field}: unknown key; {_remedy(fault)}"
        case "model_type" | "dict_type":
            return f"{field}: {given} is not a table; write [{field}] above its keys"
        case "missing":
            return f"{field}: missing; add it"
        case "value_error":
            message = fault["msg"].removeprefix("Value error, ")
            return f"{field}: {message}" if field else message
        case _:
            return f"{field}: {fault['msg']}, given {given}; correct it"


def _remedy(fault: Any) -> str:
    """Return what to do about an unknown key: its likely spelling or table, and all known keys."""
    *tables, key = (str(part) for part in fault["loc"])
    own = tables[0] if tables else ""
    names = f" (known: {', '.join(TABLES[own])})"
    if near := closest(key, TABLES[own]):
        table = {"factors": "[factors.NAME]"}.get(near, f"[{near}]" if near in TABLES else near)
        return f"did you mean {near if tables else table}?{names}"
    for table, known in TABLES.items():
        if table not in {own, "factors"} and (near := closest(key, known)):
            where = f"in the table [{table}]" if table else "above the first table"
            return f"write {near} {where}{names}"
    return f"remove it, or correct the spelling{names}"


_PARTS: dict[str, type[BaseModel]] = {
    "": Study,
    "data": DataPart,
    "factors": FactorPart,
    "training": TrainingPart,
    "pilot": PilotPart,
    "refine": RefinePart,
    "confirm": ConfirmPart,
    "pick": PickPart,
    "compare": ComparePart,
}
#: The keys of each table of a study file; those above the first table have no name.
TABLES: dict[str, list[str]] = {
    name: [key for key in part.model_fields if key not in {"found", "ranges"}]
    for name, part in _PARTS.items()
}
