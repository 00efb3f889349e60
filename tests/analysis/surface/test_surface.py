import json
import math
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from analysis.designs.response_surface import (
    box_behnken,
    central_composite,
    definitive_screening,
)
from analysis.effects.least_squares import fit_matrix, table_value
from analysis.errors import AnalysisError, DesignError, NotEstimableError
from analysis.factors import Factor
from analysis.plots.response_surface import contours
from analysis.surface.fit import fit_surface, surface_matrix
from analysis.surface.steepest_ascent import steepest_ascent

TIME, HEAT = Factor("time", 80.0, 90.0), Factor("temp", 170.0, 180.0)
#: Montgomery (2013), table 11.6: corners, centre, axial points.
YIELD = [76.5, 78.0, 77.0, 79.5, 79.9, 80.3, 80.0, 79.7, 79.8, 75.6, 78.4, 77.0, 78.5]


def _yield() -> pd.DataFrame:
    far = 5 * math.sqrt(2)
    corners = [(80, 170), (90, 170), (80, 180), (90, 180)]
    star = [(85 - far, 175), (85 + far, 175), (85, 175 - far), (85, 175 + far)]
    rows = corners + [(85, 175)] * 5 + star
    return pd.DataFrame(rows, columns=["time", "temp"]).assign(y=YIELD)


def test_montgomerys_second_order_fit_and_canonical_analysis() -> None:
    surface = fit_surface(_yield(), [TIME, HEAT], "y")
    printed = {"time": 0.99, "temp": 0.52, "time^2": -1.38, "temp^2": -1.0, "time:temp": 0.25}
    for term, coefficient in printed.items():
        assert table_value(surface.terms, term, "coefficient") == pytest.approx(
            coefficient, abs=0.005
        )
    assert surface.press == pytest.approx(2.35, abs=0.005)
    assert surface.r_squared_predicted == pytest.approx(0.9184, abs=5e-5)
    assert table_value(surface.anova, "lack of fit", "p") == pytest.approx(0.2897, abs=5e-5)
    point = surface.stationary
    assert point is not None
    assert point.natural == pytest.approx({"time": 86.95, "temp": 176.53}, abs=0.005)
    assert point.predicted == pytest.approx(80.21, abs=0.005)
    assert point.eigenvalues.tolist() == pytest.approx([-0.9634, -1.4141], abs=5e-5)
    assert (point.kind, point.inside, point.ridge) == ("maximum", True, ())
    assert point.natural["time"] == pytest.approx(86.946, abs=0.0005)


@pytest.mark.parametrize(("k", "runs"), [(3, 12), (4, 24), (5, 40), (6, 48), (7, 56)])
def test_box_behnken_designs_are_the_published_ones(k: int, runs: int) -> None:
    # Box and Behnken (1960), table 1: edges only, every second-order term estimable.
    factors = [Factor(f"x{i}", -1.0, 1.0) for i in range(k)]
    cells = box_behnken(factors, centre_points=3).cells
    names = [f.name for f in factors]
    assert len(cells) == runs + 3
    assert cells["centre"].sum() == 3
    rng = np.random.default_rng(k)
    surface = fit_surface(cells.assign(y=rng.normal(size=len(cells))), factors, "y")
    assert len(surface.terms) == (k + 1) * (k + 2) // 2
    assert set(np.unique(cells[names])) == {-1.0, 0.0, 1.0}
    assert (cells[names].abs().sum(axis=1) < k).all()


def test_a_rotatable_design_predicts_as_well_in_every_direction() -> None:
    factors = [Factor(name, -1.0, 1.0) for name in "abc"]
    cells = central_composite(factors, centre_points=6).cells
    surface = fit_surface(cells.assign(y=np.arange(len(cells)) ** 0.5), factors, "y")
    assert cells["a"].max() == pytest.approx(8**0.25)
    assert surface.radius == pytest.approx(3**0.5)
    names = [f.name for f in factors]
    x = surface_matrix(cells[names]).to_numpy()
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    at = surface_matrix(pd.DataFrame(points, columns=names)).to_numpy()
    spread = np.einsum("ij,jk,ik->i", at, np.linalg.inv(x.T @ x), at)
    assert spread == pytest.approx(spread.mean(), rel=1e-9)


