"""The fitted effects model of a two-level design."""

import math
from dataclasses import dataclass, field

import pandas as pd

from analysis.effects.caution import Caution
from analysis.effects.lenth import Lenth
from analysis.effects.model_matrix import CURVATURE, AliasedTerm, code_levels, model_matrix
from analysis.effects.response_scale import Transform
from analysis.effects.verdict import Verdict
from analysis.factors import Factor, Level
from analysis.runs.checks import centre_points

#: Columns of `Effects.terms` that belong to a test.
OF_TESTS = ("std_error", "t", "p", "ci_low", "ci_high")


@dataclass(frozen=True)
class Collapse:
    """The two parts of an experiment of which some runs collapsed, and some did not.

    Runs that learned and runs that did not are no sample of one normal distribution, so no effect
    on all of them together is tested. The first part is the chance of collapse, the second one are
    the effects on the runs that learned, for which the collapsed ones are missing.

    Attributes
    ----------
    levels, p : collapsed runs by factor and level, and Fisher's exact p by factor; see
        `analysis.effects.collapse.collapse_by_level`.
    strongest : the factor whose main effect on all runs is the largest; if every run at one level
        of a factor collapsed, that factor. The decision takes its level first.
    collapsed_level : the level of `strongest` at which every run collapsed; None if there is none.
    working_level : its other level; None with `collapsed_level`.
    learned : effects on the runs that learned, of the factors that vary among them; None if these
        runs are too few.
    alpha : of the tests.
    """

    levels: pd.DataFrame
    p: "pd.Series[float]"
    strongest: str
    working_level: Level | None
    collapsed_level: Level | None
    learned: "Effects | None"
    alpha: float

    @property
    def active(self) -> tuple[str, ...]:
        """The factors on which the chance of collapse depends, by Fisher's exact test."""
        return tuple(str(name) for name, p in self.p.items() if p < self.alpha)


@dataclass(frozen=True)
class Effects:
    """The fitted model.

    Attributes
    ----------
    terms : one row per term, by name (``a:b`` is an interaction, ``c[sgd]`` the difference of a
        category from the first, the reference): coefficient, effect (twice the
        coefficient), std_error, t, p, ci_low, ci_high (of the coefficient), sum_of_squares. In
        units of the response, on its `transform`.
    anova : one row per source (blocks, terms, ``factor optimizer`` for the contrasts of a category
        of three or more values together, curvature, residual, lack of fit, pure error, total):
        df, sum_of_squares, mean_square, f, p; curvature is tested against the residual.
    contrasts : every estimable effect, of any order, that Lenth's method judges.
    press, r_squared_predicted : prediction sum of squares, and 1 - press / total; NaN if a run is
        fitted exactly.
    lenth : its margins; None with fewer than three effects.
    posterior : the probability that each of the contrasts is active, see
        `analysis.effects.box_meyer.box_meyer`, by term; None unless Lenth's method judged
        independent effects.
    runs : the fitted runs, with responses and the columns of `Fit.with_residuals`.
    aliased : terms that these runs cannot distinguish from others.
    collapse : the two parts of the model, if some runs collapsed and some did not; else None.
    warnings : reasons to trust the effects less, see `analysis.effects.warnings`.
    """

    factors: tuple[Factor, ...]
    response: str
    order: int
    alpha: float
    terms: pd.DataFrame
    anova: pd.DataFrame
    contrasts: pd.Series
    residual_df: int
    r_squared: float
    r_squared_adjusted: float
    press: float
    r_squared_predicted: float
    lenth: Lenth | None
    verdict: Verdict
    runs: pd.DataFrame = field(repr=False)
    transform: Transform = "raw"
    aliased: tuple[AliasedTerm, ...] = ()
    collapse: Collapse | None = None
    posterior: pd.DataFrame | None = None
    warnings: tuple[Caution, ...] = ()

    @property
    def active(self) -> tuple[str, ...]:
        """The terms that the verdict calls active."""
        return self.verdict.active

    @property
    def tested_terms(self) -> pd.DataFrame:
        """The terms as they are shown: if runs collapsed, without errors, tests and intervals.

        Runs that learned and runs that did not are no sample of one normal distribution, and few
        of them are fitted almost exactly by chance.
        """
        if not self.verdict.collapsed:
            return self.terms
        return self.terms.assign(**dict.fromkeys(OF_TESTS, math.nan))

    @property
    def judged(self) -> "Effects":
        """The effects that are tested: on the runs that learned, if some collapsed."""
        return (self.collapse and self.collapse.learned) or self

    @property
    def overall_active(self) -> tuple[str, ...]:
        """The active terms; if some runs collapsed, those of both parts of the model.

        The factors on which the chance of collapse depends are listed first. If three runs of four
        collapse, each factor has a level that always does, and none is listed for that.
        """
        if self.collapse is None:
            return self.active
        learned = self.collapse.learned
        return tuple(dict.fromkeys((*self.collapse.active, *(learned.active if learned else ()))))

    @property
    def response_label(self) -> str:
        """The response with its scale, as the label of an axis."""
        return self.response if self.transform == "raw" else f"{self.transform} {self.response}"


def fitted_columns(effects: Effects) -> pd.DataFrame:
    """Return the columns (N, p) of a fitted model without blocks: its terms, and centre points."""
    coded = code_levels(effects.runs, effects.factors)
    columns = model_matrix(coded, effects.order, effects.factors)[list(effects.terms.index)]
    centre = centre_points(coded, effects.factors)
    if centre.any():
        columns[CURVATURE] = centre.astype(float)
    return columns
