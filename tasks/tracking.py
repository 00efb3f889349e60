"""MLflow, the memory: the only module that talks to the tracking server.

Run ids are explicit everywhere: MLflow's active run is per thread, and Prefect copies context
variables into its threads, so that nested active runs lose their parents.
"""

import datetime as dt
import getpass
import hashlib
import importlib.metadata
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from filelock import FileLock

from analysis.collapse import collapsed
from analysis.factors import show
from models.images import ImageArrays
from tasks.claims import CLAIM, Claims, try_lock
from tasks.errors import TrackingError
from tasks.figures import save_png
from tasks.patience import Patience, PatientClient, Tell, say, why_away
from tasks.plan import Planned, Stage
from tasks.runs import runs_table, trained
from tasks.schema import is_to_come, refuse_another_schema
from tasks.settings import Settings
from tasks.study import Study, parse_study
from tasks.tags import (
    BROKEN,
    CODE_VERSION,
    KEY,
    KIND,
    PARENT,
    PREFIX,
    REUSED_FROM,
    STATUS,
    STUDY_DIGEST,
    in_stage,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

#: What a parent run is of.
Kind = Literal["study", "comparison"]
#: The most that one call of MLflow takes.
BATCH = {"metrics": 1000, "params": 100, "tags": 100}


@dataclass(frozen=True)
class Facts:
    """What the analysis must know of the pictures: kept as params of the parent run.

    Attributes
    ----------
    classes : how many.
    validation_images : that the response is read on.
    chance : accuracy of the best constant answer on them.
    pictures : what they are, in words.
    """

    classes: int
    validation_images: int
    chance: float
    pictures: str

    @classmethod
    def of(cls, arrays: ImageArrays, pictures: str) -> "Facts":
        """Read them off the arrays."""
        labels = arrays.labels[arrays.side("validation")]
        counts = np.bincount(labels, minlength=len(arrays.classes))
        chance = round(float(counts.max() / len(labels)), 6)
        return cls(len(arrays.classes), len(labels), chance, pictures)

    @classmethod
    def of_params(cls, params: Mapping[str, str]) -> "Facts":
        """Read them back from a parent run's params."""
        given = {f.name: params[f"data.{f.name}"] for f in fields(cls)}
        return cls(
            int(given["classes"]),
            int(given["validation_images"]),
            float(given["chance"]),
            given["pictures"],
        )


@dataclass
class Tracker:
    """A tracking server; every method is safe from any thread."""

    settings: Settings
    client: PatientClient = field(repr=False)
    claims: Claims = field(repr=False)

    @classmethod
    def open(cls, settings: Settings, *, create: bool = True, tell: Tell = say) -> "Tracker":
        """Connect, creating and migrating the database once, before any fan-out.

        Four processes that open a fresh database at once would migrate it at once, and three die.

        Parameters
        ----------
        settings : where MLflow is.
        create : whether a local database that is missing is created, or is an error.
        tell : gets a line when the server goes away and when it is back; see `Patience`.

        Raises
        ------
        TrackingError
            If the server or database is not there or not MLflow's, or the database's schema is
            another version's.
        """
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        if not create and is_to_come(settings.tracking_uri):
            raise TrackingError(
                f"MLflow at {settings.tracking_uri}: no such database; run `factorgrid search` "
                "first, or set FACTORGRID_HOME or MLFLOW_TRACKING_URI to where it is"
            )
        settings.home.mkdir(parents=True, exist_ok=True)
        # Our patience instead of MLflow's own: a server that is not there is said at once here, and
        # waited for afterwards.
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
        try:
            with FileLock(settings.home / "mlflow.lock"):
                refuse_another_schema(settings.tracking_uri)
                client = MlflowClient(settings.tracking_uri, registry_uri=settings.tracking_uri)
                client.search_experiments(max_results=1)
        except (MlflowException, OSError, SQLAlchemyError) as error:
            raise TrackingError(
                f"MLflow at {settings.tracking_uri}: {_in_short(error)}; start it, or correct "
                "MLFLOW_TRACKING_URI (unset it for a local database)"
            ) from error
        patience = Patience(settings.tracking_uri, settings.patience_minutes, tell)
        patient = PatientClient(client, patience)
        return cls(settings, patient, Claims(patient, settings.locks, settings.heartbeat_seconds))

    # -- experiments and executions -------------------------------------------------------------

    def experiment(self, name: str) -> str:
        """Return an experiment's id, created where it is missing."""
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        local = self.settings.tracking_uri.startswith(("sqlite:", "postgresql"))
        # A database without a server stores artifacts below the current folder unless told where.
        location = (self.settings.artifacts / _slug(name)).as_uri() if local else None
        try:
            # The kind spares the user MLflow's question whether this is about language models.
            kind = {"mlflow.experimentKind": "custom_model_development"}
            return str(self.client.create_experiment(name, location, kind))
        except MlflowException:
            return self.experiment(name)  # another process created it in between

    def existing_experiment(self, name: str) -> str:
        """Return an experiment's id.

        Raises
        ------
        TrackingError
            If there is none of that name; the names that exist are given.
        """
        found = self.client.get_experiment_by_name(name)
        if found is None:
            names = [e.name for e in self.client.search_experiments() if e.name != "Default"]
            raise TrackingError(
                f"experiment {name!r}: not at {self.settings.tracking_uri}; "
                f"there are: {', '.join(names) or 'none'}"
            )
        return str(found.experiment_id)

    @contextmanager
    def execution(
        self, study: Study, version: str, facts: Facts, kind: Kind = "study"
    ) -> Iterator["Execution"]:
        """Open the parent run of this execution, going on with one that was cut off.

        The run ends as FINISHED, FAILED or, on an interrupt, KILLED.
        """
        experiment = self.experiment(study.name)
        execution = Execution(self, study, version, facts, experiment, kind=kind)
        with execution.held():
            try:
                yield execution
            except BaseException as error:
                self.client.patience.end()
                # A server that is away cannot be told: whoever goes on with the study will.
                with suppress(TrackingError):
                    status = "FAILED" if isinstance(error, Exception) else "KILLED"
                    self.client.set_terminated(execution.run_id, status)
                raise
            self.client.set_terminated(execution.run_id, "FINISHED")

    def log_validation(
        self, experiment: str, counts: Mapping[str, float], tags: Mapping[str, str], folder: Path
    ) -> str:
        """Log a validation as a run of its own, FAILED where it did not pass; return its id.

        Parameters
        ----------
        experiment : by name; created where it is missing.
        counts : figures of the set.
        tags : the dataset version, and what was broken, in words; empty where it passed.
        folder : its artifacts: results, reasons, the metadata table, Data Docs.
        """
        now = dt.datetime.now(tz=dt.UTC)
        run = self.client.create_run(
            self.experiment(experiment),
            tags={
                KIND: "validation",
                **_origin("factorgrid validate"),
                **{PREFIX + k: v for k, v in tags.items()},
            },
            run_name=f"validation {now:%Y-%m-%d %H:%M}",
        )
        run_id = str(run.info.run_id)
        for name, value in counts.items():
            self.client.log_metric(run_id, name, float(value))
        self.client.log_artifacts(run_id, str(folder))
        self.client.set_terminated(run_id, "FAILED" if tags.get(BROKEN) else "FINISHED")
        return run_id

    # -- reading --------------------------------------------------------------------------------

    def search(self, experiments: Sequence[str], condition: str, limit: int = 0) -> list[Any]:
        """Return the runs that fulfil a filter, newest first; all of them unless limited."""
        runs: list[Any] = []
        token = None
        while True:
            page = self.client.search_runs(
                list(experiments), condition, max_results=limit or 1000, page_token=token
            )
            runs.extend(page)
            token = page.token
            if not token or limit:
                return runs

    def children(self, run_id: str, experiment: str) -> list[Any]:
        """Return the replicates of an execution, oldest first."""
        return self.search([experiment], f"tags.`{PARENT}` = '{run_id}'")[::-1]

    def last_execution(self, experiment: str) -> Any:
        """Return the newest parent run of an experiment.

        Raises
        ------
        TrackingError
            If it has none.
        """
        runs = self.search([experiment], f"tags.`{KIND}` = 'study'", limit=1)
        if not runs:
            raise TrackingError(
                f"experiment {experiment}: no study was run in it; run `factorgrid search` first"
            )
        return runs[0]

    def finished(self, study: Study, version: str) -> "Execution | None":
        """Return the execution that has all of a study on a dataset version, by today's code.

        None where there is none: a replicate that failed, or findings that an earlier FactorGrid
        wrote, are worth doing again.
        """
        found = self.client.get_experiment_by_name(study.name)
        if found is None:
            return None
        condition = (
            f"tags.`{STUDY_DIGEST}` = '{study_digest(study, version)}' "
            f"and tags.`{CODE_VERSION}` = '{code_version()}' and attributes.status = 'FINISHED'"
        )
        for run in self.search([str(found.experiment_id)], condition, limit=1):
            replicates = self.children(run.info.run_id, found.experiment_id)
            done = {r.data.tags[KEY] for r in replicates if r.info.status == "FINISHED"}
            if done and done == {r.data.tags[KEY] for r in replicates}:
                return self.past(run)
        return None

    def past(self, run: Any) -> "Execution":
        """Return the execution of a parent run, for reading: all of it is in MLflow.

        Raises
        ------
        TrackingError
            If the run was cut off before it said what it is.
        """
        run_id, experiment = run.info.run_id, run.info.experiment_id
        content = self.read_json(run_id, "study.json")
        try:
            facts = Facts.of_params(run.data.params)
        except KeyError:
            content = None
        if content is None:
            raise TrackingError(
                f"run {run_id}: cut off before its study was logged; run `factorgrid search` again"
            )
        study = parse_study(content, f"of MLflow run {run_id}")
        version = run.data.tags[PREFIX + "dataset_version"]
        return Execution(self, study, version, facts, experiment, run_id)

    def read_json(self, run_id: str, path: str) -> Any:
        """Return the content of a JSON artifact; None where the run has none of that name."""
        content = self.read(run_id, path)
        return None if content is None else json.loads(content)

    def read(self, run_id: str, path: str) -> bytes | None:
        """Return an artifact's bytes; None where the run has none of that name."""
        listed = self.client.list_artifacts(run_id, path.rpartition("/")[0] or None)
        if path not in {item.path for item in listed}:
            return None
        with tempfile.TemporaryDirectory() as folder:
            return Path(self.client.download_artifacts(run_id, path, folder)).read_bytes()

    def artifact(self, run_id: str, path: str, folder: Path) -> Path:
        """Fetch a replicate's artifact, from the run that trained it where it was reused."""
        run = self.client.get_run(run_id)
        source = run.data.tags.get(REUSED_FROM, run_id)
        folder.mkdir(parents=True, exist_ok=True)
        return Path(self.client.download_artifacts(source, path, str(folder)))


@dataclass(frozen=True)
class Known:
    """The runs of one key at a server: those that finished, and those in training elsewhere."""

    finished: list[Any]
    rivals: list[Any]


@dataclass
class Execution:
    """The parent run of one execution of a study, and what is logged below it."""

    tracker: Tracker
    study: Study
    version: str
    facts: Facts
    experiment: str
    run_id: str = ""
    resumed: bool = False
    kind: Kind = "study"

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
            **_origin(),
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

    def _finished(self, planned: Planned, known: "Known") -> str | None:
        """Find a finished run of the key: in this execution, else anywhere at this server."""
        own = [run for run in known.finished if run.data.tags.get(PARENT) == self.run_id]
        if own:
            run_id = str(own[-1].info.run_id)
            self.log(run_id, tags={in_stage(planned.stage): "true"})
            return run_id
        origins = _trained_in(known.finished)
        return self._refer(planned, origins[-1]) if origins else None

    def _known(self, planned: Planned) -> "Known":
        """Ask for all runs of a key at once: of one that ends meanwhile, one of both is seen."""
        ids = [e.experiment_id for e in self.tracker.client.search_experiments()]
        runs = self.tracker.search(ids, f"tags.`{KEY}` = '{planned.key}'")
        by_status = {
            status: [run for run in runs if run.info.status == status]
            for status in ("FINISHED", "RUNNING")
        }
        # In training here none can be: the key's lock is held.
        is_here = self.tracker.claims.is_here
        elsewhere = [run for run in _trained_in(by_status["RUNNING"]) if not is_here(run)]
        return Known(by_status["FINISHED"], elsewhere)

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
        run_id = self._create(planned, {CLAIM: "asked"})
        self.tracker.claims.hold(run_id)
        wins = self._wins(run_id, planned)
        if not wins:
            self.end_replicate(run_id, "KILLED")  # seen by whoever watches it
            self.tracker.client.delete_run(run_id)
            return None
        self.log(run_id, params=_params(planned), tags={CLAIM: "held"})
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
            held = any(run.data.tags.get(CLAIM) == "held" for run in rivals)
            if held or str(first.info.run_id) < run_id:
                return False
            if self.tracker.claims.watch(first) == "dead":
                self._cut_off(first)
        return not _trained_in(known.finished)

    def _create(self, planned: Planned, more: Mapping[str, str]) -> str:
        tags = {
            PARENT: self.run_id,
            KIND: "replicate",
            **_origin(),
            **self.tracker.claims.tags(),
            KEY: planned.key,
            PREFIX + "dataset_version": self.version,
            PREFIX + "cell": planned.cell,
            in_stage(planned.stage): "true",
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
        tags = {PARENT: self.run_id, KIND: "search", **_origin("factorgrid compare")}
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
            collapsed=collapsed(
                table["val_accuracy"],
                table.get("val_loss"),
                chance=self.facts.chance,
                classes=self.facts.classes,
                images=self.facts.validation_images,
            )
        )


def metric_rows(metrics: Mapping[str, float], step: int) -> list[Any]:
    """Return metrics as MLflow takes them, as of now."""
    from mlflow.entities import Metric

    now = int(dt.datetime.now(tz=dt.UTC).timestamp() * 1000)
    return [Metric(name, float(value), now, step) for name, value in metrics.items()]


def _trained_in(runs: Sequence[Any]) -> list[Any]:
    """Return the runs that trained what they tell, and do not refer to another's figures."""
    return [run for run in runs if REUSED_FROM not in run.data.tags]


def _in_short(error: Exception) -> str:
    return why_away(error) or str(error).strip().splitlines()[0][:200]


def _origin(command: str = "factorgrid search") -> dict[str, str]:
    """Return what MLflow's tables show as source and author."""
    origin = {"mlflow.source.name": command, "mlflow.source.type": "LOCAL"}
    # In a container the user may have no name.
    with suppress(KeyError, OSError):
        origin["mlflow.user"] = getpass.getuser()
    return origin


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


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
