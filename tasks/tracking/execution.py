"""The parent run of one execution of a study: begin it, continue it if it was cut off, end it.

Its parts are in other files: the runs of its replicates in `replicate_runs`, what is written to
runs in `run_writer`, runs as a table in `run_table`.
"""

import datetime as dt
import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import pandas as pd
from filelock import FileLock

from analysis.factors import show
from analysis.runs.collapsed import find_collapsed
from tasks.errors import LeaseLostError, TrackingError
from tasks.escaping import as_markdown, own_markdown
from tasks.study.replicates import Stage
from tasks.study.study_file import Study, read_stored_study
from tasks.tracking.artifact_paths import STUDY
from tasks.tracking.dataset_facts import DatasetFacts
from tasks.tracking.leases import HOLDER, try_lock
from tasks.tracking.links import StudyLinks, links_of
from tasks.tracking.replicate_runs import ReplicateRuns
from tasks.tracking.run_table import runs_table
from tasks.tracking.run_writer import RunWriter, origin_tags
from tasks.tracking.tags import (
    CODE_VERSION,
    DATASET_VERSION,
    KEY,
    KIND,
    LAST_STUDY,
    STATUS,
    STUDY_DIGEST,
)
from tasks.tracking.tracker import Tracker
from tasks.tracking.views import prepare_views

#: What a parent run is the execution of.
RunKind = Literal["study", "comparison"]


