"""Who races whom: what a comparison is asked for, on which cells, and by which tuners."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from analysis.space import Space
from analysis.tuners import ANYTIME, Start, with_confirm
from tasks.errors import UserError
from tasks.process import levels_between
from tasks.replays import CONFIRMED, tuners
from tasks.study import Study

#: Replicate numbers: each repetition has its own, the first the study's; and the fresh ones, by
#: which delivered cells are judged, are nobody's.
APART, FRESH = 1000, 901
#: Two to look with, two to confirm.
SMALLEST_BUDGET = 4


class Asked(NamedTuple):
    """What a comparison is asked for.

    Attributes
    ----------
    budget : runs of each search.
    repetitions : of each tuner, each with seeds of its own.
    fresh : trainings of each delivered cell, with seeds that no search saw.
    names : of tuners; all that are at hand where none is named.
    """

    budget: int
    repetitions: int = 3
    fresh: int = 2
    names: tuple[str, ...] = ()


def check(asked: Asked) -> None:
    """Raise a `UserError` if a comparison cannot be made as asked."""
    if asked.budget < SMALLEST_BUDGET or asked.repetitions < 1 or asked.fresh < 1:
        raise UserError(
            f"--budget {asked.budget}, --repetitions {asked.repetitions}, --fresh {asked.fresh}: a "
            f"comparison takes a budget of {SMALLEST_BUDGET} runs or more, and one or more of the "
            "others; raise them"
        )
    if asked.budget >= FRESH or asked.fresh > APART - FRESH:
        raise UserError(
            f"--budget {asked.budget}, --fresh {asked.fresh}: at most {FRESH - 1} runs and "
            f"{APART - FRESH} fresh ones; lower them"
        )


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
    plain, notes = tuners([space.cell(cell) for cell in study.compare.manual])
    known: dict[str, Start] = {}
    for name, start in plain.items():
        known[name] = start
        if name in ANYTIME:
            known[name + CONFIRMED] = with_confirm(start)
    return chosen(known, names, notes), list(notes)


def chosen(
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
