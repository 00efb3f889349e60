"""The parent run of one execution of a study, and the replicates below it."""

import datetime as dt
import hashlib
import importlib.metadata
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from filelock import FileLock

from analysis.factors import show
from analysis.runs.collapsed import find_collapsed
from tasks.errors import TrackingError
from tasks.study.replicates import Planned, Stage
from tasks.study.study_file import Study, parse_study
from tasks.tracking.dataset_facts import DatasetFacts
from tasks.tracking.leases import LEASE, try_lock
from tasks.tracking.run_table import runs_table, trained
from tasks.tracking.run_writer import BATCH, metric_rows, origin_tags, save_png
from tasks.tracking.tags import (
    CODE_VERSION,
    KEY,
    KIND,
    PARENT,
    PREFIX,
    REUSED_FROM,
    STATUS,
    STUDY_DIGEST,
    stage_tag,
)
from tasks.tracking.tracker import Tracker

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image


#: What a parent run is of.
RunKind = Literal["study", "comparison"]


@dataclass(frozen=True)
class KnownRuns:
    """The runs of one key at a server: those that finished, and those in training elsewhere."""

    finished: list[Any]
    rivals: list[Any]


@dataclass
class Execution:
    """The parent run of one execution of a study, and what is logged below it."""

    tracker: Tracker
    study: Study
    version: str
    facts: DatasetFacts
    experiment: str
    run_id: str = ""
    resumed: bool = False
    kind: RunKind = "study"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the one process that is at work on this execution, new or gone on with."""
        claims = self.tracker.claims
        digest = study_digest(self.study, self.version)
        if self.kind != "study":
            digest = f"{digest}-{self.kind}"
        with ExitStack() as stack:
            stack.enter_context(claims.beating())
            # Of two that begin at once here, the second must see the first one's run as held.
            with claims.lock(f"study-{digest}"):
                lock = self._go_on(digest)
                if lock is None:
                    self._begin(digest)
                    lock = claims.lock(f"run-{self.run_id}")
                    lock.acquire()
            stack.callback(lock.release)
            claims.hold(self.run_id)
            stack.callback(claims.release, self.run_id)
            if not self.resumed:
                self._describe()
            yield

    def _go_on(self, digest: str) -> FileLock | None:
        """Go on with an execution that was cut off; return its lock, held, or None."""
        claims = self.tracker.claims
        condition = f"tags.`{STUDY_DIGEST}` = '{digest}' and attributes.status != 'FINISHED'"
        for run in self.tracker.search([self.experiment], condition):
            lock = claims.lock(f"run-{run.info.run_id}")
            if not try_lock(lock):
                continue
            foreign = run.info.status == "RUNNING" and not claims.is_here(run)
            if foreign:
                self._tell(f"run {run.info.run_id} is another machine's: looking whether it lives")
            if (not foreign or claims.watch(run) == "dead") and claims.take(run.info.run_id):
                self.run_id = str(run.info.run_id)
                # Cut off before it was described: as good as new.
                self.resumed = "data.pictures" in run.data.params
                self.tracker.client.update_run(self.run_id, status="RUNNING")
                self._mark_cut_off()
                return lock
            lock.release()
        return None

    def _begin(self, digest: str) -> None:
        tags = {
            KIND: self.kind,
            STUDY_DIGEST: digest,
            CODE_VERSION: code_version(),
            PREFIX + "dataset_version": self.version,
            **self.tracker.claims.tags(),
            **origin_tags(),
            "mlflow.note.content": _description(self.study),
        }
        name = f"{self.kind} {dt.datetime.now(tz=dt.UTC):%Y-%m-%d %H:%M}"
        run = self.tracker.client.create_run(self.experiment, tags=tags, run_name=name)
        self.run_id = str(run.info.run_id)

    def _describe(self) -> None:
        """Log what the execution is of."""
        client = self.tracker.client
        client.log_dict(self.run_id, self.study.model_dump(mode="json"), "study.json")
        facts = {f"data.{name}": value for name, value in asdict(self.facts).items()}
        self.log(self.run_id, params={**_flat(self.study), **facts})

    def _mark_cut_off(self) -> None:
        """Mark replicates whose process died: MLflow itself never ends their runs.

        They had this execution's process, which is dead.
        """
        for run in self.tracker.children(self.run_id, self.experiment):
            if run.info.status == "RUNNING":
                self._cut_off(run)

    def _cut_off(self, run: Any) -> None:
        self.tracker.client.set_tag(run.info.run_id, STATUS, "cut off")
        self.tracker.client.set_terminated(run.info.run_id, "KILLED")

    # -- writing --------------------------------------------------------------------------------

    def log(
        self,
        run_id: str,
        *,
        params: Mapping[str, object] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        step: int = 0,
    ) -> None:
        """Write params, metrics and tags in as few calls as MLflow allows, at once."""
        from mlflow.entities import Param, RunTag

        self._write(
            run_id,
            params=[Param(k, str(v)) for k, v in (params or {}).items()],
            metrics=metric_rows(metrics or {}, step),
            tags=[RunTag(k, str(v)) for k, v in (tags or {}).items()],
        )

    def log_metrics(self, run_id: str, rows: Sequence[Any]) -> None:
        """Write metrics of any steps and times, see `metric_rows`."""
        self._write(run_id, metrics=rows)

    def _write(self, run_id: str, **rows: Sequence[Any]) -> None:
        while any(rows.values()):
            batch = {name: rows[name][: BATCH[name]] for name in rows}
            self.tracker.client.log_batch(run_id, **batch)
            rows = {name: rows[name][BATCH[name] :] for name in rows}

    def log_figures(self, run_id: str, figures: Mapping[str, "Figure | Image"]) -> None:
        """Write figures as PNG artifacts, by path."""
        with tempfile.TemporaryDirectory() as folder:
            for path, figure in figures.items():
                file = Path(folder) / path
                file.parent.mkdir(parents=True, exist_ok=True)
                save_png(figure, file)
            self.log_folder(run_id, Path(folder))

    def log_text(self, run_id: str, text: str, path: str) -> None:
        """Write a text artifact."""
        self.tracker.client.log_text(run_id, text, path)

    def log_folder(self, run_id: str, folder: Path, path: str | None = None) -> None:
        """Write a folder of artifacts."""
        self.tracker.client.log_artifacts(run_id, str(folder), path)

    def log_dataset(self, run_id: str, source: str, profile: Mapping[str, object]) -> None:
        """Log the dataset version as the run's input."""
        from mlflow.entities import Dataset, DatasetInput, InputTag
        from mlflow.exceptions import MlflowException

        dataset = Dataset(
            name=self.study.name,
            digest=self.version[:36],  # MLflow takes no more
            source_type="local",
            source=json.dumps({"uri": source}),
            profile=json.dumps(dict(profile)),
        )
        tag = InputTag("mlflow.data.context", "training")
        inputs = [DatasetInput(dataset, [tag])]
        try:
            self.tracker.client.log_inputs(run_id, inputs)
        except MlflowException:
            # MLflow inserts a new dataset without asking: of two first writers one fails, once.
            self.tracker.client.log_inputs(run_id, inputs)

    # -- replicates -----------------------------------------------------------------------------

    @contextmanager
    def claim(self, planned: Planned) -> Iterator[str | None]:
        """Hold a replicate's key against every other study on this machine.

        Yields the id of a finished run of that key in this execution, or None: train it. A study
        on another machine that trains it is waited for.
        """
        with self.tracker.claims.lock(planned.key):
            known, told = self._known(planned), False
            while (finished := self._finished(planned, known)) is None and known.rivals:
                if not told:
                    self._tell(f"{planned.name}: in training on another machine, waiting for it")
                    told = True
                if self.tracker.claims.watch(known.rivals[0]) == "dead":
                    self._cut_off(known.rivals[0])
                known = self._known(planned)
            yield finished

    def _tell(self, line: str) -> None:
        self.tracker.client.patience.tell(line, "")

    def _finished(self, planned: Planned, known: "KnownRuns") -> str | None:
        """Find a finished run of the key: in this execution, else anywhere at this server."""
        own = [run for run in known.finished if run.data.tags.get(PARENT) == self.run_id]
        if own:
            run_id = str(own[-1].info.run_id)
            self.log(run_id, tags={stage_tag(planned.stage): "true"})
            return run_id
        origins = trained_in(known.finished)
        return self._refer(planned, origins[-1]) if origins else None

    def _known(self, planned: Planned) -> "KnownRuns":
        """Ask for all runs of a key at once: of one that ends meanwhile, one of both is seen."""
        ids = [e.experiment_id for e in self.tracker.client.search_experiments()]
        runs = self.tracker.search(ids, f"tags.`{KEY}` = '{planned.key}'")
        by_status = {
            status: [run for run in runs if run.info.status == status]
            for status in ("FINISHED", "RUNNING")
        }
        # In training here none can be: the key's lock is held.
        is_here = self.tracker.claims.is_here
        elsewhere = [run for run in trained_in(by_status["RUNNING"]) if not is_here(run)]
        return KnownRuns(by_status["FINISHED"], elsewhere)

    def _refer(self, planned: Planned, source: Any) -> str:
        """Log a replicate that another execution trained: its figures, and where they are from."""
        origin = source.info.run_id
        note = f"Not trained again: the figures are those of run {origin}."
        kept = {k: v for k, v in source.data.tags.items() if k == STATUS}
        tags = {REUSED_FROM: origin, "mlflow.note.content": note, **kept}
        run_id = self._create(planned, tags)
        self.log(run_id, params=_params(planned), metrics=trained(source.data.metrics))
        self.tracker.client.set_terminated(run_id, "FINISHED")
        return run_id

    def begin_replicate(self, planned: Planned) -> str | None:
        """Create the nested run of one replicate, with everything that is known before training.

        None where a study on another machine was quicker, or is done with it: claim it again.
        """
        if self._known(planned).rivals:
            return None
        run_id = self._create(planned, {LEASE: "asked"})
        self.tracker.claims.hold(run_id)
        wins = self._wins(run_id, planned)
        if not wins:
            self.end_replicate(run_id, "KILLED")  # seen by whoever watches it
            self.tracker.client.delete_run(run_id)
            return None
        self.log(run_id, params=_params(planned), tags={LEASE: "held"})
        return run_id

    def _wins(self, run_id: str, planned: Planned) -> bool:
        """Settle who trains it, of several that asked at once: no clock decides.

        Whoever sees no other trains it. Of those that see each other the lowest id waits until the
        others have withdrawn, or one of them, that saw nobody, has it. Who finished while this one
        waited for its slot is no rival any more, and has it as well. Asked after the run was
        created: whoever begins later sees it.
        """
        while rivals := (known := self._known(planned)).rivals:
            first = min(rivals, key=lambda run: str(run.info.run_id))
            held = any(run.data.tags.get(LEASE) == "held" for run in rivals)
            if held or str(first.info.run_id) < run_id:
                return False
            if self.tracker.claims.watch(first) == "dead":
                self._cut_off(first)
        return not trained_in(known.finished)

    def _create(self, planned: Planned, more: Mapping[str, str]) -> str:
        tags = {
            PARENT: self.run_id,
            KIND: "replicate",
            **origin_tags(),
            **self.tracker.claims.tags(),
            KEY: planned.key,
            PREFIX + "dataset_version": self.version,
            PREFIX + "cell": planned.cell,
            stage_tag(planned.stage): "true",
            # Tags, not params: MLflow's compare page draws the first params that differ.
            **{f"{PREFIX}coded.{k}": show(level) for k, level in planned.coded.items()},
            **more,
        }
        client = self.tracker.client
        run = client.create_run(self.experiment, tags=tags, run_name=planned.short_name)
        return str(run.info.run_id)

    def end_replicate(self, run_id: str, status: str, reason: str = "") -> None:
        """End a replicate's run; the reason is for people, in its description too."""
        if reason:
            self.log(run_id, tags={STATUS: reason[:4000], "mlflow.note.content": reason[:4000]})
        self.tracker.client.set_terminated(run_id, status)
        self.tracker.claims.release(run_id)

    def runs(self, stage: Stage | None = None) -> pd.DataFrame:
        """Read the replicates back, of one stage or all; see `runs_table`."""
        return self.table(self.children(), stage)

    def children(self) -> list[Any]:
        """Return the replicates' runs, oldest first."""
        runs = self.tracker.children(self.run_id, self.experiment)
        return [run for run in runs if KEY in run.data.tags]

    def log_search(
        self, name: str, params: Mapping[str, object], curves: Mapping[str, Sequence[float]]
    ) -> None:
        """Log one tuner's search of a comparison as a nested run, once.

        Parameters
        ----------
        name : of the run.
        params : whose search it is, and what came of it.
        curves : metrics by name; step 1 is the first run.
        """
        condition = (
            f"tags.`{PARENT}` = '{self.run_id}' and tags.`{KIND}` = 'search' "
            f"and attributes.run_name = '{name}' and attributes.status = 'FINISHED'"
        )
        if self.tracker.search([self.experiment], condition, limit=1):
            return
        tags = {PARENT: self.run_id, KIND: "search", **origin_tags("factorgrid compare")}
        run = self.tracker.client.create_run(self.experiment, tags=tags, run_name=name)
        run_id = str(run.info.run_id)
        self.log(run_id, params=params)
        rows = [
            row
            for metric, values in curves.items()
            for step, value in enumerate(values, 1)
            for row in metric_rows({metric: value}, step)
        ]
        self.log_metrics(run_id, rows)
        self.tracker.client.set_terminated(run_id, "FINISHED")

    def table(self, children: Sequence[Any], stage: Stage | None = None) -> pd.DataFrame:
        """Return replicates' runs as a table, of one stage or all; see `runs_table`."""
        table = runs_table(children, self.study.factor_list, stage)
        return table.assign(
            collapsed=find_collapsed(
                table["val_accuracy"],
                table.get("val_loss"),
                chance=self.facts.chance,
                classes=self.facts.classes,
                images=self.facts.validation_images,
            )
        )