@dataclass
class Execution:
    """The parent run of one execution of a study, and what is logged below it.

    Attributes
    ----------
    version : the dataset version.
    facts : what the analysis needs to know of the dataset.
    experiment : the id of the study's experiment.
    run_id : the id of the parent run; empty before it began.
    resumed : whether it continues an execution that was cut off.
    holder : the process that holds the parent run; empty if the execution is only read.
    digest : of the study as it was given, if `study` is as it is after its pilot; empty if it is
        to be computed.
    """

    tracker: Tracker
    study: Study
    version: str
    facts: DatasetFacts
    experiment: str
    run_id: str = ""
    resumed: bool = False
    kind: RunKind = "study"
    holder: str = ""
    digest: str = ""

    @property
    def replicates(self) -> ReplicateRuns:
        """The runs of its replicates."""
        return ReplicateRuns(self.tracker, self.experiment, self.run_id, self.version)

    @property
    def links(self) -> StudyLinks:
        """Its addresses in MLflow's pages."""
        uri, tags = self.tracker.settings.tracking_uri, self._experiment_tags
        prepared = tags.get(LAST_STUDY) == self.run_id
        return links_of(uri, self.experiment, self.run_id, prepared=prepared)

    @property
    def has_views(self) -> bool:
        """Whether its experiment has views; those of earlier versions have none."""
        return LAST_STUDY in self._experiment_tags

    @property
    def _experiment_tags(self) -> Mapping[str, str]:
        tags: Mapping[str, str] = self.tracker.client.get_experiment(self.experiment).tags
        return tags

    @property
    def writer(self) -> RunWriter:
        """Writes to runs at its server."""
        return self.tracker.writer

    # -- begin, continue, describe ----------------------------------------------------------------

    @contextmanager
    def leased(self) -> Iterator[None]:
        """Begin or continue the parent run, and be the only process that works on it."""
        leases, digest = self.tracker.leases, self._digest
        with ExitStack() as stack:
            stack.enter_context(leases.heartbeats())
            # If two begin at once on this machine, the second must find the first one's run locked.
            with leases.lock(f"study-{digest}"):
                lock = self._continue(digest)
                if lock is None:
                    self._begin(digest)
                    lock = leases.lock(f"run-{self.run_id}")
                    lock.acquire()
            stack.callback(lock.release)
            self.holder = leases.holder
            leases.start_heartbeat(self.run_id)
            stack.callback(leases.stop_heartbeat, self.run_id)
            if not self.resumed:
                self._describe()
            if self.kind == "study":
                prepare_views(self.tracker, self.experiment, self.run_id, self.study)
            self.end_dead_ones(watch=False)
            yield

    @property
    def _digest(self) -> str:
        if self.digest:
            return self.digest
        digest = study_digest(self.study, self.version)
        return digest if self.kind == "study" else f"{digest}-{self.kind}"

    def _continue(self, digest: str) -> FileLock | None:
        """Continue an execution that was cut off; return its lock, acquired, or None."""
        leases = self.tracker.leases
        condition = f"tags.`{STUDY_DIGEST}` = '{digest}' and attributes.status != 'FINISHED'"
        for run in self.tracker.search([self.experiment], condition):
            lock = leases.lock(f"run-{run.info.run_id}")
            if not try_lock(lock):
                continue
            if self._is_dead(run) and leases.take_over(run.info.run_id):
                self.run_id = str(run.info.run_id)
                # One that was cut off before it was described is treated as new.
                self.resumed = "data.pictures" in run.data.params
                self.tracker.client.update_run(self.run_id, status="RUNNING")
                # They were trained by this execution's process, which is dead.
                self.replicates.end_cut_off()
                return lock
            lock.release()
        return None

    def _is_dead(self, run: Any) -> bool:
        """Whether no process works on an unfinished execution whose lock here was free."""
        leases = self.tracker.leases
        if run.info.status != "RUNNING" or leases.is_in_this_home(run):
            return True
        self.tracker.notify(
            f"run {run.info.run_id} began on another machine: checking whether it is still alive"
        )
        return leases.observe(run) == "dead"

    def end_dead_ones(self, *, watch: bool) -> None:
        """End other executions of this study whose process died: MLflow itself never ends them.

        Parameters
        ----------
        watch : whether those of other machines are watched, until they are seen to be alive or for
            the length of a lease; otherwise only those of this home are ended.
        """
        leases = self.tracker.leases
        condition = f"tags.`{STUDY_DIGEST}` = '{self._digest}' and attributes.status = 'RUNNING'"
        for run in self.tracker.search([self.experiment], condition):
            run_id = str(run.info.run_id)
            lock = leases.lock(f"run-{run_id}")
            if run_id == self.run_id or not (watch or leases.is_in_this_home(run)):
                continue
            if not try_lock(lock):
                continue
            try:
                if self._is_dead(run) and leases.take_over(run_id):
                    replace(self, run_id=run_id).replicates.end_cut_off()
                    self.tracker.client.set_tag(run_id, STATUS, "cut off")
                    self.tracker.client.set_terminated(run_id, "KILLED")
            finally:
                lock.release()

    def holds_lease(self) -> bool:
        """Read whether the process that opened this execution still holds its parent run."""
        if not self.holder:
            return True
        run = self.tracker.client.get_run(self.run_id)
        return bool(run.data.tags.get(HOLDER) == self.holder)

    def require_lease(self) -> None:
        """Raise LeaseLostError if another process took this execution over."""
        if not self.holds_lease():
            raise LeaseLostError(
                f"study {self.study.name}: another process took over run {self.run_id}, because "
                "this one was cut off from MLflow or suspended; nothing that it did since counts. "
                "Run the same command again to continue, or to wait for the other's results"
            )

    def _begin(self, digest: str) -> None:
        tags = {
            KIND: self.kind,
            STUDY_DIGEST: digest,
            CODE_VERSION: code_version(),
            DATASET_VERSION: self.version,
            **self.tracker.leases.new_tags(),
            **origin_tags(),
            "mlflow.note.content": _description(self.study),
        }
        name = f"{self.kind} {dt.datetime.now(tz=dt.UTC):%Y-%m-%d %H:%M}"
        run = self.tracker.client.create_run(self.experiment, tags=tags, run_name=name)
        self.run_id = str(run.info.run_id)

    def _describe(self) -> None:
        """Log the study and the facts of its dataset."""
        client = self.tracker.client
        client.log_dict(self.run_id, self.study.model_dump(mode="json"), STUDY)
        facts = {f"data.{name}": value for name, value in asdict(self.facts).items()}
        self.writer.log(self.run_id, params={**study_params(self.study), **facts})

    def log_dataset(self, run_id: str, source: str, profile: Mapping[str, object]) -> None:
        """Log the study's dataset version as the run's input."""
        self.writer.log_dataset(run_id, self.study.name, self.version, source, profile)

    # -- reading --------------------------------------------------------------------------------

    def runs(self, stage: Stage | None = None) -> pd.DataFrame:
        """Read the replicates of one stage, or of all, as a table; see `runs_table`."""
        return self.table(self.children(), stage)

    def children(self) -> list[Any]:
        """Return the runs of the replicates, oldest first."""
        runs = self.tracker.children(self.run_id, self.experiment)
        return [run for run in runs if KEY in run.data.tags]

    def table(self, children: Sequence[Any], stage: Stage | None = None) -> pd.DataFrame:
        """Return runs of replicates as a table, with ``collapsed``; see `runs_table`."""
        table = runs_table(children, self.study.factor_list, stage, self.study.response)
        return table.assign(
            collapsed=find_collapsed(
                table["val_accuracy"],
                table.get("val_loss"),
                chance=self.facts.chance,
                classes=self.facts.classes,
                images=self.facts.validation_images,
                balanced=table.get("val_balanced_accuracy"),
                smallest_class=self.facts.smallest_class,
                constant_loss=self.facts.constant_loss,
            )
        )


