"""MLflow, the memory: the only module that talks to the tracking server.

Run ids are explicit everywhere: MLflow's active run is per thread, and Prefect copies context
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
from tasks.tracking.artifact_paths import slug
from tasks.tracking.database_schema import is_to_come, refuse_another_schema
from tasks.tracking.leases import Leases
from tasks.tracking.retry import Notify, RetryingClient, RetryPolicy, print_notice, why_unreachable
from tasks.tracking.run_writer import origin_tags
from tasks.tracking.tags import (
    BROKEN,
    KIND,
    PARENT,
    PREFIX,
    REUSED_FROM,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass
class Tracker:
    """A tracking server; every method is safe from any thread."""

    settings: Settings
    client: RetryingClient = field(repr=False)
    claims: Leases = field(repr=False)

    @classmethod
    def open(
        cls, settings: Settings, *, create: bool = True, tell: Notify = print_notice
    ) -> "Tracker":
        """Connect to the server or the local database.

        Parameters
        ----------
        settings : where MLflow is.
        create : whether a local database that is missing is created, or is an error.
        tell : gets a line when the server goes away and when it is back; see `RetryPolicy`.

        Raises
        ------
        TrackingError
            If the server or database is not there or not MLflow's, or the database's schema is
            another version's.
        """
        if not create and is_to_come(settings.tracking_uri):
            raise TrackingError(
                f"MLflow at {settings.tracking_uri}: no such database; run `factorgrid search` "
                "first, or set FACTORGRID_HOME or MLFLOW_TRACKING_URI to where it is"
            )
        client = create_database(settings)
        patience = RetryPolicy(settings.tracking_uri, settings.patience_minutes, tell)
        patient = RetryingClient(client, patience)
        return cls(settings, patient, Leases(patient, settings.locks, settings.heartbeat_seconds))

    # -- experiments and executions -------------------------------------------------------------

    def experiment(self, name: str) -> str:
        """Return an experiment's id, created where it is missing."""
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        local = self.settings.tracking_uri.startswith(("sqlite:", "postgresql"))
        # A database without a server stores artifacts below the current folder unless told where.
        location = (self.settings.artifacts / slug(name)).as_uri() if local else None
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


def _in_short(error: Exception) -> str:
    return why_unreachable(error) or str(error).strip().splitlines()[0][:200]


def create_database(settings: Settings) -> "MlflowClient":
    """Connect to MLflow, creating a local database that is missing.

    Four processes that create a database at once would all migrate it, and three would fail: one
    lock of the home lets one at a time.

    Raises
    ------
    TrackingError
        If the server or database is not there or not MLflow's, or the database's schema is
        another version's.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

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
    return client
