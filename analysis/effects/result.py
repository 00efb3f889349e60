"""The fitted effects model of a two-level design."""

from dataclasses import dataclass, field

import pandas as pd

from analysis.effects.caution import Caution
from analysis.effects.lenth import Lenth
from analysis.effects.model_matrix import AliasedTerm
from analysis.effects.response_scale import Transform
from analysis.effects.verdict import Verdict
from analysis.factors import Factor, Level


@dataclass(frozen=True)
class WorkingLevel:
    """The runs at one level of a factor, of which the other level always collapses.

    Attributes
    ----------
    factor : name of the factor.
    level, collapsed : the level at which networks learn, and the one at which every run collapsed.
    effects : effects of the other factors, at the working level.
    p : two-sided p-value of Fisher's exact test on the numbers of collapsed runs at both levels.
    """

    factor: str
    level: Level
    collapsed: Level
    effects: "Effects"
    p: float


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
    runs : the fitted runs, with responses, ``fitted``, ``residual`` and ``studentised``.
    aliased : terms that these runs cannot distinguish from others.
    working_level : the effects at the working level of a factor whose other level always collapses;
        None if there is no such factor.
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
    working_level: WorkingLevel | None = None
    warnings: tuple[Caution, ...] = ()

    @property
    def active(self) -> tuple[str, ...]:
        """The terms that the verdict calls active."""
        return self.verdict.active

    @property
    def overall_active(self) -> tuple[str, ...]:
        """The active terms; with a working level, the active terms there.

        If a factor's level always collapses, the factor itself is listed first, unless as many
        collapsed runs are likely by chance (if three runs of four collapse, each factor has a level
        that always does). The terms that are active at its working level follow; the decision
        judges the other factors there too.
        """
        if self.working_level is None:
            return self.active
        factor = (self.working_level.factor,) if self.working_level.p < self.alpha else ()
        return (*factor, *self.working_level.effects.overall_active)

    @property
    def response_label(self) -> str:
        """The response with its scale, as the label of an axis."""
        return self.response if self.transform == "raw" else f"{self.transform} {self.response}"
