"""The final training: the chosen cell once more, with more epochs, before it is registered."""

from analysis.search.best_cell import Selection
from tasks.study.replicates import FINAL, Planned, planned
from tasks.tracking.execution import Execution
from tasks.tracking.final_training import runs_of_cell


def plan_final(execution: Execution, selection: Selection) -> list[Planned]:
    """Return the final training, with a seed of its own; none if the study has none."""
    study, levels = execution.study, selection.chosen
    if study.final_epochs is None or selection.all_collapsed:
        return []
    number = int(runs_of_cell(execution.runs(), levels)["replicate"].max()) + 1
    epochs = study.final_epochs
    return [planned(study, execution.version, FINAL, levels, number, epochs=epochs)]
