"""`factorgrid prune`: deletes old executions, never what a registered model depends on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.errors import UserError
from tasks.languages import counted
from tasks.registry.model_registry import SOURCE_RUN, STUDY_RUN
from tasks.tracking.tags import KIND, PARENT, REUSED_FROM
from tasks.tracking.tracker import Tracker
from tasks.validation.validate import validation_experiment

#: How many executions of a study, and validations of one dataset, are kept by default.
KEEP = 3
#: Why an execution, or replicates of one, are kept.
REGISTERED, NEEDED = "a registered model", "a kept study uses their results"


@dataclass(frozen=True)
class PrunedExecution:
    """An execution or a validation to delete.

    Attributes
    ----------
    experiment, name, run_id : in MLflow.
    runs : its own run and the runs of its replicates, without those that a kept execution needs.
    spared : number of replicates that a kept execution needs.
    """

    experiment: str
    name: str
    run_id: str
    runs: Sequence[str] = field(repr=False)
    spared: int = 0


@dataclass(frozen=True)
class PruningPlan:
    """What is deleted and what is kept; nothing has been deleted yet.

    Attributes
    ----------
    old : what is deleted, newest first.
    kept : how many of the older executions and validations are kept, by reason.
    """

    old: Sequence[PrunedExecution]
    kept: dict[str, int]

    @property
    def runs(self) -> list[str]:
        """The ids of all runs to delete."""
        return [run_id for old in self.old for run_id in old.runs]


def plan_pruning(
    tracker: Tracker, *, keep: int = KEEP, experiment: str | None = None
) -> PruningPlan:
    """Find what may be deleted: all but the newest, and nothing that a model depends on.

    Parameters
    ----------
    tracker : the server.
    keep : how many executions of each kind to keep in each experiment.
    experiment : only this one, by name; by default all.

    Raises
    ------
    TrackingError
        If there is no experiment of that name.
    UserError
        If `keep` is negative.
    """
    if keep < 0:
        raise UserError(f"--keep {keep}: below 0; give the number of executions to keep, 0 or more")
    names = {e.experiment_id: e.name for e in tracker.experiments()}
    chosen = [tracker.existing_experiment(experiment)] if experiment else list(names)
    parents = {e: _old_parents(tracker, e, keep) for e in chosen}
    lineage = _lineage_runs(tracker)
    candidates = {
        e: [p for p in found if p.info.run_id not in lineage] for e, found in parents.items()
    }
    children = {
        parent.info.run_id: tracker.children(parent.info.run_id, e)
        for e, found in candidates.items()
        for parent in found
    }
    # The whole execution of a registered replicate is kept: it shows why the replicate was chosen.
    deletable = {run_id: runs for run_id, runs in children.items() if not _run_ids(runs) & lineage}
    needed = _reused_runs(tracker, list(names), deletable)
    old = [
        _pruned_execution(names[e], parent, deletable[parent.info.run_id], needed)
        for e, found in candidates.items()
        for parent in found
        if parent.info.run_id in deletable
    ]
    spared = sum(map(len, parents.values())) - len(old)
    return PruningPlan(old, {REGISTERED: spared})


def plan_deletion(tracker: Tracker, study: str) -> PruningPlan:
    """Find all executions and validations of a study that may be deleted.

    Raises
    ------
    TrackingError
        If there is no such study.
    """
    plan = plan_pruning(tracker, keep=0, experiment=study)
    images = validation_experiment(study)
    if tracker.find_experiment(images) is None:
        return plan
    validations = plan_pruning(tracker, keep=0, experiment=images)
    return PruningPlan([*plan.old, *validations.old], plan.kept)


def _old_parents(tracker: Tracker, experiment: str, keep: int) -> list[Any]:
    """Return an experiment's executions and validations that ended, without the newest."""
    found = []
    for kind in ("study", "comparison", "validation"):
        runs = tracker.search([experiment], f"tags.`{KIND}` = '{kind}'")
        found += [run for run in runs[keep:] if run.info.status != "RUNNING"]
    return found


def _run_ids(runs: Iterable[Any]) -> set[str]:
    return {str(run.info.run_id) for run in runs}


def _lineage_runs(tracker: Tracker) -> set[str]:
    """Return the runs that registered models depend on: those that trained them, their studies."""
    versions = tracker.client.all_pages("search_model_versions")
    tagged = {v.tags.get(tag) for v in versions for tag in (SOURCE_RUN, STUDY_RUN)}
    return {run_id for run_id in tagged | {v.run_id for v in versions} if run_id}


def _reused_runs(
    tracker: Tracker, experiments: Sequence[str], deletable: dict[str, list[Any]]
) -> set[str]:
    """Return the runs whose metrics and networks a kept execution reuses."""
    reusing = tracker.search(experiments, f"tags.`{REUSED_FROM}` != ''")
    return {
        run.data.tags[REUSED_FROM] for run in reusing if run.data.tags.get(PARENT) not in deletable
    }


def _pruned_execution(
    experiment: str, parent: Any, children: Sequence[Any], needed: set[str]
) -> PrunedExecution:
    free = [run.info.run_id for run in children if run.info.run_id not in needed]
    name, run_id = parent.info.run_name, parent.info.run_id
    return PrunedExecution(experiment, name, run_id, [*free, run_id], len(children) - len(free))


def delete_runs(tracker: Tracker, plan: PruningPlan) -> int:
    """Delete the artifacts and the runs of a plan; return the number of runs.

    See `Tracker.delete_run` for what MLflow can restore.
    """
    for run_id in plan.runs:
        tracker.delete_run(run_id)
    return len(plan.runs)


def pruning_as_json(plan: PruningPlan, deleted: int) -> dict[str, Any]:
    """Return a plan, and how many of its runs were deleted, as plain JSON types."""
    old = [{**vars(o), "runs": list(o.runs)} for o in plan.old]
    return {"old": old, "runs": len(plan.runs), "deleted": deleted, "kept": plan.kept}


def pruning_as_text(plan: PruningPlan, deleted: int) -> str:
    """Return one line per deleted execution, what is kept, and the next command."""
    lines = [
        f"  {old.experiment:<24} {old.name:<28} {counted(len(old.runs), 'run'):>9}"
        + (f", {old.spared} more are kept: {NEEDED}" if old.spared else "")
        for old in plan.old
    ]
    kept = plan.kept[REGISTERED]
    if kept:
        lines.append(f"  {kept} older are kept: {REGISTERED} depends on them")
    if not plan.old:
        return "\n".join(["nothing to prune", *lines])
    if deleted:
        last = (
            f"{counted(deleted, 'run')} deleted, with all artifacts; `mlflow gc` deletes the rows"
        )
        return "\n".join(["deleted:", *lines, last])
    last = f"add --yes to delete {counted(len(plan.runs), 'run')}"
    return "\n".join(["would be deleted:", *lines, last])
