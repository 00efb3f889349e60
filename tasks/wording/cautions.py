"""The cautions of effects and response surfaces as text."""

from collections.abc import Callable, Mapping
from typing import Any

from analysis.effects.caution import Caution
from analysis.effects.model_matrix import AliasedTerm
from tasks.languages import Translate
from tasks.wording.values import cell_as_text, listed

#: Terms that are named of those in which an aliased term is contained.
MOST_ALIASES = 4
#: A share this close to 1 is 1.
ROUNDING = 1e-9


def caution_as_text(caution: Caution, translate: Translate) -> str:
    """Return a caution as a sentence.

    Parameters
    ----------
    caution : of `Effects.warnings` or `Surface.warnings`.
    translate : see `tasks.languages.translator`.
    """
    values = {name: _value(name, x, translate) for name, x in caution.details.items()}
    sentence = translate(f"caution_{caution.kind}", **values)
    at = caution.details.get("at")
    return f"{sentence} {translate('caution_judged_at', **values)}" if at else sentence


def alias_as_text(term: AliasedTerm, translate: Translate) -> str:
    """Return an alias, as in ``C:E = A:B`` or ``A:B:C (in A, -B, ...)``."""
    if not term.aliased_with:
        return translate("alias_constant", term=term.term)
    names = [_share_as_text(name, share) for name, share in term.aliased_with.items()]
    if len(names) == 1:
        return f"{term.term} = {names[0]}"
    shown = ", ".join(names[:MOST_ALIASES]) + (", ..." if len(names) > MOST_ALIASES else "")
    return translate("alias_in", term=term.term, terms=shown)


def _share_as_text(name: str, share: float) -> str:
    size = "" if abs(abs(share) - 1) < ROUNDING else f"{abs(share):.2g} "
    return f"{'-' if share < 0 else ''}{size}{name}"


def _value(name: str, value: Any, translate: Translate) -> Any:
    """Return a detail of a caution as it stands in the sentence."""
    as_text = _VALUES.get(name)
    return as_text(value, translate) if as_text else value


def _cells(cells: tuple[Mapping[str, Any], ...], translate: Translate) -> str:
    return listed([cell_as_text(cell) for cell in cells], translate)


def _terms(terms: tuple[AliasedTerm, ...], translate: Translate) -> str:
    return listed([alias_as_text(term, translate) for term in terms], translate)


def _directions(directions: tuple[Mapping[str, float], ...], _translate: Translate) -> str:
    return "; ".join(
        " ".join(f"{component:+.2f} {name}" for name, component in direction.items())
        for direction in directions
    )


_VALUES: Mapping[str, Callable[[Any, Translate], str]] = {
    "cells": _cells,
    "terms": _terms,
    "directions": _directions,
    "changes": lambda changes, _: ", ".join(f"{change:.4g}" for change in changes),
    "at": lambda at, _: cell_as_text(at),
    "model": lambda model, translate: translate(f"model_{model}"),
    "kind": lambda kind, translate: translate(f"point_{kind}"),
    "p": lambda p, _: f"{p:.2g}",
    "value": lambda value, _: f"{value:.4f}",
    "radius": lambda radius, _: f"{radius:.2f}",
}
