"""The refine stage: the decision after the screen, and the cells that follow from it."""

from collections.abc import Mapping, Sequence

from analysis.effects.result import Effects
from analysis.factors import Level, cell_name
from analysis.search import procedure
from analysis.search.procedure import NextCells
from analysis.search.refined_grid import Decision
from tasks.languages import counted, translator
from tasks.search.stages import refined_at_once
from tasks.study.replicates import Planned, plan
from tasks.study.study_file import Study
from tasks.tracking.execution import Execution, finished_keys
from tasks.tracking.run_writer import as_json_text
from tasks.wording.decision import decision_as_text

Cells = Sequence[Mapping[str, Level]]


def plan_cells(study: Study, version: str, found: NextCells) -> list[Planned]:
    """Return the replicates of refined cells; those of the screen's cells are trained already."""
    return plan(study, version, "refine", procedure.refine_runs(study.rules, found))


def stored_first(execution: Execution, planned: Sequence[Planned]) -> list[list[Planned]]:
    """Return the replicates that this execution has finished, and then the others, as two lists.

    The first are those that the refined grid has in common with the screen, and, in a study that is
    resumed, those that it trained before.
    """
    finished = finished_keys(execution.children())
    stored = [p for p in planned if p.key in finished]
    return [stored, [p for p in planned if p.key not in finished]]


def stepwise_trained(execution: Execution) -> int:
    """Return how many replicates of a stepwise refinement are trained already, and not repeated."""
    if refined_at_once(execution.study.rules) is None:
        return 0
    finished = [run for run in execution.children() if run.info.status == "FINISHED"]
    return [run.data.params.get("stage") for run in finished].count("refine")


def log_decision(execution: Execution, effects: Effects) -> Decision:
    """Decide the refined grid; log it with its reasons, as data and as text."""
    decision = procedure.decide(execution.study.rules, effects)
    execution.writer.log_text(execution.run_id, as_json_text(decision), "decision.json")
    lines = decision_as_text(decision, translator("en"), execution.study.rules)
    execution.writer.log_text(execution.run_id, "\n".join(lines), "decision.txt")
    return decision


def next_refined_cells(
    execution: Execution, decision: Decision | None, last: Cells = ()
) -> NextCells:
    """Return the next cells of the refinement, from the runs in MLflow; none where it has ended.

    Parameters
    ----------
    last : the cells of the step before; empty at the first.
    """
    children = execution.children()
    runs, refined = execution.table(children), execution.table(children, "refine")
    found = procedure.refined_cells(execution.study.rules, decision, runs, refined, last)
    if found.expected is not None:
        path = f"refine/after-{found.runs}-runs.txt"
        execution.writer.log_text(execution.run_id, _expectation(execution.study, found), path)
    return found


def _expectation(study: Study, found: NextCells) -> str:
    expected = f"{cell_name(found.cells[0])}: expected {study.response} {found.expected:.4f}"
    spread = f", standard deviation {found.deviation:.4f}" if found.deviation is not None else ""
    return f"{expected}{spread}, from {counted(found.runs, 'run')}"
