"""The request of `factorgrid analyze`: its options, checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.effects.response_scale import Transform
from analysis.runs.direction import is_accuracy, lower_is_better
from tasks.errors import UserError

#: Significance level if neither the request nor a study gives one.
DEFAULT_ALPHA = 0.05
#: Instead of the name of a column: no column has blocks.
NO_BLOCK = "none"


@dataclass(frozen=True)
class AnalysisRequest:
    """How an experiment is to be analysed.

    Attributes
    ----------
    csv, experiment : where the runs are; exactly one of the two is given.
    response : the column or metric to explain; may be empty for a study, which has its own.
    factors : names, each with its low and high level, or None to use the levels of the data;
        empty: every column with two levels.
    log : factors on a log scale.
    order, terms : the model to fit, see `analysis.effects.fit.fit_effects`.
    alpha : significance level of the verdict; None: `DEFAULT_ALPHA`, or the study's.
    block : the column whose values are blocks; `NO_BLOCK` for none. By default a column of seeds,
        if all cells share them.
    transform, images : the scale of the response, see `analysis.effects.response_scale`.
    classes : number of classes of an accuracy, to find the runs that are no better than guessing;
        None: guessed if the response is an accuracy by its name; 0: no run is looked for.
    minimise : whether a lower response is better; None: if its name is that of a loss or an error.
    budget : the most cells of the refined grid.
    surface : whether to fit a second-order surface instead of effects.
    equal_spread : whether all cells are taken to have the same spread.
    dispersion : whether to compare the spread of the residuals at each factor's levels.
    whole_plot : the column of the whole plots, if a factor is hard to change.
    over_pictures : whether to give the standard errors over pictures, too; only of a study.
    """

    csv: Path | None = None
    experiment: str | None = None
    response: str = ""
    factors: Mapping[str, tuple[str, str] | None] = field(default_factory=dict)
    log: Sequence[str] = ()
    order: int | None = None
    terms: Sequence[str] | None = None
    alpha: float | None = None
    block: str | None = None
    transform: Transform = "raw"
    images: int | None = None
    classes: int | None = None
    minimise: bool | None = None
    budget: int | None = None
    surface: bool = False
    dispersion: bool = False
    equal_spread: bool = False
    over_pictures: bool = False
    whole_plot: str | None = None

    @property
    def significance(self) -> float:
        """The significance level.

        Raises
        ------
        UserError
            If it is not between 0 and 1.
        """
        alpha = DEFAULT_ALPHA if self.alpha is None else self.alpha
        if not 0 < alpha < 1:
            raise UserError(f"--alpha {alpha:g}: must be between 0 and 1; {DEFAULT_ALPHA} is usual")
        return alpha

    @property
    def maximise(self) -> bool:
        """Whether a higher response is better."""
        guessed = lower_is_better(self.response)
        return not (guessed if self.minimise is None else self.minimise)

    @property
    def direction_notes(self) -> tuple[str, ...]:
        """That the direction was taken from the name of the response, if it was."""
        if self.minimise is not None or self.maximise:
            return ()
        return (f"a lower {self.response} is taken to be better; if not, give --maximise",)

    @property
    def without_blocks(self) -> bool:
        """Whether no column is to be taken as blocks, also not seeds that all cells share."""
        return self.block == NO_BLOCK

    @property
    def block_column(self) -> str | None:
        """The column that was named, or None."""
        return None if self.without_blocks else self.block

    @property
    def not_factors(self) -> list[str]:
        """Columns that are not factors although they vary."""
        return [column for column in (self.block_column, self.whole_plot) if column]


def request_from_options(options: Mapping[str, Any]) -> AnalysisRequest:
    """Return the request that the options of the command line make.

    Raises
    ------
    UserError
        If a factor does not have two levels, an option that another one needs is missing, or an
        option would have no effect.
    """
    if bool(options["csv"]) == bool(options["experiment"]):
        raise UserError("analyze: give either --csv FILE or --experiment NAME")
    if options["csv"] and not options["response"]:
        raise UserError("analyze: --csv needs --response COLUMN too")
    _check_options(options)
    terms = options["terms"]
    return AnalysisRequest(
        csv=options["csv"],
        experiment=options["experiment"],
        response=options["response"] or "",
        factors=dict(factor_option(text) for text in options["factors"]),
        log=options["log"],
        order=options["order"],
        terms=terms.split(",") if terms else None,
        alpha=options["alpha"],
        block=options["block"],
        transform=options["scale"],
        images=options["images"],
        classes=options["classes"],
        minimise=options["minimise"],
        budget=options["budget"],
        surface=options["surface"],
        dispersion=options["dispersion"],
        equal_spread=options["equal_spread"],
        over_pictures=options["over_pictures"],
        whole_plot=options["whole_plot"],
    )


#: Options of the effects model, which a surface does not have, by the names of `options`.
NOT_WITH_SURFACE = {
    "order": "--order",
    "terms": "--terms",
    "scale": "--scale",
    "images": "--images",
    "classes": "--classes",
    "budget": "--budget",
    "dispersion": "--dispersion",
    "equal_spread": "--equal-spread",
    "over_pictures": "--over-pictures",
    "whole_plot": "--whole-plot",
}
#: Options with which an effect is no difference of accuracies, by the names of `options`.
NOT_WITH_PICTURES = {"scale": "--scale", "block": "--block"}
#: The same where runs share whole plots.
NOT_WITH_WHOLE_PLOTS = {"scale": "--scale", "block": "--block", "over_pictures": "--over-pictures"}
#: Values of options that were not given.
NOT_GIVEN = (None, False, (), "raw")


def _check_options(options: Mapping[str, Any]) -> None:
    """Raise a `UserError` for an option that would have no effect beside the others."""
    if options["surface"]:
        _refuse(options, NOT_WITH_SURFACE, "has no effect with --surface")
    if options["over_pictures"]:
        _check_over_pictures(options)
    if options["whole_plot"]:
        # There are no blocks with `NO_BLOCK`, either.
        given = {**options, "block": None} if options["block"] == NO_BLOCK else options
        about = (
            "with --whole-plot, effects are of the response as it was measured, and the whole "
            "plots are the blocks"
        )
        _refuse(given, NOT_WITH_WHOLE_PLOTS, about)
    if options["terms"] and options["order"] is not None:
        raise UserError("--order: has no effect with --terms, which names every term; leave it out")
    if options["classes"] is not None and (options["classes"] < 0 or options["classes"] == 1):
        raise UserError(
            f"--classes {options['classes']}: an accuracy is of 2 or more classes; give their "
            "number, or 0 to look for no run that only guesses"
        )
    accuracy = options["classes"] or is_accuracy(options["response"] or "")
    if options["images"] is not None and options["scale"] == "raw" and not accuracy:
        raise UserError(
            "--images: only used by --scale logit or log_error, or by --classes; add one of them, "
            "or leave it out"
        )


def _check_over_pictures(options: Mapping[str, Any]) -> None:
    if options["csv"]:
        raise UserError(
            "--over-pictures: a table does not have the networks' answers to each picture; give "
            "--experiment NAME of a study, or leave it out"
        )
    about = "with --over-pictures, effects are differences of accuracies without blocks"
    _refuse(options, NOT_WITH_PICTURES, about)


def _refuse(options: Mapping[str, Any], names: Mapping[str, str], why: str) -> None:
    """Raise a `UserError` if one of the options with these names was given."""
    for name, option in names.items():
        if options[name] not in NOT_GIVEN:
            raise UserError(f"{option}: {why}; leave one of them out")


def check_study_request(request: AnalysisRequest) -> None:
    """Check that a request for the screen of a study names no factors: the study has its own.

    Raises
    ------
    UserError
        If it names one.
    """
    named = {"--factor": request.factors, "--log": request.log}
    for option, given in named.items():
        if given:
            raise UserError(
                f"{option} {next(iter(given))}: {request.experiment} is a study of FactorGrid, "
                "whose own factors and scales are used; leave it out"
            )


def factor_option(text: str) -> tuple[str, tuple[str, str] | None]:
    """Return the name and the levels of ``NAME=LOW,HIGH``; None for the levels of ``NAME``.

    Raises
    ------
    UserError
        If there are not two levels.
    """
    name, given, levels = text.partition("=")
    both = [level.strip() for level in levels.split(",")]
    if not given:
        return name, None
    if len(both) != 2 or not all(both):  # noqa: PLR2004 # low and high
        raise UserError(f"--factor {text}: not two levels; write NAME=LOW,HIGH")
    return name, (both[0], both[1])
