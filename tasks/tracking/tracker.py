"""The connection to MLflow: experiments, search, and reading runs and artifacts.

Run ids are always explicit: MLflow's active run belongs to a thread, and Prefect copies context
variables into its threads, so that nested active runs lose their parents.
"""

import datetime as dt
import itertools
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from filelock import FileLock

from tasks.errors import RetryableError, TrackingError, file_fault
from tasks.redaction import without_password
from tasks.settings import Settings
from tasks.tracking.artifact_paths import as_path_name
from tasks.tracking.database_schema import refuse_read_only
from tasks.tracking.leases import Leases
from tasks.tracking.local_database import is_missing
from tasks.tracking.prepare_database import CREATION_LOCK, prepare_database
from tasks.tracking.retry import (
    INCOMPLETE,
    INTERRUPTED,
    Notify,
    RetryingClient,
    RetryPolicy,
    check_server,
    database_remedy,
    limit_timeout,
    print_notice,
    temporary_reason,
)
from tasks.tracking.run_writer import RunWriter, origin_tags
from tasks.tracking.tags import BROKEN, KIND, PARENT, PREFIX, REUSED_FROM

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: How often an artifact is requested that is listed, but that MLflow cannot download.
DOWNLOADS = 8
#: The kinds of addresses under which MLflow stores runs and models; plain folders no longer are.
SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks")


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
            is of another version, or it is to be written and is read-only.
        """
        _check_address(settings.tracking_uri)
        if not create and is_missing(settings.tracking_uri):
            raise TrackingError(
                f"MLflow at {settings.tracking_uri}: no such database; run `factorgrid search` "
                "first, or set FACTORGRID_HOME or MLFLOW_TRACKING_URI to where it is"
            )
        if create:
            refuse_read_only(settings.tracking_uri)
        policy = RetryPolicy(settings.tracking_uri, settings.retry_minutes, notify)
        client = RetryingClient(connect_to_mlflow(settings, notify), policy)
        return cls(settings, client, Leases(client, settings.locks, settings.heartbeat_seconds))

    @property
    def writer(self) -> RunWriter:
        """Writes to this server's runs."""
        return RunWriter(self.client)

    def notify(self, line: str) -> None:
        """Print a line where the server's state is reported."""
        self.client.retry_policy.notify(line, "")

    # -- experiments ----------------------------------------------------------------------------

    def find_experiment(self, name: str) -> Any:
        """Return an experiment; None if there is none of that name.

        Raises
        ------
        TrackingError
            If it was deleted: MLflow keeps it and its name, and accepts no runs for it.
        """
        found = self.client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "deleted":
            raise TrackingError(
                f"experiment {name!r}: deleted in MLflow at {self.settings.tracking_uri}; restore "
                f"it with `mlflow experiments restore --experiment-id {found.experiment_id}` "
                "(MLFLOW_TRACKING_URI set to that address), or use another name"
            )
        return found

    def experiment(self, name: str, description: str = "") -> str:
        """Return an experiment's id; create the experiment if it is missing.

        Parameters
        ----------
        name : of the experiment.
        description : in Markdown, of an experiment that is created.

        Raises
        ------
        TrackingError
            If it was deleted.
        """
        from mlflow.exceptions import MlflowException

        found = self.find_experiment(name)
        if found is not None:
            return str(found.experiment_id)
        local = self.settings.tracking_uri.startswith(("sqlite:", "postgresql"))
        # Without a location, MLflow would store the artifacts below the current folder.
        location = (self.settings.artifacts / as_path_name(name)).as_uri() if local else None
        try:
            # Without the kind, MLflow's page asks whether the experiment is about language models.
            tags = {"mlflow.experimentKind": "custom_model_development"}
            if description:
                tags["mlflow.note.content"] = description
            return str(self.client.create_experiment(name, location, tags))
        except MlflowException:
            return self.experiment(name)  # another process created it in between

    def existing_experiment(self, name: str) -> str:
        """Return an experiment's id.

        Raises
        ------
        TrackingError
            If it was deleted, or there is none of that name; the message lists those that exist.
        """
        found = self.find_experiment(name)
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
        about = "Validations of images by FactorGrid: one run per validation."
        run = self.client.create_run(
            self.experiment(experiment, about),
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
        with tempfile.TemporaryDirectory() as folder:
            file = self._download(run_id, path, Path(folder))
            return None if file is None else file.read_bytes()

    def trained_by(self, run_id: str) -> str:
        """Return the run that trained the network of a replicate: itself, or the one it reuses."""
        original: str = self.client.get_run(run_id).data.tags.get(REUSED_FROM, run_id)
        return original

    def artifact(self, run_id: str, path: str, folder: Path) -> Path:
        """Download a replicate's artifact; a run that was reused has it in the original run.

        Raises
        ------
        TrackingError
            If the run has no such artifact.
        """
        source = self.trained_by(run_id)
        folder.mkdir(parents=True, exist_ok=True)
        file = self._download(source, path, folder)
        if file is None:
            raise TrackingError(
                f"run {source}: has no artifact {path} at "
                f"{without_password(self.settings.tracking_uri)}; restore it there, or delete the "
                "run, so that the replicate is trained again"
            )
        return file

    def _download(self, run_id: str, path: str, folder: Path) -> Path | None:
        """Download an artifact completely; None if the run has no such artifact."""
        from mlflow.exceptions import MlflowException

        listed = self.client.list_artifacts(run_id, path.rpartition("/")[0] or None)
        sizes = {item.path: item.file_size for item in listed}
        if path not in sizes:
            return None

        failures = itertools.count(1)

        def download() -> Path:
            try:
                file = Path(self.client.mlflow_client.download_artifacts(run_id, path, str(folder)))
            except MlflowException as error:
                if temporary_reason(error) is not None:
                    raise
                # MLflow reports a broken connection like an artifact that does not exist, but this
                # one was just listed.
                if next(failures) < DOWNLOADS:
                    raise RetryableError(INTERRUPTED) from error
                raise TrackingError(
                    f"run {run_id}: its artifact {path} is listed at "
                    f"{without_password(self.settings.tracking_uri)}, but cannot be downloaded "
                    f"({_first_line(error)}); check the server's log and its store of artifacts, "
                    "then run the same command again"
                ) from error
            # A connection that breaks may look like the end of the file.
            if sizes[path] is not None and file.stat().st_size != sizes[path]:
                raise RetryableError(INCOMPLETE)
            return file

        return self.client.retry_policy.call(download)

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


def connect_to_mlflow(settings: Settings, notify: Notify = print_notice) -> "MlflowClient":
    """Connect to MLflow; create the local database if it is missing.

    If the home was moved or copied, the addresses in its database are corrected, with a notice.

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

    # `RetryPolicy` retries instead of MLflow: a server that cannot be reached is reported
    # immediately here, and waited for in all later calls.
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    limit_timeout(60 * settings.retry_minutes)
    try:
        with _creation_lock(settings):
            for old in prepare_database(settings, settings.tracking_uri):
                notify(f"artifacts of {old} are now read and written in {settings.artifacts}", "")
            client = MlflowClient(settings.tracking_uri, registry_uri=settings.tracking_uri)
            check_server(client)
    except ImportError as error:
        raise TrackingError(
            f"MLflow at {without_password(settings.tracking_uri)}: the driver of this kind of "
            f"database is not installed ({error}); install it, or correct MLFLOW_TRACKING_URI "
            "(unset it to use a local database)"
        ) from error
    except (MlflowException, OSError, SQLAlchemyError) as error:
        if fault := file_fault(error):
            raise TrackingError(fault) from error
        message = _first_line(error)
        remedy = database_remedy(message) or (
            "start it, or correct MLFLOW_TRACKING_URI (unset it to use a local database)"
        )
        raise TrackingError(
            f"MLflow at {without_password(settings.tracking_uri)}: {message}; {remedy}"
        ) from error
    return client


def _check_address(uri: str) -> None:
    try:
        scheme = urlsplit(uri).scheme.partition("+")[0] or uri
    except ValueError:
        scheme = ""
    # A database in memory ends with each process.
    in_memory = uri in ("sqlite:", "sqlite://", "sqlite:///", "sqlite:///:memory:")
    if scheme not in SCHEMES or in_memory:
        raise TrackingError(
            f"MLFLOW_TRACKING_URI {without_password(uri)}: not the address of an MLflow server "
            "(http://host:5000) or database (sqlite:////folder/mlflow.db, "
            "postgresql://user@host/name); correct it, or unset it to use a local database"
        )


def _creation_lock(settings: Settings) -> AbstractContextManager[object]:
    """Return the lock under which a database is created; none where nothing is created."""
    is_server = settings.tracking_uri.startswith("http")
    is_read_only = settings.home.exists() and not os.access(settings.home, os.W_OK)
    if is_server or (is_read_only and not is_missing(settings.tracking_uri)):
        return nullcontext()
    return FileLock(settings.create().home / CREATION_LOCK)


def _first_line(error: Exception) -> str:
    """Return why connecting failed, in one line of at most 200 characters."""
    return temporary_reason(error) or str(error).strip().splitlines()[0][:200]
