"""Who races whom: what a comparison is asked for, on which cells, and by which tuners."""

from collections.abc import Mapping, Sequence

from analysis.comparison.tuners import ANYTIME, TUNERS, Start, manual, with_confirm
from analysis.search.space import Cell, Space, levels_between
from tasks.comparison.optuna_tuners import samplers
from tasks.errors import UserError
from tasks.study.study_file import Study

#: Replicate numbers: each repetition has its own, the first the study's; and the fresh ones, by
#: which delivered cells are judged, are nobody's.
APART, FRESH = 1000, 901
#: What the name of a tuner that confirms ends in.
CONFIRMED = " + confirm"


def tuners_at_hand(cells: Sequence[Cell] = ()) -> tuple[dict[str, Start], tuple[str, ...]]:
    """Return every tuner that is at hand, and a line for each that is not.

    Parameters
    ----------
    cells : a manual list, where there is one.
    """
    found, notes = samplers()
    listed = {"manual": manual(cells)} if cells else {}
    return {**TUNERS, **listed, **found}, notes


def space_of(study: Study) -> Space:
    """Return the cells that tuners of a study may ask for.

    Raises
    ------
    UserError
        If a named level is none of its factor.
    """
    levels = []
    for factor in study.factor_list:
        named = study.compare.levels.get(factor.name)
        if named is not None and factor.scale == "categorical" and set(named) - set(factor.levels):
            raise UserError(
                f"study {study.name}: compare.levels.{factor.name}: {', '.join(map(str, named))}; "
                f"this factor has {' and '.join(map(str, factor.levels))}"
            )
        numeric = factor.scale != "categorical"
        own = sorted(set(named), key=float) if named and numeric else named
        levels.append(tuple(own) if own else levels_between(factor, *factor.levels))
    return Space(study.factor_list, tuple(levels))


def entrants(
    study: Study, space: Space, names: Sequence[str]
) -> tuple[dict[str, Start], list[str]]:
    """Return the tuners that are asked for, and a line for each that is not at hand.

    Raises
    ------
    UserError
        If a name is none, or its tuner is not at hand.
    """
    plain, notes = tuners_at_hand([space.cell(cell) for cell in study.compare.manual])
    known: dict[str, Start] = {}
    for name, start in plain.items():
        known[name] = start
        if name in ANYTIME:
            known[name + CONFIRMED] = with_confirm(start)
    return chosen_tuners(known, names, notes), list(notes)


def chosen_tuners(
    known: Mapping[str, Start], names: Sequence[str], notes: Sequence[str] = ()
) -> dict[str, Start]:
    """Return the tuners that are named, all where none is.

    Raises
    ------
    UserError
        If a name is none; `notes` say which tuners are not at hand.
    """
    for name in names:
        if name not in known:
            there = "; ".join([*known, *notes])
            raise UserError(f"--tuner {name!r}: none of that name is at hand; there are: {there}")
    return {name: known[name] for name in names or known}
