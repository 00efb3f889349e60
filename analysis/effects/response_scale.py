"""Scales of a response that is a share: an accuracy near 1 varies less than one near 1/2."""

from typing import Literal, get_args

import numpy as np
import pandas as pd

from analysis.errors import DesignError

Transform = Literal["raw", "logit", "log_error"]
SCALES: tuple[Transform, ...] = get_args(Transform)


def transform_response(
    response: "pd.Series[float]", transform: Transform, *, images: int | None = None
) -> "pd.Series[float]":
    """Return a response on the scale to be fitted; higher stays better.

    Parameters
    ----------
    response : (N,) shares between 0 and 1; any numbers if `transform` is ``raw``.
    transform : ``raw``; ``logit``: log(y / (1 - y)); ``log_error``: -log(1 - y), on which halving
        the error is the same step everywhere.
    images : number of images that the share was measured on; with it, a share of 0 or 1 is moved
        inside by half an image.

    Raises
    ------
    DesignError
        If a value is not a share, or is 0 or 1 and `images` is missing.

    References
    ----------
    Cox, D. R. and Snell, E. J. (1989), Analysis of Binary Data, 2nd ed., section 2.1.6 (the
    empirical logit). The binomial variance at 0.5 is 25 times that at 0.99.
    """
    if transform == "raw":
        return response
    if transform not in SCALES:
        raise DesignError(f"scale {transform!r}: unknown; take raw, logit or log_error")
    outside = response[(response < 0) | (response > 1)]
    if len(outside):
        raise DesignError(
            f"response {response.name}: {outside.iloc[0]:g} is not a share between 0 and 1, as "
            f"{transform} needs; analyze it raw"
        )
    if images:
        response = (response * images + 0.5) / (images + 1)
    _check_ends(response, transform)
    error = 1 - response
    values = np.log(response / error) if transform == "logit" else -np.log(error)
    return pd.Series(values, index=response.index, name=response.name)


def _check_ends(response: "pd.Series[float]", transform: Transform) -> None:
    ends = {0.0, 1.0} if transform == "logit" else {1.0}
    at = response[response.isin(ends)]
    if len(at):
        raise DesignError(
            f"response {response.name}: {at.iloc[0]:g} has no {transform}; give the number of "
            "images that it was measured on, or analyze it raw"
        )
