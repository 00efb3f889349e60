"""The runs of replicates: claiming a key, creating, reusing and ending the run of a replicate.

A replicate's key says everything that determines its training. A finished run with that key is
never trained again, by whichever study, and of all studies that need it at once only one trains it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from analysis.factors import show
from models.spec import continues
from tasks.errors import CellError, LeaseLostError, SlotDiedError
from tasks.escaping import as_markdown_lines
from tasks.study.replicates import Planned
from tasks.tracking.leases import CLAIM, CLAIM_GRANTED, CLAIM_REQUESTED, HOLDER
from tasks.tracking.run_table import training_metrics
from tasks.tracking.run_writer import RunWriter, origin_tags
from tasks.tracking.tags import (
    CELL,
    DATASET_VERSION,
    DIED,
    EPOCHS,
    KEY,
    KIND,
    PARENT,
    PREFIX,
    PREFIX_KEY,
    RESULT,
    RESULT_DISCARDED,
    RESULT_KEPT,
    REUSED_FROM,
    STATUS,
    stage_tag,
)
from tasks.tracking.tracker import Tracker

#: The most characters of a reason that are stored in a tag.
REASON_LENGTH = 4000
#: A cell fails if the training process of a replicate dies in this many attempts of an execution.
ATTEMPTS = 3


@dataclass(frozen=True)
class RunsOfKey:
    """The runs of one key at a server.

    Attributes
    ----------
    finished : the runs that finished, whichever study they belong to.
    training_on_other_machines : the runs that another machine trains now.
    died : the attempts of this execution whose training process died, newest first.
    """

    finished: list[Any]
    training_on_other_machines: list[Any]
    died: list[Any]


@dataclass(frozen=True)
class ReplicateRuns:
    """The runs of the replicates of one execution.

    Attributes
    ----------
    experiment : the id of the study's experiment.
    parent : the id of the execution's parent run.
    version : the dataset version.
    """

    tracker: Tracker
    experiment: str
    parent: str
    version: str

    @property
    def _writer(self) -> RunWriter:
        return self.tracker.writer

    # -- claiming a key -------------------------------------------------------------------------

    @contextmanager
    def claim(self, planned: Planned) -> Iterator[str | None]:
        """Hold a replicate's key, so that no other study on this machine trains it.

        If a study on another machine trains it now, this waits for it.

        Yields
        ------
        The id of a finished run of that key in this execution; None if it has to be trained.

        Raises
        ------
        CellError
            If its training process died in each of `ATTEMPTS` attempts. The attempts are read from
            MLflow, so that a study that is resumed does not try it for ever.
        """
        with self.tracker.leases.lock(planned.key):
            runs, notified = self._find_runs(planned), False
            while (finished := self._finished_run(planned, runs)) is None and (
                others := runs.training_on_other_machines
            ):
                if not notified:
                    self.tracker.notify(
                        f"{planned.name}: another machine trains it, waiting for the result"
                    )
                    notified = True
                self._end_if_dead(others[0])
                runs = self._find_runs(planned)
            if finished is None and len(runs.died) >= ATTEMPTS:
                reason = runs.died[0].data.tags.get(STATUS, "")
                raise CellError(f"in each of {len(runs.died)} attempts, {reason}")
            yield finished

    def _find_runs(self, planned: Planned) -> RunsOfKey:
        """Read all runs of a key with one query.

        With two queries, a run that ends between them could be in neither result.
        """
        experiments = [e.experiment_id for e in self.tracker.experiments()]
        runs = self.tracker.search(experiments, f"tags.`{KEY}` = '{planned.key}'")
        finished = [run for run in runs if run.info.status == "FINISHED"]
        running = [run for run in runs if run.info.status == "RUNNING"]
        # No other process of this home trains the key: this process holds its lock.
        is_in_this_home = self.tracker.leases.is_in_this_home
        return RunsOfKey(
            finished,
            [run for run in trained_runs(running) if not is_in_this_home(run)],
            [r for r in runs if DIED in r.data.tags and r.data.tags.get(PARENT) == self.parent],
        )

    def _finished_run(self, planned: Planned, runs: RunsOfKey) -> str | None:
        """Return a finished run of the key in this execution, created if another study has one."""
        own = [run for run in runs.finished if run.data.tags.get(PARENT) == self.parent]
        if own:
            run_id = str(own[-1].info.run_id)
            self._writer.log(run_id, tags={stage_tag(planned.stage): "true"})
            return run_id
        trained = trained_runs(runs.finished)
        return self._reuse(planned, trained[-1]) if trained else None

    def _reuse(self, planned: Planned, source: Any) -> str:
        """Create a finished run with the figures of a run that another execution trained."""
        source_id = source.info.run_id
        note = f"Not trained again: the figures are those of run {source_id}."
        kept = {k: v for k, v in source.data.tags.items() if k == STATUS}
        tags = {REUSED_FROM: source_id, "mlflow.note.content": note, **kept}
        run_id = self._create(planned, tags)
        metrics = training_metrics(source.data.metrics)
        self._writer.log(run_id, params=replicate_params(planned), metrics=metrics)
        self.tracker.client.set_terminated(run_id, "FINISHED")
        return run_id

    # -- continuing a shorter training ----------------------------------------------------------

    def offer_as_beginning(self, planned: Planned, run_id: str) -> None:
        """Tag a run that has a checkpoint, so that longer trainings find it."""
        spec = planned.spec
        tags = {PREFIX_KEY: spec.prefix_key(self.version), EPOCHS: str(spec.training.epochs)}
        self._writer.log(run_id, tags=tags)

    def longest_beginning(self, planned: Planned) -> str | None:
        """Return the run of the longest training from whose checkpoint this one can continue.

        Like a finished run of the same key, it may belong to any study at the server.
        """
        spec = planned.spec
        if spec.training.epochs == 1:
            return None
        experiments = [e.experiment_id for e in self.tracker.experiments()]
        key = spec.prefix_key(self.version)
        condition = f"tags.`{PREFIX_KEY}` = '{key}' and attributes.status = 'FINISHED'"
        by_epochs = {
            int(run.data.tags[EPOCHS]): str(run.info.run_id)
            for run in reversed(self.tracker.search(experiments, condition))
            if run.data.tags.get(EPOCHS, "").isdecimal()
        }
        shorter = [n for n in by_epochs if continues(spec.with_levels({"epochs": n}), spec)]
        return by_epochs[max(shorter)] if shorter else None

    # -- creating a run -------------------------------------------------------------------------

    def begin(self, planned: Planned) -> str | None:
        """Create the nested run of one replicate, with everything that is known before training.

        Returns
        -------
        The id of the run. None if a study on another machine trains the replicate, or has just
        trained it: call `claim` again.
        """
        if self._find_runs(planned).training_on_other_machines:
            return None
        run_id = self._create(planned, {CLAIM: CLAIM_REQUESTED})
        self.tracker.leases.start_heartbeat(run_id)
        if not self._is_granted(run_id, planned):
            self.end(run_id, "KILLED")  # for the processes that observe it
            self.tracker.client.delete_run(run_id)
            return None
        params = replicate_params(planned)
        self._writer.log(run_id, params=params, tags={CLAIM: CLAIM_GRANTED})
        return run_id

    def _is_granted(self, run_id: str, planned: Planned) -> bool:
        """Decide which of several machines that requested a replicate at once trains it.

        No clock decides. A machine that sees no other run trains the replicate. Of the machines
        that see each other, the one with the lowest run id waits until the others have withdrawn,
        or until one of them, which saw no other run, is granted the claim. If another machine
        finished the replicate while this one waited for its slot, it need not be trained either.
        This is called after the run was created, so that every machine that begins later sees it.
        """
        while others := (runs := self._find_runs(planned)).training_on_other_machines:
            first = min(others, key=lambda run: str(run.info.run_id))
            granted = any(run.data.tags.get(CLAIM) == CLAIM_GRANTED for run in others)
            if granted or str(first.info.run_id) < run_id:
                return False
            self._end_if_dead(first)
        return not trained_runs(runs.finished)

    def _create(self, planned: Planned, more_tags: Mapping[str, str]) -> str:
        tags = {
            PARENT: self.parent,
            KIND: "replicate",
            **origin_tags(),
            **self.tracker.leases.new_tags(),
            KEY: planned.key,
            DATASET_VERSION: self.version,
            CELL: planned.cell,
            stage_tag(planned.stage): "true",
            # Tags, not params: MLflow's compare page draws the first params that differ.
            **{f"{PREFIX}coded.{k}": show(level) for k, level in planned.coded.items()},
            **more_tags,
        }
        client = self.tracker.client
        run = client.create_run(self.experiment, tags=tags, run_name=planned.short_name)
        return str(run.info.run_id)

    # -- ending a run ---------------------------------------------------------------------------

    def end(self, run_id: str, status: str, reason: str = "") -> None:
        """End a replicate's run.

        Parameters
        ----------
        status : MLflow's: ``FINISHED``, ``FAILED`` or ``KILLED``.
        reason : why it did not finish; shown in the run's description.
        """
        if reason:
            text = reason[:REASON_LENGTH]
            note = as_markdown_lines(text)
            self._writer.log(run_id, tags={STATUS: text, "mlflow.note.content": note})
        self.tracker.client.set_terminated(run_id, status)
        self.tracker.leases.stop_heartbeat(run_id)

    def finish(self, run_id: str) -> None:
        """End a replicate's run as FINISHED, unless another process has taken it over.

        Raises
        ------
        LeaseLostError
            If another process took the replicate over meanwhile: it is trained there, and the
            result of this process does not count.
        """
        client, leases = self.tracker.client, self.tracker.leases
        run = client.get_run(run_id)
        is_held = leases.is_held(run) and run.info.status == "RUNNING"
        is_kept = is_held and self._decide(run_id, RESULT_KEPT)
        if is_kept:
            client.set_terminated(run_id, "FINISHED")
        leases.stop_heartbeat(run_id)
        if not is_kept:
            raise LeaseLostError(f"run {run_id}: another process took it over")

    def end_died(self, run_id: str, error: SlotDiedError) -> None:
        """End the run of an attempt whose training process died, with how it died."""
        memory = {"peak_memory_mb": error.peak_memory_mb} if error.peak_memory_mb else {}
        self._writer.log(run_id, metrics=memory, tags={DIED: error.cause})
        self.end(run_id, "FAILED", str(error))

    def end_cut_off(self, key: str | None = None) -> None:
        """End the runs below the parent whose process died: MLflow itself never ends them.

        Call it only if no process that trains them can be alive.

        Parameters
        ----------
        key : only the runs of this replicate; by default all.
        """
        condition = f"tags.`{PARENT}` = '{self.parent}' and attributes.status = 'RUNNING'"
        if key is not None:
            condition += f" and tags.`{KEY}` = '{key}'"
        for run in self.tracker.search([self.experiment], condition):
            self._end_as_cut_off(run)

    def _end_if_dead(self, run: Any) -> None:
        """Watch a run of another machine, and end it if its process is dead."""
        leases = self.tracker.leases
        if leases.observe(run) == "dead" and leases.take_over(run.info.run_id):
            self._end_as_cut_off(run)

    def _end_as_cut_off(self, run: Any) -> None:
        """End a run without its process, as FINISHED if that decided to keep its result."""
        run_id, client = str(run.info.run_id), self.tracker.client
        if not self._decide(run_id, RESULT_DISCARDED):
            client.set_terminated(run_id, "FINISHED")  # everything else was logged before
            return
        tags = {HOLDER: self.tracker.leases.holder, STATUS: "cut off"}
        self._writer.log(run_id, tags=tags)
        client.set_terminated(run_id, "KILLED")

    def _decide(self, run_id: str, decision: str) -> bool:
        """Decide whether a run's result is kept, unless another process has decided it.

        Returns
        -------
        Whether this is the decision. MLflow never changes the value of a param, so of several
        processes the first one decides, and all of them get the same answer.
        """
        from mlflow.exceptions import MlflowException

        client = self.tracker.client
        try:
            client.log_param(run_id, RESULT, decision, synchronous=True)
        except MlflowException:
            decided = client.get_run(run_id).data.params.get(RESULT)
            if decided is None:  # refused for another reason
                raise
            return bool(decided == decision)
        return True


def trained_runs(runs: Sequence[Any]) -> list[Any]:
    """Return the runs that were trained, without those that repeat another run's figures."""
    return [run for run in runs if REUSED_FROM not in run.data.tags]


def replicate_params(planned: Planned) -> dict[str, object]:
    """Return a replicate's params: each factor once, under its own name, and all fixed settings."""
    spec = planned.spec
    fixed = {f"training.{k}": v for k, v in spec.to_dict()["training"].items()}
    fixed |= {f"model.{k}": v for k, v in spec.model.settings.items()}
    factors = {f"{table}.{name}" for name in planned.levels for table in ("training", "model")}
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