def test_a_face_centred_design_stays_between_the_levels() -> None:
    factors = [Factor("conv", 3, 7, "integer"), Factor("lr", 1e-4, 1e-2, "log", (1e-4, 1e-2))]
    cells = central_composite(factors, axial="faced", centre_points=3).cells
    assert set(cells["conv"]) == {3, 5, 7}
    assert set(cells["lr"]) == {1e-4, 1e-3, 1e-2}
    with pytest.raises(DesignError, match="faced"):
        central_composite(factors)


def _quadratic(function: str) -> pd.DataFrame:
    factors = [Factor("a", -1.0, 1.0), Factor("b", -1.0, 1.0)]
    cells = central_composite(factors).cells
    y: pd.Series[float] = cells.eval(function)  # type: ignore[assignment] # of columns
    return cells.assign(y=y)


def test_a_ridge_is_a_caution() -> None:
    table = _quadratic("5 - (a + b) ** 2 - 0.01 * (a - b) ** 2")
    factors = [Factor("a", -1.0, 1.0), Factor("b", -1.0, 1.0)]
    surface = fit_surface(table, factors, "y")
    assert surface.stationary is not None
    assert surface.stationary.ridge == (0,)
    (ridge,) = (c for c in surface.warnings if c.kind == "ridge")
    assert len(ridge.details["directions"]) == 1
    assert set(ridge.details["directions"][0]) == {"a", "b"}
    assert "ridge_with_slope" not in {c.kind for c in surface.warnings}


def test_a_ridge_along_which_the_response_rises_is_not_called_level() -> None:
    table = _quadratic("5 - (a + b) ** 2 - 0.01 * (a - b) ** 2 + 2 * (a - b)")
    surface = fit_surface(table, [Factor("a", -1.0, 1.0), Factor("b", -1.0, 1.0)], "y")
    (ridge,) = (c for c in surface.warnings if c.kind.startswith("ridge"))
    assert ridge.kind == "ridge_with_slope"
    # The gradient is (2, -2), the region has the radius 1.414 on both sides of the centre.
    assert ridge.details["changes"] == pytest.approx((8,))


@pytest.mark.parametrize(
    ("function", "warned"),
    [("a ** 2 - b ** 2", True), ("(a - 5) ** 2 - b ** 2", False), ("-(a ** 2) - b ** 2", False)],
)
def test_a_saddle_within_the_region_is_a_caution(function: str, *, warned: bool) -> None:
    factors = [Factor("a", -1.0, 1.0), Factor("b", -1.0, 1.0)]
    surface = fit_surface(_quadratic(function), factors, "y")
    assert ("saddle" in {c.kind for c in surface.warnings}) == warned


def test_a_maximum_outside_the_region_is_an_extrapolation() -> None:
    table = _quadratic("5 - (a - 4) ** 2 - b ** 2")
    surface = fit_surface(table, [Factor("a", -1.0, 1.0), Factor("b", -1.0, 1.0)], "y")
    assert surface.stationary is not None
    assert surface.stationary.coded == pytest.approx({"a": 4, "b": 0}, abs=1e-9)
    assert "optimum_outside" in [caution.kind for caution in surface.warnings]


def test_steepest_ascent_of_a_plane_keeps_the_coefficients_proportions() -> None:
    # Montgomery (2013), example 11.1: 5 minutes, then 0.42 of a coded step of temperature.
    rows = [(30, 150), (30, 160), (40, 150), (40, 160), *[(35, 155)] * 5]
    y = [39.3, 40.0, 40.9, 41.5, 40.3, 40.5, 40.7, 40.2, 40.6]
    table = pd.DataFrame(rows, columns=["t", "h"]).assign(y=y)
    surface = fit_surface(table, [Factor("t", 30, 40), Factor("h", 150, 160)], "y", model="first")
    path = steepest_ascent(surface, steps=3)
    assert path["t"].tolist() == pytest.approx([35, 40, 45, 50])
    assert path["coded h"][1] == pytest.approx(0.42, abs=0.005)
    assert path["predicted"].is_monotonic_increasing
    down = steepest_ascent(surface, steps=1, base="h", maximise=False)
    assert down["coded h"][1] == -1
    with pytest.raises(AnalysisError, match="not a factor"):
        steepest_ascent(surface, base="q")


