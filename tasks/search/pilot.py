"""The pilot stage: where the screen's levels belong, from a few runs over the whole ranges."""

import math

import pandas as pd

from analysis.errors import DesignError
from analysis.search import procedure
from tasks.errors import UserError
from tasks.study.replicates import Planned, plan
from tasks.study.study_file import PilotFinding, Study
from tasks.tracking.execution import Execution


def plan_pilot(study: Study, version: str) -> list[Planned]:
    """Return the pilot's replicates; none if the study has no pilot, or no learning rate."""
    return plan(study, version, "pilot", procedure.pilot_runs(study.rules))


def narrow_levels(execution: Execution) -> Study:
    """Return the study with the screen's levels where the pilot puts them.

    From then on MLflow has it as the execution's study, with what the pilot found.

    Raises
    ------
    UserError
        If a run of the pilot failed; with a budget, if all failed.
    """
    if not execution.study.rules.pilot:
        return execution.study
    study = narrowed_study(execution.study, execution.runs("pilot"))
    execution.writer.log_text(execution.run_id, study.model_dump_json(indent=1), "study.json")
    return study


def narrowed_study(study: Study, runs: pd.DataFrame) -> Study:
    """Return a study whose levels are those that the pilot's runs lead to.

    Raises
    ------
    UserError
        If a cell of the pilot has no response; with a budget, if none has.
    """
    try:
        rules, ranges = procedure.narrow(study.rules, runs)
    except DesignError as error:
        raise UserError(
            f"study {study.name}: {error}; read its description in MLflow (`factorgrid ui`), "
            "correct the cause, and run the command again"
        ) from error
    parts, found = {}, []
    for factor, narrowed in zip(rules.factors, ranges, strict=True):
        low, high = factor.low, factor.high
        part = study.factors[factor.name]
        # Categories stay as they are; a list of numbers keeps its values beside the levels.
        if factor.scale != "categorical":
            part = part.model_copy(update={"low": low, "high": high})
        parts[factor.name] = part
        figures = tuple(None if math.isnan(y) else y for y in narrowed.figures)
        found.append(PilotFinding(factor=factor.name, low=low, high=high, figures=figures))
    # Written as a file, this study begins with these levels, and not with another pilot.
    numbers = [factor for factor in study.factor_list if factor.scale != "categorical"]
    ends = {factor.name: (factor.low, factor.high) for factor in numbers}
    done = study.pilot.model_copy(update={"enabled": False, "found": tuple(found), "ranges": ends})
    return study.model_copy(update={"factors": parts, "pilot": done})
