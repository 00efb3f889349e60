"""Drift: how much a set of pictures differs from the last accepted version of its source."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

#: The cumulative shares, 0 to 1, at which the quantiles of a measure are kept.
SHARES = np.linspace(0, 1, 101)


def profile_of(accepted: pd.DataFrame) -> dict[str, Any]:
    """Return what drift is measured from: count, sizes (pixels), brightness and class shares."""
    pixels = (accepted["width"] * accepted["height"]).to_numpy()
    return {
        "accepted": len(accepted),
        "size": _quantiles(pixels),
        "brightness": _quantiles(accepted["brightness"].to_numpy()),
        "classes": dict(accepted["label"].value_counts(normalize=True).round(6)),
    }


def _quantiles(values: NDArray[np.float64]) -> list[float]:
    return [float(q) for q in np.quantile(values, SHARES)] if len(values) else []


def drift(now: Mapping[str, Any], last: Mapping[str, Any] | None) -> dict[str, float | None]:
    """Return how much a profile differs from the last one; None if there is no last one.

    Returns
    -------
    size_drift, brightness_drift : the largest difference of the cumulative shares, 0 to 1, minus
        what chance explains at the level 0.001 (the bound of Kolmogorov and Smirnov).
    class_drift : the largest change of a class's share, minus the same bound.
    """
    names = ("size_drift", "brightness_drift", "class_drift")
    if not last or not now["accepted"] or not last["accepted"]:
        return dict.fromkeys(names)
    chance = 1.95 * np.sqrt(sum(1 / p["accepted"] for p in (now, last)))
    distances = [
        _kolmogorov_smirnov(p, q) for p, q in ((now[k], last[k]) for k in ("size", "brightness"))
    ]
    distances.append(_largest_change(now["classes"], last["classes"]))
    return {
        name: max(0.0, float(distance - chance))
        for name, distance in zip(names, distances, strict=True)
    }


def _kolmogorov_smirnov(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the largest difference of the cumulative shares of two sets of quantiles."""
    a, b = (np.asarray(quantiles, dtype=float) for quantiles in (first, second))
    at = np.union1d(a, b)
    shares = [np.searchsorted(q, at, side="right") / len(q) for q in (a, b)]
    return float(np.max(np.abs(shares[0] - shares[1])))


def _largest_change(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    return max(abs(a.get(name, 0.0) - b.get(name, 0.0)) for name in {*a, *b})