def test_ridge_analysis_finds_the_best_point_at_each_distance() -> None:
    surface = fit_surface(_yield(), [TIME, HEAT], "y")
    path = steepest_ascent(surface, steps=3, step=0.4)
    assert path["distance"].tolist() == pytest.approx([0, 0.4, 0.8, 1.2])
    angles = np.linspace(0, 2 * np.pi, 2000)
    for radius, best in zip(path["distance"][1:], path["predicted"][1:], strict=True):
        ring = radius * np.column_stack([np.cos(angles), np.sin(angles)])
        assert best == pytest.approx(surface.predict(ring).max(), abs=1e-5)


def test_lack_of_fit_is_a_warning() -> None:
    table = _yield()
    table.loc[[0, 3], "y"] += 4
    surface = fit_surface(table, [TIME, HEAT], "y", model="first")
    (caution,) = surface.warnings
    assert caution.kind == "surface_lack_of_fit"
    assert caution.details["model"] == "first"
    assert caution.details["p"] < 0.05


def test_a_table_without_a_surface_is_refused_with_advice() -> None:
    table = _yield()
    with pytest.raises(DesignError, match="categorical"):
        fit_surface(table, [Factor("time", "a", "b", "categorical")], "y")
    with pytest.raises(NotEstimableError, match="axial points"):
        fit_surface(table.iloc[:9], [TIME, HEAT], "y")
    with pytest.raises(DesignError, match="3 to 7"):
        box_behnken([TIME, HEAT])
    with pytest.raises(DesignError, match="2 to 6"):
        central_composite([TIME])


def test_contours_mark_runs_and_the_best_point() -> None:
    figure = contours(fit_surface(_yield(), [TIME, HEAT], "y"))
    axes = figure.axes[0]
    assert axes.get_xlabel() == "time"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["80", "85", "90"]


def test_a_maximum_in_the_centre_has_a_path_along_which_the_response_falls_least() -> None:
    points = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)]
    runs = pd.DataFrame(points, columns=["x", "y"])
    runs["z"] = 0.7 - runs["x"] ** 2 - 0.1 * runs["y"] ** 2
    surface = fit_surface(runs, [Factor("x", -1, 1), Factor("y", -1, 1)], "z")
    assert not surface.gradient.any()
    path = steepest_ascent(surface, steps=2)
    assert path["y"].tolist() == pytest.approx([0, 1, 2])
    assert path["x"].tolist() == pytest.approx([0, 0, 0])
    assert path["predicted"].tolist() == pytest.approx([0.7, 0.6, 0.3])
    with pytest.raises(AnalysisError, match="flat"):
        steepest_ascent(fit_surface(runs, surface.factors, "z", model="first"))


#: Jones and Nachtsheim (2011), A class of three-level designs for definitive screening in the
#: presence of second-order effects, Journal of Quality Technology 43, 1-15, table 2: simulated
#: as 20 + 4 x1 + 3 x2 - 2 x3 - x4 + 5 x2 x3 + 6 x1^2 + N(0, 1). As process-improve catalogues it.
SIX = ["x1", "x2", "x3", "x4", "x5", "x6"]


def _definitive_screening() -> pd.DataFrame:
    catalogue = files("process_improve") / "datasets" / "experiments" / "reference_catalogue"
    content = json.loads((catalogue / "jones-nachtsheim-2011.json").read_text(encoding="utf-8"))
    runs = content["experiments"][0]["runs"]
    return pd.DataFrame(runs["rows"], columns=runs["columns"])


