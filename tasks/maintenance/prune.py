"""`factorgrid prune`: old executions go, never what a registered model stands on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.errors import UserError
from tasks.registry.model_registry import SOURCE_RUN, STUDY_RUN
from tasks.tracking.tags import KIND, PARENT, PREFIX, REUSED_FROM
from tasks.tracking.tracker import Tracker

#: Executions of a study, and validations of one set, that stay unless told otherwise.
KEEP = 3
REGISTERED, NEEDED = "a registered model", "a kept study has their figures"


@dataclass(frozen=True)
class Old:
    """An execution or a validation that goes.

    Attributes
    ----------
    experiment, name, run_id : in MLflow.
    runs : its own run and its replicates', but for those that a kept execution needs.
    spared : how many replicates stay because of that.
    """

    experiment: str
    name: str
    run_id: str
    runs: Sequence[str] = field(repr=False)
    spared: int = 0


@dataclass(frozen=True)
class Plan:
    """What goes and what stays, before anything is done.

    Attributes
    ----------
    old : what goes, oldest last.
    kept : how many executions and validations stay for each reason.
    """

    old: Sequence[Old]
    kept: dict[str, int]

    @property
    def runs(self) -> list[str]:
        """The ids of all runs that go."""
        return [run_id for old in self.old for run_id in old.runs]


def plan_pruning(tracker: Tracker, *, keep: int = KEEP, experiment: str | None = None) -> Plan:
    """Find what may go: all but the newest of each experiment, and never a model's lineage.

    Parameters
    ----------
    tracker : the server.
    keep : how many of each kind stay in each experiment.
    experiment : only this one, by name.

    Raises
    ------
    TrackingError
        If there is no experiment of that name.
    UserError
        If `keep` is negative.
    """
    if keep < 0:
        raise UserError(f"--keep {keep}: below 0; name how many executions of a study stay")
    names = {e.experiment_id: e.name for e in tracker.client.search_experiments()}
    chosen = [tracker.existing_experiment(experiment)] if experiment else list(names)
    parents = {e: _parents(tracker, e, keep) for e in chosen}
    lineage = _lineage(tracker)
    candidates = {
        e: [p for p in found if p.info.run_id not in lineage] for e, found in parents.items()
    }
    children = {
        parent.info.run_id: tracker.children(parent.info.run_id, e)
        for e, found in candidates.items()
        for parent in found
    }
    # A replicate that was registered keeps its whole execution: that is why it was chosen.
    going = {run_id: runs for run_id, runs in children.items() if not _ids(runs) & lineage}
    needed = _needed(tracker, list(names), going)
    old = [
        _old(names[e], parent, going[parent.info.run_id], needed)
        for e, found in candidates.items()
        for parent in found
        if parent.info.run_id in going
    ]
    spared = sum(map(len, parents.values())) - len(old)
    return Plan(old, {REGISTERED: spared})


def _parents(tracker: Tracker, experiment: str, keep: int) -> list[Any]:
    """Return an experiment's executions and validations that have ended, but for the newest."""
    found = []
    for kind in ("study", "comparison", "validation"):
        runs = tracker.search([experiment], f"tags.`{KIND}` = '{kind}'")
        found += [run for run in runs[keep:] if run.info.status != "RUNNING"]
    return found


def _ids(runs: Iterable[Any]) -> set[str]:
    return {str(run.info.run_id) for run in runs}


def _lineage(tracker: Tracker) -> set[str]:
    """Return the runs that a registered model stands on: what trained it, and its study."""
    versions = tracker.client.search_model_versions()
    tagged = {v.tags.get(tag) for v in versions for tag in (SOURCE_RUN, STUDY_RUN)}
    return {run_id for run_id in tagged | {v.run_id for v in versions} if run_id}


def _needed(tracker: Tracker, experiments: Sequence[str], going: dict[str, list[Any]]) -> set[str]:
    """Return the runs whose figures and networks an execution that stays refers to."""
    referring = tracker.search(experiments, f"tags.`{REUSED_FROM}` != ''")
    return {
        run.data.tags[REUSED_FROM] for run in referring if run.data.tags.get(PARENT) not in going
    }


def _old(experiment: str, parent: Any, children: Sequence[Any], needed: set[str]) -> Old:
    free = [run.info.run_id for run in children if run.info.run_id not in needed]
    name = parent.info.run_name
    return Old(
        experiment, name, parent.info.run_id, [*free, parent.info.run_id], len(children) - len(free)
    )


def delete_runs(tracker: Tracker, plan: Plan) -> int:
    """Delete the artifacts and the runs of a plan; return how many runs are gone.

    MLflow keeps the rows of a deleted run until ``mlflow gc``, and can restore them; the artifacts
    are gone at once.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    for run_id in plan.runs:
        run = tracker.client.get_run(run_id)
        repository = get_artifact_repository(
            run.info.artifact_uri, tracking_uri=tracker.settings.tracking_uri
        )
        if repository.list_artifacts():
            repository.delete_artifacts()
        tracker.client.set_tag(run_id, PREFIX + "pruned", "true")
        tracker.client.delete_run(run_id)
    return len(plan.runs)


def pruning_as_json(plan: Plan, deleted: int) -> dict[str, Any]:
    """Return plain JSON types."""
    old = [{**vars(o), "runs": list(o.runs)} for o in plan.old]
    return {"old": old, "runs": len(plan.runs), "deleted": deleted, "kept": plan.kept}


def pruning_as_text(plan: Plan, deleted: int) -> str:
    """Return a line for each that goes, what stays, and what to type next."""
    lines = [
        f"  {old.experiment:<24} {old.name:<28} {len(old.runs):>4} runs"
        + (f", {old.spared} more stay: {NEEDED}" if old.spared else "")
        for old in plan.old
    ]
    stays = plan.kept[REGISTERED]
    if stays:
        lines.append(f"  {stays} older stay: {REGISTERED} stands on them")
    if not plan.old:
        return "\n".join(["nothing to prune", *lines])
    if deleted:
        last = f"{deleted} runs deleted, with their artifacts; `mlflow gc` frees their rows"
        return "\n".join(["deleted:", *lines, last])
    return "\n".join(["would be deleted:", *lines, f"--yes deletes these {len(plan.runs)} runs"])
