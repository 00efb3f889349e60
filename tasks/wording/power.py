"""The smallest effect that a design finds, as text and as JSON."""

import math
from typing import Any

from analysis.effects.power import DetectableEffect

TESTS = {
    "pooled": "t-tests on {df} error degrees of freedom",
    "welch": "t-tests on {df} error degrees of freedom",
    "lenth": "Lenth's method, because too few cells are run twice",
    "none": "no test: too few runs",
}


def detectable_as_json(
    found: DetectableEffect, alpha: float, spread: float | None
) -> dict[str, Any]:
    """Return a smallest effect as plain JSON types; what is unknown is null.

    Parameters
    ----------
    found : the smallest effect.
    alpha : significance level of the test.
    spread : standard deviation between runs of one cell, in units of the response.
    """
    size = found.size if math.isfinite(found.size) else None
    return {
        "power": found.power,
        "alpha": alpha,
        "test": found.test,
        "error_df": found.error_df,
        "in_standard_deviations": size,
        "in_units_of_the_response": size * spread if size and spread else None,
    }


def detectable_as_text(found: DetectableEffect, alpha: float, size: str) -> str:
    """Return which effect is found by which test, or why none is.

    Parameters
    ----------
    found, alpha : as for `detectable_as_json`.
    size : of the effect, as text.
    """
    test = TESTS[found.test].format(df=found.error_df)
    if not math.isfinite(found.size):
        return f"{test[0].upper()}{test[1:]}. Add replicates or cells."
    chance = f"a chance of {found.power:.0%}, at {alpha:.0%}"
    return f"An effect of {size} is called active with {chance}, by {test}."