def _aicc(table: pd.DataFrame, terms: list[str]) -> float:
    """Return AICc of a fit of some second-order terms, with the error variance as a parameter."""
    matrix = surface_matrix(table[SIX].astype(float))[["intercept", *terms]]
    fit = fit_matrix(matrix, table["y"], [table["Run"]])
    n, k = len(table), len(terms) + 2
    return float(-2 * fit.results.llf + 2 * k + 2 * k * (k + 1) / (n - k - 1))


def test_a_published_definitive_screening_has_its_printed_fits() -> None:
    table = _definitive_screening()
    printed = {
        70.63: ["x1", "x2", "x3", "x2:x3", "x1^2"],
        71.25: ["x1", "x2", "x3", "x4", "x2:x3", "x1^2"],
        83.72: ["x1", "x2", "x3", "x4", "x2:x3", "x1^2", "x4^2"],
    }
    for aicc, terms in printed.items():
        assert _aicc(table, terms) == pytest.approx(aicc, abs=0.005)


def test_a_definitive_screening_is_fitted_by_main_effects_and_quadratic_terms() -> None:
    table = _definitive_screening()
    factors = [Factor(name, -1.0, 1.0) for name in SIX]
    surface = fit_surface(table, factors, "y", model=None)
    assert surface.model == "quadratic"
    assert list(surface.terms.index) == ["intercept", *SIX, *(f"{name}^2" for name in SIX)]
    # Each main effect has the variance s^2 / 10, whatever the second-order effects are.
    main = surface.terms.loc[SIX, "coefficient"]
    assert main.tolist() == pytest.approx((table[SIX].T @ table["y"] / 10).tolist())
    assert main.tolist() == pytest.approx([4, 3, -2, -1, 0, 0], abs=3 * 10**-0.5)
    kinds = [caution.kind for caution in surface.warnings]
    assert kinds[:2] == ["interactions_left_out", "no_error"]
    assert surface.terms["p"].isna().all()


def test_more_centre_points_give_a_definitive_screening_an_error() -> None:
    factors = [Factor(name, -1.0, 1.0) for name in "abcd"]
    cells = definitive_screening(factors, centre_points=4).cells
    noise = np.random.default_rng(0).normal(0, 0.01, len(cells))
    table = cells.assign(y=3 * cells["a"] - 2 * cells["b"] ** 2 + noise)
    surface = fit_surface(table, factors, "y", model=None)
    assert (surface.model, surface.residual_df) == ("quadratic", 3)
    assert surface.terms["coefficient"][["a", "b^2"]].tolist() == pytest.approx([3, -2], abs=0.05)
    assert surface.terms["p"][["a", "b^2"]].max() < 1e-4
    assert "no_error" not in [caution.kind for caution in surface.warnings]


def test_interactions_within_main_effects_are_named() -> None:
    # Taguchi's L9: four factors of three levels in nine runs.
    rows = [(i, j, (i + j) % 3, (i + 2 * j) % 3) for i in range(3) for j in range(3)]
    table = pd.DataFrame(rows, columns=list("abcd")) - 1
    factors = [Factor(name, -1.0, 1.0) for name in "abcd"]
    surface = fit_surface(table.assign(y=np.arange(9) ** 0.5), factors, "y", model=None)
    assert surface.model == "quadratic"
    assert surface.warnings[0].kind == "interactions_in_main_effects"
    assert surface.warnings[0].details["names"] == "a, b, c, d"


def test_the_second_order_is_fitted_where_the_runs_allow_it() -> None:
    assert fit_surface(_yield(), [TIME, HEAT], "y", model=None).model == "second"


def test_two_levels_have_no_quadratic_terms() -> None:
    runs = pd.DataFrame({"a": [-1, 1, -1, 1, -1, 1], "b": [-1, -1, 1, 1, 0, 0]})
    factors = [Factor("a", -1, 1), Factor("b", -1, 1)]
    with pytest.raises(NotEstimableError, match=r"a\^2.*axial points"):
        fit_surface(runs.assign(y=[1.0, 2, 3, 4, 5, 7]), factors, "y", model=None)
