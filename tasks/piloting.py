"""The pilot of a study: where the screen's levels go, from a few runs at the ends of the ranges."""

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from analysis import pilot
from analysis.factors import Factor, Level, show
from tasks.errors import UserError
from tasks.plan import Planned, plan, short
from tasks.study import Study
from tasks.tracking import Execution


def plan_pilot(study: Study, version: str) -> list[Planned]:
    """Return the pilot's replicates; none where no factor can keep a network from learning."""
    return plan(study, version, "pilot", cells(study), [1]) if study.pilot.enabled else []


def cells(study: Study) -> list[dict[str, Level]]:
    """Return the pilot's cells, natural levels, in the order of `analysis.pilot.points`."""
    factors = study.factor_list
    return [
        {f.name: level(f, x) for f, x in zip(factors, point, strict=True)}
        for point in pilot.points(factors)
    ]


@task(name="draw in", cache_policy=NO_CACHE, persist_result=False)
def draw_in(execution: Execution) -> Study:
    """Return the study with the screen's levels where the pilot puts them.

    The execution goes on with it, and MLflow has it as the study's own, with the pilot's words.

    Raises
    ------
    UserError
        If a run of the pilot failed: without it there is nothing to go by.
    """
    if not execution.study.pilot.enabled:
        return execution.study
    study = drawn_in(execution.study, execution.runs("pilot"))
    execution.study = study
    execution.log_text(execution.run_id, study.model_dump_json(indent=1), "study.json")
    execution.log_text(execution.run_id, "\n".join(study.pilot.found), "pilot.txt")
    return study


def drawn_in(study: Study, runs: pd.DataFrame) -> Study:
    """Return a study whose levels the pilot's runs have drawn in.

    Raises
    ------
    UserError
        If a cell has no figure.
    """
    figures = []
    for cell in cells(study):
        same = runs[[f.name for f in study.factor_list]].eq(pd.Series(cell)).all(axis=1)
        own = runs.loc[same, study.response].dropna()
        if own.empty:
            where = ", ".join(f"{name}={show(own)}" for name, own in cell.items())
            raise UserError(
                f"study {study.name}: the pilot's run at {where} has no {study.response}; look at "
                "its description in MLflow (`factorgrid ui`), mend, and run the command again"
            )
        figures.append(float(own.iloc[0]))
    found = pilot.ranges(study.factor_list, figures)
    parts, words = {}, []
    for factor, own_range in zip(study.factor_list, found, strict=True):
        low, high = levels(factor, own_range)
        part = study.factors[factor.name]
        parts[factor.name] = part.model_copy(update={"low": low, "high": high})
        words.append(f"{own_range.words}: {show(low)} and {show(high)}")
    # Told again as a file, the study begins with these levels, and not with another pilot.
    told = study.pilot.model_copy(update={"enabled": False, "found": tuple(words)})
    return study.model_copy(update={"factors": parts, "pilot": told})


def level(factor: Factor, coded: float) -> Level:
    """Return a natural level: the factor's own at its ends, one of few digits between."""
    found = factor.decode(coded)
    return found if found in factor.levels else short(found)


def levels(factor: Factor, found: pilot.Range) -> tuple[Level, Level]:
    """Return the two natural levels; the factor's own where whole numbers leave no two between."""
    low, high = level(factor, found.low), level(factor, found.high)
    return factor.levels if low == high else (low, high)
