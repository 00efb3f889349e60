"""The fitted effects model of a two-level design."""

from dataclasses import dataclass, field

import pandas as pd

from analysis.effects.caution import Caution
from analysis.effects.lenth import Lenth
from analysis.effects.model_matrix import Lost
from analysis.effects.response_scale import Transform
from analysis.effects.verdict import Verdict
from analysis.factors import Factor, Level


@dataclass(frozen=True)
class Half:
    """The runs at the working level of a factor whose other level always collapses.

    Attributes
    ----------
    factor : its name.
    working, collapsed : its levels.
    effects : of the other factors, at the working level.
    p : of Fisher's exact test, two-sided, of the runs that collapsed at either level.
    """

    factor: str
    working: Level
    collapsed: Level
    effects: "Effects"
    p: float


@dataclass(frozen=True)
class Effects:
    """The fitted model.

    Attributes
    ----------
    terms : a row a term, by name (``a:b`` an interaction): coefficient, effect (twice that),
        std_error, t, p, ci_low, ci_high (of the coefficient), sum_of_squares. In units of the
        response, on its `transform`.
    anova : a row a source (blocks, terms, curvature, residual, lack of fit, pure error, total):
        df, sum_of_squares, mean_square, f, p; curvature is tested on the residual.
    contrasts : every estimable effect, of any order, that Lenth's method judges.
    press, r_squared_predicted : prediction sum of squares, and 1 - press / total; NaN where a run
        is fitted exactly.
    lenth : its margins; None with fewer than three effects.
    runs : what was fitted, with responses, ``fitted``, ``residual`` and ``studentised``.
    lost : terms that these runs cannot tell from others.
    half : the same on the working half, where a factor's level always collapses.
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
    lost: tuple[Lost, ...] = ()
    half: Half | None = None
    warnings: tuple[Caution, ...] = ()

    @property
    def active(self) -> tuple[str, ...]:
        """The terms that the verdict calls active."""
        return self.verdict.active

    @property
    def shown(self) -> tuple[str, ...]:
        """What was shown to matter.

        Where a factor's level always collapses: that factor, unless chance collapses as many (of
        three runs in four, each level is one that always does), and the terms that are active at
        its working level, where the decision judges the others too.
        """
        if self.half is None:
            return self.active
        own = (self.half.factor,) if self.half.p < self.alpha else ()
        return (*own, *self.half.effects.shown)

    @property
    def response_words(self) -> str:
        """The response with its scale, as an axis names it."""
        return self.response if self.transform == "raw" else f"{self.transform} {self.response}"
