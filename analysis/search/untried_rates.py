"""Learning rates that are worth a try where networks learned at none of those that were tried."""

import math
from collections.abc import Iterable

#: Learning rates at which networks usually learn.
USUAL_RATES = (1e-4, 1e-2)
#: A rate is tried if another one was trained that differs by less than this factor: half a decade.
TRIED_FACTOR = math.sqrt(10)
#: Significant digits of a proposed rate.
DIGITS = 2


def untried_rates(tried: Iterable[float]) -> list[tuple[float, float]]:
    """Return the ranges of usual learning rates that were not tried, in rising order.

    Every rate in them differs from every tried one by at least half a decade. There is none if all
    usual rates were tried: then the learning rate is not the cause.

    Parameters
    ----------
    tried : the learning rates of trainings that learned nothing; at least one.
    """
    rates = sorted(tried)
    starts = [0.0, *(rate * TRIED_FACTOR for rate in rates)]
    ends = [*(rate / TRIED_FACTOR for rate in rates), math.inf]
    clipped = [
        (_rounded(max(start, USUAL_RATES[0])), _rounded(min(end, USUAL_RATES[1])))
        for start, end in zip(starts, ends, strict=True)
    ]
    return [(start, end) for start, end in clipped if start < end]


def other_range(tried: Iterable[float]) -> tuple[float, float] | None:
    """Return a range for the learning rate whose ends were not tried; None if there is none.

    It goes from the lowest untried usual rate to the highest, because a design has its levels at
    the ends. Rates between them may have been tried.
    """
    ranges = untried_rates(tried)
    return (ranges[0][0], ranges[-1][1]) if ranges else None


def other_rate(tried: Iterable[float]) -> float | None:
    """Return the middle of the widest range of untried usual rates; None if there is none."""
    ranges = untried_rates(tried)
    if not ranges:
        return None
    low, high = max(ranges, key=lambda ends: ends[1] / ends[0])
    return _rounded(math.sqrt(low * high))


def _rounded(rate: float) -> float:
    return float(f"{rate:.{DIGITS}g}")
