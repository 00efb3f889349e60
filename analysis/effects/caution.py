"""Something that a reader of a fitted model must know, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Caution:
    """One reason to trust a fitted model less; `tasks.wording` turns it into a sentence.

    Attributes
    ----------
    kind : its name, see `analysis.effects.warnings` and `analysis.surface.warnings`.
    details : the values that a sentence about it contains, by name.
    """

    kind: str
    details: Mapping[str, Any] = field(default_factory=dict)
