"""What `factorgrid analyze` is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.effects.response_scale import Transform
from tasks.errors import UserError


@dataclass(frozen=True)
class AnalysisRequest:
    """How an experiment is to be analysed.

    Attributes
    ----------
    csv, experiment : where the runs are: one of the two.
    response : the column or metric; a study has its own.
    factors : names, with low and high or None for those found; none: all that have two levels.
    log : factors on a log scale.
    order, terms : what to fit, see `analysis.effects.fit.fit_effects`.
    alpha : of the verdict; None: 0.05, or a study's own.
    block : the column whose values are blocks.
    transform, images : the response's scale.
    minimise : whether a lower response is better.
    budget : the most cells of the refined grid.
    surface : whether to fit a second-order surface instead of effects.
    dispersion : whether to compare the spread of the residuals at each factor's levels.
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
    minimise: bool = False
    budget: int | None = None
    surface: bool = False
    dispersion: bool = False


def request_of(given: Mapping[str, Any]) -> AnalysisRequest:
    """Return the request that the options of the command line make.

    Raises
    ------
    UserError
        If a factor's levels are not two, or options that belong together are not given so.
    """
    if bool(given["csv"]) == bool(given["experiment"]):
        raise UserError("analyze: give either --csv FILE or --experiment NAME")
    if given["csv"] and not given["response"]:
        raise UserError("analyze: --csv needs --response COLUMN too")
    terms = given["terms"]
    return AnalysisRequest(
        csv=given["csv"],
        experiment=given["experiment"],
        response=given["response"] or "",
        factors=dict(factor_option(text) for text in given["factors"]),
        log=given["log"],
        order=given["order"],
        terms=terms.split(",") if terms else None,
        alpha=given["alpha"],
        block=given["block"],
        transform=given["scale"],
        images=given["images"],
        minimise=given["minimise"],
        budget=given["budget"],
        surface=given["surface"],
        dispersion=given["dispersion"],
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


def alpha_of(request: AnalysisRequest) -> float:
    """Return the significance level that was asked for, 0.05 by default."""
    alpha = 0.05 if request.alpha is None else request.alpha
    if not 0 < alpha < 1:
        raise UserError(f"alpha {alpha:g}: a share between 0 and 1; 0.05 is usual")
    return alpha