def trained_in(runs: Sequence[Any]) -> list[Any]:
    """Return the runs that trained what they tell, and do not refer to another's figures."""
    return [run for run in runs if REUSED_FROM not in run.data.tags]


def _description(study: Study) -> str:
    what = study.description or f"The study {study.name}."
    return f"{what}\n\nRuns are named {'/'.join(study.factors)} #replicate."


def _params(planned: Planned) -> dict[str, object]:
    """Return a replicate's params: each factor once, under its own name, and what is fixed."""
    spec = planned.spec
    fixed = {f"training.{k}": v for k, v in spec.to_dict()["training"].items()}
    fixed |= {f"model.{k}": v for k, v in spec.model.settings.items()}
    factors = {f"{room}.{name}" for name in planned.levels for room in ("training", "model")}
    return {
        **{name: show(level) for name, level in planned.levels.items()},
        **{name: value for name, value in fixed.items() if name not in factors},
        "model.builder": spec.model.builder,
        "image_size": spec.image_size,
        "stage": planned.stage,
        "replicate": planned.replicate,
        "seed": spec.seed,
        "centre": planned.centre,
    }


def code_version() -> str:
    """Return FactorGrid's own version."""
    return importlib.metadata.version("factorgrid")


def study_digest(study: Study, version: str) -> str:
    """Return the digest by which an execution that was cut off is found again."""
    # What it is compared with is no part of what is searched.
    told = study.model_dump(mode="json", exclude={"compare"})
    content = json.dumps([told, version], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _flat(study: Study) -> dict[str, object]:
    data = study.model_dump(mode="json", exclude={"name", "description", "factors", "compare"})
    params: dict[str, object] = {}
    for name, value in data.items():
        if isinstance(value, dict):
            params.update({f"{name}.{k}": v for k, v in value.items() if v not in (None, {})})
        elif value is not None:
            params[name] = value
    factors = {f"factor.{f.name}": f"{show(f.low)} / {show(f.high)}" for f in study.factor_list}
    return {**params, **factors}


@contextmanager
def open_execution(
    tracker: Tracker, study: Study, version: str, facts: DatasetFacts, kind: RunKind = "study"
) -> Iterator["Execution"]:
    """Open the parent run of this execution, going on with one that was cut off.

    The run ends as FINISHED, FAILED or, on an interrupt, KILLED.
    """
    experiment = tracker.experiment(study.name)
    execution = Execution(tracker, study, version, facts, experiment, kind=kind)
    with execution.held():
        try:
            yield execution
        except BaseException as error:
            tracker.client.patience.end()
            # A server that is away cannot be told: whoever goes on with the study will.
            with suppress(TrackingError):
                status = "FAILED" if isinstance(error, Exception) else "KILLED"
                tracker.client.set_terminated(execution.run_id, status)
            raise
        tracker.client.set_terminated(execution.run_id, "FINISHED")


def finished_execution(tracker: Tracker, study: Study, version: str) -> "Execution | None":
    """Return the execution that has all of a study on a dataset version, by today's code.

    None where there is none: a replicate that failed, or findings that an earlier FactorGrid
    wrote, are worth doing again.
    """
    found = tracker.client.get_experiment_by_name(study.name)
    if found is None:
        return None
    condition = (
        f"tags.`{STUDY_DIGEST}` = '{study_digest(study, version)}' "
        f"and tags.`{CODE_VERSION}` = '{code_version()}' and attributes.status = 'FINISHED'"
    )
    for run in tracker.search([str(found.experiment_id)], condition, limit=1):
        replicates = tracker.children(run.info.run_id, found.experiment_id)
        done = {r.data.tags[KEY] for r in replicates if r.info.status == "FINISHED"}
        if done and done == {r.data.tags[KEY] for r in replicates}:
            return past_execution(tracker, run)
    return None


def past_execution(tracker: Tracker, run: Any) -> "Execution":
    """Return the execution of a parent run, for reading: all of it is in MLflow.

    Raises
    ------
    TrackingError
        If the run was cut off before it said what it is.
    """
    run_id, experiment = run.info.run_id, run.info.experiment_id
    content = tracker.read_json(run_id, "study.json")
    try:
        facts = DatasetFacts.of_params(run.data.params)
    except KeyError:
        content = None
    if content is None:
        raise TrackingError(
            f"run {run_id}: cut off before its study was logged; run `factorgrid search` again"
        )
    study = parse_study(content, f"of MLflow run {run_id}")
    version = run.data.tags[PREFIX + "dataset_version"]
    return Execution(tracker, study, version, facts, experiment, run_id)


def last_execution(tracker: Tracker, name: str) -> Execution:
    """Return the newest execution of a study, for reading.

    Raises
    ------
    TrackingError
        If there is no such experiment, or no study was run in it.
    """
    return past_execution(tracker, tracker.last_execution(tracker.existing_experiment(name)))
