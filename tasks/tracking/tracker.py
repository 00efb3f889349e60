"""The connection to MLflow: experiments, search, and reading runs and artifacts.

Run ids are always explicit: MLflow's active run belongs to a thread, and Prefect copies context
variables into its threads, so that nested active runs lose their parents.
"""

import datetime as dt
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from tasks.errors import TrackingError
from tasks.settings import Settings
from tasks.tracking.artifact_paths import as_path_name
from tasks.tracking.database_schema import is_missing_file, refuse_other_schema
from tasks.tracking.leases import Leases
from tasks.tracking.retry import Notify, RetryingClient, RetryPolicy, print_notice, temporary_reason
from tasks.tracking.run_writer import RunWriter, origin_tags
from tasks.tracking.tags import BROKEN, KIND, PARENT, PREFIX, REUSED_FROM

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass
class Tracker:
    """A tracking server or database; every method is safe from any thread.

    Attributes
    ----------
    client : MLflow's client, which waits for an unreachable server.
    leases : the runs that this process holds.
    """

    settings: Settings
    client: RetryingClient = field(repr=False)
    leases: Leases = field(repr=False)

    @classmethod
    def open(
        cls, settings: Settings, *, create: bool = True, notify: Notify = print_notice
    ) -> "Tracker":
        """Connect to the server or the local database.

        Parameters
        ----------
        settings : where MLflow is.
        create : whether a local database that is missing is created; otherwise it is an error.
        notify : called when the server becomes unreachable and when it answers again; see
            `RetryPolicy`.

        Raises
        ------
        TrackingError
            If the server or database does not exist or is not MLflow's, or the database's schema
            is of another version.
        """
        if not create and is_missing_file(settings.tracking_uri):
            raise TrackingError(
                f"MLflow at {settings.tracking_uri}: no such database; run `factorgrid search` "
                "first, or set FACTORGRID_HOME or MLFLOW_TRACKING_URI to where it is"
            )
        policy = RetryPolicy(settings.tracking_uri, settings.retry_minutes, notify)
        client = RetryingClient(connect_to_mlflow(settings), policy)
        return cls(settings, client, Leases(client, settings.locks, settings.heartbeat_seconds))

    @property
    def writer(self) -> RunWriter:
        """Writes to this server's runs."""
        return RunWriter(self.client)

    def notify(self, line: str) -> None:
        """Print a line where the server's state is reported."""
        self.client.retry_policy.notify(line, "")

    # -- experiments ----------------------------------------------------------------------------

    def experiment(self, name: str) -> str:
        """Return an experiment's id; create the experiment if it is missing."""
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        local = self.settings.tracking_uri.startswith(("sqlite:", "postgresql"))
        # Without a location, MLflow would store the artifacts below the current folder.
        location = (self.settings.artifacts / as_path_name(name)).as_uri() if local else None
        try:
            # Without the kind, MLflow's page asks whether the experiment is about language models.
            kind = {"mlflow.experimentKind": "custom_model_development"}
            return str(self.client.create_experiment(name, location, kind))
        except MlflowException:
            return self.experiment(name)  # another process created it in between

    def existing_experiment(self, name: str) -> str:
        """Return an experiment's id.

        Raises
        ------
        TrackingError
            If there is no experiment of that name; the message lists those that exist.
        """
        found = self.client.get_experiment_by_name(name)
        if found is None:
            names = [e.name for e in self.experiments() if e.name != "Default"]
            raise TrackingError(
                f"experiment {name!r}: not at {self.settings.tracking_uri}; "
                f"there are: {', '.join(names) or 'none'}"
            )
        return str(found.experiment_id)

    def experiments(self) -> list[Any]:
        """Return all experiments that are not deleted."""
        return self.client.all_pages("search_experiments")

    def log_validation(
        self, experiment: str, counts: Mapping[str, float], tags: Mapping[str, str], folder: Path
    ) -> str:
        """Log a validation as a run, which is FAILED if the images did not pass; return its id.

        Parameters
        ----------
        experiment : its name; created if it is missing.
        counts : metrics of the dataset.
        tags : the dataset version, and the rules that were broken, as text; empty if it passed.
        folder : its artifacts: results, reasons, the metadata table, Data Docs.
        """
        now = dt.datetime.now(tz=dt.UTC)
        run = self.client.create_run(
            self.experiment(experiment),
            tags={
                KIND: "validation",
                **origin_tags("factorgrid validate"),
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
        """Return the runs that match a filter, newest first.

        Parameters
        ----------
        experiments : their ids.
        condition : in MLflow's filter language.
        limit : at most this many runs; 0 for all.
        """
        if limit:
            return list(self.client.search_runs(list(experiments), condition, max_results=limit))
        return self.client.all_pages("search_runs", list(experiments), condition)

    def children(self, run_id: str, experiment: str) -> list[Any]:
        """Return the nested runs of an execution, oldest first."""
        return self.search([experiment], f"tags.`{PARENT}` = '{run_id}'")[::-1]

    def last_execution(self, experiment: str) -> Any:
        """Return the newest parent run of an experiment.

        Raises
        ------
        TrackingError
            If it has no parent run of a study.
        """
        runs = self.search([experiment], f"tags.`{KIND}` = 'study'", limit=1)
        if not runs:
            raise TrackingError(
                f"experiment {experiment}: no study was run in it; run `factorgrid search` first"
            )
        return runs[0]

    def read_json(self, run_id: str, path: str) -> Any:
        """Return the content of a JSON artifact; None if the run has no such artifact."""
        content = self.read(run_id, path)
        return None if content is None else json.loads(content)

    def read(self, run_id: str, path: str) -> bytes | None:
        """Return an artifact's bytes; None if the run has no such artifact."""
        listed = self.client.list_artifacts(run_id, path.rpartition("/")[0] or None)
        if path not in {item.path for item in listed}:
            return None
        with tempfile.TemporaryDirectory() as folder:
            return Path(self.client.download_artifacts(run_id, path, folder)).read_bytes()

    def artifact(self, run_id: str, path: str, folder: Path) -> Path:
        """Download a replicate's artifact; a run that was reused has it in the original run."""
        run = self.client.get_run(run_id)
        source = run.data.tags.get(REUSED_FROM, run_id)
        folder.mkdir(parents=True, exist_ok=True)
        return Path(self.client.download_artifacts(source, path, str(folder)))

    # -- deleting -------------------------------------------------------------------------------

    def delete_run(self, run_id: str) -> None:
        """Delete a run and its artifacts.

        MLflow keeps the database rows of a deleted run until ``mlflow gc`` and can restore them;
        the artifacts are deleted immediately.
        """
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        run = self.client.get_run(run_id)
        repository = get_artifact_repository(
            run.info.artifact_uri, tracking_uri=self.settings.tracking_uri
        )
        if repository.list_artifacts():
            repository.delete_artifacts()
        self.client.set_tag(run_id, PREFIX + "pruned", "true")
        self.client.delete_run(run_id)


def connect_to_mlflow(settings: Settings) -> "MlflowClient":
    """Connect to MLflow; create the local database if it is missing.

    Several processes that create a database at once would all migrate it, and all but one would
    fail: a lock of the home lets one at a time do it.

    Raises
    ------
    TrackingError
        If the server or database does not exist or is not MLflow's, or the database's schema is
        of another version.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    settings.home.mkdir(parents=True, exist_ok=True)
    # `RetryPolicy` retries instead of MLflow: a server that cannot be reached is reported
    # immediately here, and waited for in all later calls.
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    try:
        with FileLock(settings.home / "mlflow.lock"):
            refuse_other_schema(settings.tracking_uri)
            client = MlflowClient(settings.tracking_uri, registry_uri=settings.tracking_uri)
            client.search_experiments(max_results=1)
    except (MlflowException, OSError, SQLAlchemyError) as error:
        raise TrackingError(
            f"MLflow at {settings.tracking_uri}: {_first_line(error)}; start it, or correct "
            "MLFLOW_TRACKING_URI (unset it to use a local database)"
        ) from error
    return client


def _first_line(error: Exception) -> str:
    """Return why connecting failed, in one line of at most 200 characters."""
    return temporary_reason(error) or str(error).strip().splitlines()[0][:200]