@contextmanager
def open_execution(
    tracker: Tracker, study: Study, version: str, facts: DatasetFacts, kind: RunKind = "study"
) -> Iterator[Execution]:
    """Open the parent run of this execution, or continue one that was cut off.

    The run ends as FINISHED, FAILED or, on an interrupt, KILLED. If another process took it over
    meanwhile, it is that process that ends it.

    Raises
    ------
    LeaseLostError
        If another process took it over.
    """
    experiment = tracker.experiment(study.name)
    execution = Execution(tracker, study, version, facts, experiment, kind=kind)
    with execution.leased():
        try:
            yield execution
            execution.require_lease()
            # A request to create a run may have arrived long after it was given up and repeated.
            execution.replicates.end_cut_off()
        except BaseException as error:
            tracker.client.retry_policy.stop_waiting()
            # An unreachable server is not updated: the process that continues the study does it.
            with suppress(TrackingError):
                if execution.holds_lease():
                    status = "FAILED" if isinstance(error, Exception) else "KILLED"
                    tracker.client.set_terminated(execution.run_id, status)
            raise
        tracker.client.set_terminated(execution.run_id, "FINISHED")


def finished_execution(tracker: Tracker, study: Study, version: str) -> Execution | None:
    """Return the finished execution of a study on a dataset version, written by this FactorGrid.

    None if there is no such execution, if one of its replicates failed, or if another version of
    FactorGrid wrote it: then the study is worth running again.
    """
    found = tracker.find_experiment(study.name)
    if found is None:
        return None
    condition = (
        f"tags.`{STUDY_DIGEST}` = '{study_digest(study, version)}' "
        f"and tags.`{CODE_VERSION}` = '{code_version()}' and attributes.status = 'FINISHED'"
    )
    for run in tracker.search([str(found.experiment_id)], condition, limit=1):
        replicates = tracker.children(run.info.run_id, found.experiment_id)
        finished = finished_keys(replicates)
        if finished and finished == {r.data.tags[KEY] for r in replicates}:
            return past_execution(tracker, run)
    return None


def finished_keys(replicates: Iterable[Any]) -> set[str]:
    """Return the keys of the runs of replicates that finished."""
    return {run.data.tags[KEY] for run in replicates if run.info.status == "FINISHED"}


def earlier_study(tracker: Tracker, study: Study, version: str) -> Study | None:
    """Return the study as its newest execution carried it out; None without one."""
    found = tracker.find_experiment(study.name)
    if found is None:
        return None
    condition = f"tags.`{STUDY_DIGEST}` = '{study_digest(study, version)}'"
    for run in tracker.search([str(found.experiment_id)], condition):
        with suppress(TrackingError):  # it was cut off before its study was logged
            return past_execution(tracker, run).study
    return None


def past_execution(tracker: Tracker, run: Any) -> Execution:
    """Return the execution of a stored parent run, for reading; everything comes from MLflow.

    Raises
    ------
    TrackingError
        If the run was cut off before its study was logged.
    """
    run_id, experiment = run.info.run_id, run.info.experiment_id
    content = tracker.read_json(run_id, STUDY)
    try:
        facts = DatasetFacts.of_params(run.data.params)
    except KeyError:
        content = None
    if content is None:
        raise TrackingError(
            f"run {run_id}: cut off before its study was logged; run `factorgrid search` again"
        )
    study = read_stored_study(content, f"of MLflow run {run_id}")
    version = run.data.tags[DATASET_VERSION]
    digest = run.data.tags.get(STUDY_DIGEST, "")
    return Execution(tracker, study, version, facts, experiment, run_id, digest=digest)


def last_execution(tracker: Tracker, name: str) -> Execution:
    """Return the newest execution of a study, for reading.

    Raises
    ------
    TrackingError
        If there is no such experiment, or no study was run in it.
    """
    return past_execution(tracker, tracker.last_execution(tracker.existing_experiment(name)))


def code_version() -> str:
    """Return the version of FactorGrid."""
    return importlib.metadata.version("factorgrid")


def study_digest(study: Study, version: str) -> str:
    """Return the digest of what distinguishes a study from others, and of its dataset version."""
    content = json.dumps([study.identity, version], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def study_params(study: Study) -> dict[str, object]:
    """Return a study's settings as params of the parent run: nested tables as ``table.name``."""
    data = study.model_dump(mode="json", exclude={"name", "description", "factors", "compare"})
    params: dict[str, object] = {}
    for name, value in data.items():
        if isinstance(value, dict):
            params.update({f"{name}.{k}": v for k, v in value.items() if v not in (None, {})})
        elif value is not None:
            params[name] = value
    factors = {f"factor.{f.name}": " / ".join(map(show, f.levels)) for f in study.factor_list}
    return {**params, **factors}


def _description(study: Study) -> str:
    description = own_markdown(study.description) or as_markdown(f"The study {study.name}.")
    return f"{description}\n\nNot finished: the winner and the figures are shown here at the end."
