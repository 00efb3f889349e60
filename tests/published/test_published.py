"""All worked examples of `designed_experiments.json`, to their printed digits.

The file has the runs, the printed figures and the citation of each example, and nothing else of
its source.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from analysis.effects.dispersion import dispersion
from analysis.effects.fit import fit_effects
from analysis.effects.least_squares import table_value
from analysis.effects.result import Effects
from analysis.factors import Factor
from analysis.surface.fit import fit_surface
from analysis.surface.result import Surface
from analysis.surface.steepest_ascent import steepest_ascent

FILE = Path(__file__).with_name("designed_experiments.json")
EXAMPLES: dict[str, Any] = {e["id"]: e for e in json.loads(FILE.read_text("utf-8"))["examples"]}


def _table(name: str) -> pd.DataFrame:
    example = EXAMPLES[name]
    return pd.DataFrame(example["runs"], columns=example["columns"])


def _factors(name: str, *, natural: bool = False) -> list[Factor]:
    columns = EXAMPLES[name]["columns"]
    given = zip(columns, EXAMPLES[name]["factors"], strict=False)
    if natural:
        return [Factor(column, float(f["low"]), float(f["high"])) for column, f in given]
    return [Factor(column, -1, 1) for column, _ in given]


def _fit(name: str, *, only: str = "", **options: Any) -> Effects:
    response = EXAMPLES[name]["response"]
    factors = [f for f in _factors(name) if not only or f.name in only]
    # The printed tests have one pooled spread.
    return fit_effects(_table(name), factors, response, equal_spread=True, **options)


def _leaves(printed: Any, found: Any, path: str = "") -> Iterator[tuple[str, str, float]]:
    """Yield path, printed string and computed number for every value in `found`."""
    if isinstance(printed, dict):
        for key, part in printed.items():
            if key in found:
                yield from _leaves(part, found[key], f"{path}.{key}".lstrip("."))
    else:
        yield path, printed, found


def _half_a_unit(text: str) -> float:
    mantissa, _, exponent = text.lower().partition("e")
    digits = len(mantissa.partition(".")[2])
    return 0.5 * 10.0 ** (int(exponent or 0) - digits)


def _check(name: str, found: dict[str, Any], *, least: int) -> None:
    """Compare computed values with the printed ones; misprints with what the data give."""
    example = EXAMPLES[name]
    compared = 0
    for path, text, number in _leaves(example["printed"], found):
        compared += 1
        assert abs(number - float(text)) <= _half_a_unit(text) * (1 + 1e-6), (path, text, number)
    for wrong in example["discrepancies"]:
        # "F.A:B" is a path, but names hold no dots.
        value: Any = found
        for key in wrong["quantity"].split("."):
            value = value[key]
        compared += 1
        assert value == pytest.approx(wrong["computed"], rel=1e-6), wrong["quantity"]
    assert compared >= least, f"only {compared} values compared"


def _column(effects: Effects | Surface, column: str) -> dict[str, float]:
    table = effects.terms.drop("intercept") if column != "coefficient" else effects.terms
    found = {str(k): float(v) for k, v in table[column].items()}
    return found | {"Intercept": found["intercept"]} if "intercept" in found else found


def _f(effects: Effects) -> dict[str, float]:
    return {k: v**2 for k, v in _column(effects, "t").items()}


def _lenth(effects: Effects) -> dict[str, float]:
    judged = effects.lenth
    assert judged is not None
    sizes = effects.contrasts.abs()
    s0 = 1.5 * float(sizes.median())
    return {"s0": s0, "trim": 2.5 * s0, "PSE": judged.pse, "ME": judged.me_t, "SME": judged.sme_t}


def _halved(figures: dict[str, float]) -> dict[str, float]:
    return {name: figure / 2 for name, figure in figures.items()}


def _pseudo(effects: Effects) -> tuple[dict[str, float], dict[str, float]]:
    ratios = effects.contrasts / _lenth(effects)["PSE"]
    t = {str(name): float(ratio) for name, ratio in ratios.items()}
    df = len(t) / 3
    return t, {name: float(2 * student.sf(abs(x), df)) for name, x in t.items()}


def test_the_filtration_rate_is_as_montgomery_prints_it() -> None:
    name = "filtration_2_4"
    whole = _fit(name, order=4)
    t, p = _pseudo(whole)
    squares = _column(whole, "sum_of_squares")
    total = sum(squares.values())
    projected = _fit(name, only="ACD", order=3)
    f, anova = _f(projected), projected.anova
    _check(
        name,
        {
            "effects": _column(whole, "effect"),
            "ss": squares,
            "percent_contribution": {k: 100 * v / total for k, v in squares.items()},
            "lenth_effect_scale": _lenth(whole),
            "lenth_coef_scale": _halved(_lenth(whole)),
            "pseudo_t": t,
            "pseudo_p_t5df": p,
            "projected_ACD": {
                "F": f,
                "ms_resid": table_value(anova, "residual", "mean_square"),
                "ss_resid": table_value(anova, "residual", "sum_of_squares"),
                "df_resid": projected.residual_df,
                "ss_total": table_value(anova, "total", "sum_of_squares"),
            },
        },
        least=90,
    )


def test_the_filtration_rate_with_centre_points_is_as_montgomery_prints_it() -> None:
    name = "filtration_center_points"
    whole = _fit(name, order=4)
    table = _table(name)
    centre = table[["A", "B", "C", "D"]].abs().sum(axis=1) == 0
    means = table.groupby(centre)["y"].mean()
    reduced = _fit(name, terms=["A", "C", "D", "A:C", "A:D"])
    lack = reduced.anova.loc["lack of fit"]
    _check(
        name,
        {
            "mean_factorial": means[False],
            "mean_center": means[True],
            "difference": means[False] - means[True],
            "ss_pure_error": table_value(whole.anova, "pure error", "sum_of_squares"),
            "df_pure_error": table_value(whole.anova, "pure error", "df"),
            "ms_pure_error": table_value(whole.anova, "pure error", "mean_square"),
            "ss_curvature": table_value(whole.anova, "curvature", "sum_of_squares"),
            "F_curvature": table_value(whole.anova, "curvature", "f"),
            "p_curvature": table_value(whole.anova, "curvature", "p"),
            "ss_total": table_value(whole.anova, "total", "sum_of_squares"),
            "F_vs_pure_error": _f(whole),
            "p_vs_pure_error": _column(whole, "p"),
            "reduced": {
                "ss_resid": table_value(reduced.anova, "residual", "sum_of_squares"),
                "df_resid": reduced.residual_df,
                "ms_resid": table_value(reduced.anova, "residual", "mean_square"),
                "F": _f(reduced) | {"curvature": table_value(reduced.anova, "curvature", "f")},
                "p_curvature": table_value(reduced.anova, "curvature", "p"),
                "ss_lof": lack["sum_of_squares"],
                "df_lof": lack["df"],
                "ms_lof": lack["mean_square"],
                "F_lof": lack["f"],
                "p_lof": lack["p"],
            },
        },
        least=55,
    )


def _replicated(name: str, **options: Any) -> dict[str, Any]:
    effects = _fit(name, **options)
    anova = effects.anova
    return {
        "mean": table_value(effects.terms, "intercept", "coefficient"),
        "effects": _column(effects, "effect"),
        "ss": _column(effects, "sum_of_squares")
        | {"Blocks": table_value(anova, "blocks", "sum_of_squares")},
        "ss_total": table_value(anova, "total", "sum_of_squares"),
        "ss_resid": table_value(anova, "residual", "sum_of_squares"),
        "df_resid": effects.residual_df,
        "ms_resid": table_value(anova, "residual", "mean_square"),
        "F": _f(effects),
        "p": _column(effects, "p"),
        "se_effect": 2 * table_value(effects.terms, "intercept", "std_error"),
        "se_mean": table_value(effects.terms, "intercept", "std_error"),
        "root_mse": table_value(anova, "residual", "mean_square") ** 0.5,
    }


@pytest.mark.parametrize(
    ("name", "block", "least"),
    [
        ("chemical_2_2_r3", None, 16),
        ("chemical_2_2_blocks", "block", 13),
        ("pilot_plant_2_3_r2", None, 13),
    ],
)
def test_replicated_designs_are_as_printed(name: str, block: str | None, least: int) -> None:
    found = _replicated(name, block=block)
    # The wrong prints of p are those of a rounded F.
    _check(name, found, least=least)


def test_the_tensile_strength_is_as_lenth_prints_it() -> None:
    name = "lenth1989_II_tensile"
    base = _fit(name, only="TWCR", order=4)
    _check(
        name,
        {
            "mean": table_value(base.terms, "intercept", "coefficient"),
            "contrasts": base.contrasts.to_dict(),
            "lenth": _lenth(base),
        },
        least=21,
    )
    # All nine factors: the same fifteen contrasts, the two active ones under their own names.
    effects = _fit(name)
    assert {"P", "M"} == set(effects.verdict.active_jointly)
    assert effects.lenth is not None
    assert effects.lenth.pse == pytest.approx(0.225)


def test_the_eddy_current_probe_is_as_nist_prints_it() -> None:
    name = "nist_eddy_current_2_3"
    saturated, effects = _fit(name, order=3), _fit(name, order=2)
    added = ["X1", "X2", "X2:X3", "X1:X3", "X3", "X1:X2:X3"]
    spreads = {
        f"+{term}": _fit(name, terms=added[: i + 1]).anova["mean_square"]["residual"] ** 0.5
        for i, term in enumerate(added)
    }
    _check(
        name,
        {
            "coef": _column(saturated, "coefficient"),
            "abc_as_error_1df": {
                "t": _column(effects, "t"),
                "std_error_coef": table_value(effects.terms, "X1", "std_error"),
                "resid_sd": table_value(effects.anova, "residual", "mean_square") ** 0.5,
            },
            "cumulative_resid_sd": {"mean": float(_table(name)["y"].std()), **spreads},
        },
        least=23,
    )


def test_the_first_order_yield_is_as_montgomery_prints_it() -> None:
    name = "yield_first_order_2_2_c5"
    table, factors = _table(name), _factors(name)
    first = fit_surface(table, factors, "y", model="first")
    effects = fit_effects(table, factors, "y")
    anova = effects.anova
    pure = table_value(anova, "pure error", "mean_square")
    natural = _factors(name, natural=True)
    levels = table.assign(x1=35 + 5 * table["x1"], x2=155 + 5 * table["x2"])
    path = steepest_ascent(fit_surface(levels, natural, "y", model="first"))
    _check(
        name,
        {
            "coef": _column(first, "coefficient"),
            "mean_factorial": table["y"][:4].mean(),
            "mean_center": table["y"][4:].mean(),
            "difference": table["y"][:4].mean() - table["y"][4:].mean(),
            "b12": table_value(effects.terms, "x1:x2", "coefficient"),
            "ms_pure_error": pure,
            "ss_interaction": table_value(effects.terms, "x1:x2", "sum_of_squares"),
            "F_interaction": table_value(effects.terms, "x1:x2", "t") ** 2,
            "p_interaction": table_value(effects.terms, "x1:x2", "p"),
            "ss_curvature": table_value(anova, "curvature", "sum_of_squares"),
            "F_curvature": table_value(anova, "curvature", "f"),
            "p_curvature": table_value(anova, "curvature", "p"),
            "ss_model": table_value(first.anova, "model", "sum_of_squares"),
            "ss_resid": table_value(first.anova, "residual", "sum_of_squares"),
            "df_resid": first.residual_df,
            "F_model": table_value(first.anova, "model", "f"),
            "p_model": table_value(first.anova, "model", "p"),
            "ss_total": table_value(first.anova, "total", "sum_of_squares"),
            "se_coef_pure_error": (pure / 4) ** 0.5,
            "steepest": {
                "slope_x2_per_x1": path["coded x2"][1] / path["coded x1"][1],
                "natural_step_time": path["x1"][1] - path["x1"][0],
                # The book rounds the 2.10 degrees that follow.
                "natural_step_temp": round(path["x2"][1] - path["x2"][0]),
            },
        },
        least=24,
    )
    assert path["x2"][1] - path["x2"][0] == pytest.approx(5 * 0.325 / 0.775)


def _canonical(surface: Surface) -> dict[str, Any]:
    point = surface.stationary
    assert point is not None
    return {
        "xs": point.coded,
        "y_at_xs": point.predicted,
        "eigenvalues": {str(i): float(x) for i, x in enumerate(point.eigenvalues)},
        "eigenvector_1_abs": dict(
            zip(("x1", "x2"), np.abs(point.eigenvectors[:, 0]).tolist(), strict=True)
        ),
    }


def _second_order(surface: Surface) -> dict[str, Any]:
    anova = surface.anova
    return {
        "coef": _column(surface, "coefficient"),
        "se": {k: float(v) for k, v in surface.terms["std_error"].items()},
        "t": {k: float(v) for k, v in surface.terms["t"].items()},
        "F": {k: float(v) ** 2 for k, v in surface.terms["t"].items()},
        "p": {k: float(v) for k, v in surface.terms["p"].items()},
        "ss_model": table_value(anova, "model", "sum_of_squares"),
        "F_model": table_value(anova, "model", "f"),
        "ss_resid": table_value(anova, "residual", "sum_of_squares"),
        "ms_resid": table_value(anova, "residual", "mean_square"),
        "df_resid": surface.residual_df,
        "ss_lof": table_value(anova, "lack of fit", "sum_of_squares"),
        "df_lof": table_value(anova, "lack of fit", "df"),
        "F_lof": table_value(anova, "lack of fit", "f"),
        "p_lof": table_value(anova, "lack of fit", "p"),
        "ss_pe": table_value(anova, "pure error", "sum_of_squares"),
        "df_pe": table_value(anova, "pure error", "df"),
        "ss_total": table_value(anova, "total", "sum_of_squares"),
        "press": surface.press,
        "r2": surface.r_squared,
        "r2_adj": surface.r_squared_adjusted,
        "r2_pred": surface.r_squared_predicted,
        "canonical": _canonical(surface),
    }


def _renamed(found: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {
        key: _renamed(part, names) if isinstance(part, dict) else part
        for key, part in ((names.get(key, key), part) for key, part in found.items())
    }


def test_the_second_order_yield_is_as_montgomery_prints_it() -> None:
    name = "yield_ccd_canonical"
    natural = _factors(name, natural=True)
    table = _table(name).assign(x1=lambda t: 85 + 5 * t["x1"], x2=lambda t: 175 + 5 * t["x2"])
    surface = fit_surface(table, natural, "y")
    found = _renamed(_second_order(surface), {"intercept": "Intercept"})
    point = surface.stationary
    assert point is not None
    found["canonical"]["xs_natural"] = {"time": point.natural["x1"], "temp": point.natural["x2"]}
    _check(name, found, least=44)
    assert point.kind == "maximum"
    assert point.inside


def test_the_surface_in_two_blocks_is_as_r_prints_it() -> None:
    name = "rsm_ChemReact_blocks"
    natural = _factors(name, natural=True)
    table = _table(name).assign(x1=lambda t: 85 + 5 * t["x1"], x2=lambda t: 175 + 5 * t["x2"])
    surface = fit_surface(table, natural, "y", block="block")
    found = _renamed(_second_order(surface), {"intercept": "Intercept", "(block) 2": "Block2"})
    point = surface.stationary
    assert point is not None
    found["canonical"]["xs_natural"] = {"Time": point.natural["x1"], "Temp": point.natural["x2"]}
    _check(name, found, least=40)


def test_the_credit_card_offers_are_as_montgomery_prints_them() -> None:
    name = "credit_card_2_4_rate"
    effects = _fit(name, order=4)
    # JMP codes the first level +1: the sign of a term of odd order turns.
    sign = pd.Series({term: (-1) ** (term.count(":") + 1) for term in effects.contrasts.index})
    t, p = _pseudo(effects)
    _check(
        name,
        {
            "mean": table_value(effects.terms, "intercept", "coefficient"),
            "lenth_coef_scale": _halved(_lenth(effects)),
            "jmp_estimate": (effects.contrasts / 2 * sign).to_dict(),
            "pseudo_t": (pd.Series(t) * sign).to_dict(),
            "pseudo_p_t5df": p,
        },
        least=23,
    )


def test_the_injection_moulding_is_as_montgomery_prints_it() -> None:
    name = "injection_molding_2_6_2"
    effects = _fit(name)
    spread = dispersion(_fit(name, terms=["A", "B", "A:B"]))
    _check(
        name,
        {
            "mean": table_value(effects.terms, "intercept", "coefficient"),
            "effects": _column(effects, "effect"),
            "ss": _column(effects, "sum_of_squares"),
            "dispersion": {
                "C_minus": spread["sd_low"]["C"],
                "C_plus": spread["sd_high"]["C"],
                "C_lnF": spread["log_ratio"]["C"],
            },
        },
        least=34,
    )
    chains: dict[str, set[str]] = {}
    for aliased in effects.aliased:
        (kept,) = aliased.aliased_with
        chains.setdefault(kept, set()).add(aliased.term.replace(":", ""))
    for term, chain in EXAMPLES[name]["alias"].items():
        two_way = {x for x in chains[term] if len(x) == 2}
        assert two_way == set(chain.split("+")) - {term.replace(":", "")}
