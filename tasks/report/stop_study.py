"""Ending a study in which no network learned: its report, its mark in MLflow, the error."""

from tasks.errors import NothingLearnedError
from tasks.languages import translator
from tasks.report.nothing_learned import remedies_as_text, stopped_as_text
from tasks.report.outcome import Outcome
from tasks.report.publish import log_outcome
from tasks.search.nothing_learned import NothingLearned, nothing_learned, runs_that_show_learning
from tasks.tracking.execution import Execution
from tasks.tracking.tags import NOTHING_LEARNED, STATUS


def log_nothing_learned(execution: Execution) -> Outcome | None:
    """Log the findings of a study in which no network learned so far, and mark its run.

    Returns
    -------
    The findings; None if a network learned, so that the study continues.
    """
    study, children = execution.study, execution.children()
    runs, screen = execution.table(children), execution.table(children, "screen")
    judged = runs_that_show_learning(study.rules, runs, screen)
    found = nothing_learned(study, judged, runs, execution.facts)
    if found is None:
        run = execution.tracker.client.get_run(execution.run_id)
        # A resumed study trains its failed cells again, and one of these may have learned.
        if NOTHING_LEARNED in run.data.tags:
            execution.tracker.client.delete_tag(execution.run_id, NOTHING_LEARNED)
            execution.tracker.client.delete_tag(execution.run_id, STATUS)
        return None
    text = stopped_as_text(found, translator("en"))
    tags = {NOTHING_LEARNED: "screen", STATUS: text}
    execution.writer.log(execution.run_id, tags=tags)
    return log_outcome(execution)


def nothing_learned_error(outcome: Outcome, found: NothingLearned) -> NothingLearnedError:
    """Return the error that ends a study in which nothing was learned, with the remedies."""
    translate = translator("en")
    return NothingLearnedError(
        f"study {outcome.study.name}: {stopped_as_text(found, translate)} Its runs and report are "
        f"in MLflow, run {outcome.tracking['run_id']}. Change what all cells have in common, and "
        f"run it again (what stays the same is not trained again): "
        f"{' '.join(remedies_as_text(found, translate))}"
    )
