"""The pilot of a study: where the screen's levels go, from a few runs at the ends of the ranges."""

import pandas as pd

from analysis.factors import Factor, Level, show
from analysis.search import pilot
from tasks.errors import UserError
from tasks.study.replicates import Planned, plan, short
from tasks.study.study_file import Study
from tasks.tracking.execution import Execution


def plan_pilot(study: Study, version: str) -> list[Planned]:
    """Return the pilot's replicates; none where no factor can keep a network from learning."""
    return plan(study, version, "pilot", pilot_cells(study), [1]) if study.pilot.enabled else []


def pilot_cells(study: Study) -> list[dict[str, Level]]:
    """Return the pilot's cells, natural levels, in the order of `pilot_points`."""
    factors = study.factor_list
    return [
        {f.name: _level(f, x) for f, x in zip(factors, point, strict=True)}
        for point in pilot.pilot_points(factors)
    ]


def narrow_levels(execution: Execution) -> Study:
    """Return the study with the screen's levels where the pilot puts them.

    MLflow has it from then on as the execution's study, with what the pilot found.

    Raises
    ------
    UserError
        If a run of the pilot failed: without it there is nothing to go by.
    """
    if not execution.study.pilot.enabled:
        return execution.study
    study = narrowed_study(execution.study, execution.runs("pilot"))
    execution.log_text(execution.run_id, study.model_dump_json(indent=1), "study.json")
    execution.log_text(execution.run_id, "\n".join(study.pilot.found), "pilot.txt")
    return study


def narrowed_study(study: Study, runs: pd.DataFrame) -> Study:
    """Return a study whose levels the pilot's runs have drawn in.

    Raises
    ------
    UserError
        If a cell has no figure.
    """
    figures = []
    for cell in pilot_cells(study):
        same = runs[[f.name for f in study.factor_list]].eq(pd.Series(cell)).all(axis=1)
        own = runs.loc[same, study.response].dropna()
        if own.empty:
            where = ", ".join(f"{name}={show(own)}" for name, own in cell.items())
            raise UserError(
                f"study {study.name}: the pilot's run at {where} has no {study.response}; look at "
                "its description in MLflow (`factorgrid ui`), mend, and run the command again"
            )
        figures.append(float(own.iloc[0]))
    found = pilot.screen_ranges(study.factor_list, figures)
    parts, words = {}, []
    for factor, own_range in zip(study.factor_list, found, strict=True):
        low, high = _screen_levels(factor, own_range)
        part = study.factors[factor.name]
        parts[factor.name] = part.model_copy(update={"low": low, "high": high})
        words.append(f"{own_range.words}: {show(low)} and {show(high)}")
    # Told again as a file, the study begins with these levels, and not with another pilot.
    told = study.pilot.model_copy(update={"enabled": False, "found": tuple(words)})
    return study.model_copy(update={"factors": parts, "pilot": told})


def _level(factor: Factor, coded: float) -> Level:
    """Return a natural level: the factor's own at its ends, one of few digits between."""
    found = factor.decode(coded)
    return found if found in factor.levels else short(found)


def _screen_levels(factor: Factor, found: pilot.ScreenRange) -> tuple[Level, Level]:
    """Return the two natural levels; the factor's own where whole numbers leave no two between."""
    low, high = _level(factor, found.low), _level(factor, found.high)
    return factor.levels if low == high else (low, high)
