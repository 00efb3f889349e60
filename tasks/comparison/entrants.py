"""Which tuners take part in a comparison, and on which cells."""

from collections.abc import Mapping, Sequence

from analysis.comparison.tuners import (
    DEFAULT_TUNER,
    TUNERS,
    Anytime,
    BudgetTuner,
    Tuner,
    manual_list,
    with_confirmation,
)
from analysis.search.space import Cell, Space, levels_between
from tasks.comparison.optuna_tuners import (
    HYPERBAND,
    HyperbandTuner,
    Unavailable,
    available_optuna_tuners,
    unavailable_as_text,
)
from tasks.errors import UserError
from tasks.languages import translator
from tasks.study.hyperparameters import closest
from tasks.study.study_file import Study

#: The end of the name of a tuner with confirmation.
CONFIRM_SUFFIX = " + confirm"


def available_tuners(
    manual: Sequence[Cell] = (), hyperband: HyperbandTuner | None = None
) -> tuple[dict[str, Tuner], tuple[Unavailable, ...]]:
    """Return all available tuners by name, and those that are not available.

    Parameters
    ----------
    manual : the cells of a manual list; if there are none, there is no tuner ``manual``.
    hyperband : see `available_optuna_tuners`.
    """
    optuna_tuners, unavailable = available_optuna_tuners(hyperband)
    manual_tuner = {"manual": Anytime(manual_list(manual))} if manual else {}
    return {**TUNERS, **manual_tuner, **optuna_tuners}, unavailable


def study_space(study: Study) -> Space:
    """Return the cells of a study that tuners may run.

    Raises
    ------
    UserError
        If the study names a level that its factor does not have.
    """
    levels = []
    for factor in study.factor_list:
        named = study.compare.levels.get(factor.name)
        if named is None:
            levels.append(levels_between(factor, factor.low, factor.high))
        elif factor.scale != "categorical":
            levels.append(tuple(sorted(set(named), key=float)))
        elif set(named) <= set(factor.levels):
            levels.append(tuple(named))
        else:
            raise UserError(
                f"study {study.name}: compare.levels.{factor.name}: {', '.join(map(str, named))}; "
                f"this factor has {' and '.join(map(str, factor.levels))}"
            )
    return Space(study.factor_list, tuple(levels))


def study_tuners(
    study: Study, space: Space, names: Sequence[str]
) -> tuple[dict[str, Tuner], tuple[Unavailable, ...]]:
    """Return the requested tuners for a study, and those that are not available.

    Every tuner that does not plan by its budget is there twice: as it is, and with confirmation.

    Parameters
    ----------
    study : may have a manual list of cells.
    space : the cells that tuners may run.
    names : of the requested tuners; all if empty.

    Raises
    ------
    UserError
        If no available tuner has one of the names.
    """
    epochs, continues = study.training.epochs, study.trainings_continue
    has_lengths = epochs > 1 and "epochs" not in study.factors
    available, unavailable = available_tuners(
        [space.cell(cell) for cell in study.compare.manual],
        HyperbandTuner(epochs, continues) if has_lengths else None,
    )
    # As `factorgrid search` does: some trainings have a quarter of the epochs.
    available[DEFAULT_TUNER] = BudgetTuner(study.full_epochs, continues)
    known: dict[str, Tuner] = {}
    for name, tuner in available.items():
        known[name] = tuner
        if isinstance(tuner, Anytime):
            known[name + CONFIRM_SUFFIX] = with_confirmation(tuner)
    return select_tuners(known, names, unavailable), unavailable


def select_tuners(
    known: Mapping[str, Tuner], names: Sequence[str], unavailable: Sequence[Unavailable] = ()
) -> dict[str, Tuner]:
    """Return the tuners with the given names; all tuners if no name is given.

    Parameters
    ----------
    known : all available tuners by name.
    names : of the requested tuners.
    unavailable : the tuners that are not available, for the message.

    Raises
    ------
    UserError
        If no available tuner has one of the names.
    """
    for name in names:
        if name == HYPERBAND and "TPE" in known and name not in known:
            raise UserError(
                f"--tuner {name!r}: it stops trainings early, which needs a study of more than one "
                "epoch whose epochs are no factor; leave it out"
            )
        if name not in known:
            say = translator("en")
            notes = [unavailable_as_text(each, say) for each in unavailable]
            available = "; ".join([*known, *notes])
            near = closest(name, known)
            meant = f"did you mean {near!r}? " if near else ""
            raise UserError(f"--tuner {name!r}: unknown tuner; {meant}available are: {available}")
    return {name: known[name] for name in names or known}
