"""The smallest effect that a design finds, and what twice as many runs would change."""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.designs.factorial import Design
from analysis.designs.summary import THREE_LEVELS
from analysis.effects.power import DetectableEffect, smallest_effect
from analysis.surface.power import smallest_surface_effect
from tasks.analyze.request import DEFAULT_ALPHA
from tasks.errors import UserError
from tasks.wording.power import detectable_as_json, detectable_as_text
from tasks.wording.terminal import wrapped


@dataclass(frozen=True)
class DesignPower:
    """What a design can find.

    Attributes
    ----------
    runs : of the design.
    found : its smallest effect.
    doubled : that of the same design with every run made twice.
    spread : standard deviation between runs of one cell, in units of the response; None if it was
        not given.
    """

    runs: int
    found: DetectableEffect
    doubled: DetectableEffect
    spread: float | None = None


def design_power(design: Design, spread: float | None = None) -> DesignPower:
    """Return the smallest effect that a design finds with a chance of 80 %, at 5 %.

    Raises
    ------
    UserError
        If the standard deviation is not a positive number.
    """
    if spread is not None and not 0 < spread < math.inf:
        raise UserError(
            f"--sd {spread:g}: not a standard deviation; give that between runs of one cell, in "
            "units of the response, above 0"
        )
    cells = design.cells
    more = cells.assign(block=cells["block"] + cells["block"].max()) if _blocked(design) else cells
    twice = pd.concat([cells, more], ignore_index=True)
    return DesignPower(len(cells), _smallest(design, cells), _smallest(design, twice), spread)


def _blocked(design: Design) -> bool:
    return bool((design.cells["block"] > 1).any())


def _smallest(design: Design, cells: pd.DataFrame) -> DetectableEffect:
    if design.kind in THREE_LEVELS:
        return smallest_surface_effect(cells, design.factors)
    block = "block" if _blocked(design) else None
    return smallest_effect(cells, design.factors, block=block)


def power_as_json(power: DesignPower) -> dict[str, Any]:
    """Return what a design can find as plain JSON types."""
    return {
        "sd": power.spread,
        "smallest_effect": detectable_as_json(power.found, DEFAULT_ALPHA, power.spread),
        "smallest_effect_with_twice_the_runs": detectable_as_json(
            power.doubled, DEFAULT_ALPHA, power.spread
        ),
    }


def power_as_text(power: DesignPower) -> str:
    """Return what a design can find, as lines of a terminal."""
    size = _size(power, power.found)
    lines = [detectable_as_text(power.found, DEFAULT_ALPHA, size)]
    if math.isfinite(power.doubled.size):
        lines.append(
            f"With every run made twice, {2 * power.runs} runs: an effect of "
            f"{_size(power, power.doubled)}."
        )
    if power.spread is None:
        lines.append(
            "A standard deviation is that of the response between runs of one cell; with --sd, "
            "effects are in units of the response."
        )
    return "\n".join(map(wrapped, lines))


def _size(power: DesignPower, found: DetectableEffect) -> str:
    if power.spread is None:
        return f"{found.size:.2f} standard deviations"
    return f"{found.size * power.spread:.4g} ({found.size:.2f} standard deviations)"
