"""Settings from environment variables: where state is stored and where replicates are trained.

Import this before the libraries that `tasks.environment` configures; it imports none of them.

=============================  ==================================================================
variable                       meaning
=============================  ==================================================================
``FACTORGRID_HOME``            the folder of all state; default ``./.factorgrid``
``FACTORGRID_PATIENCE``        minutes to wait for an unreachable MLflow server; default 30
``FACTORGRID_HEARTBEAT``       seconds between heartbeats of a run in training; default 20
``FACTORGRID_RUNNER``          ``threads`` (this machine, the default), ``dask`` or ``ray``
``FACTORGRID_RUNNER_ADDRESS``  of the Dask scheduler or the Ray cluster; by default one is started
``FACTORGRID_SHARE``           a bucket or folder from which a cluster's workers fetch the images
``FACTORGRID_LOG``             ``json`` writes events as JSON lines; see `tasks.logs`
``FACTORGRID_LOCKS``           the folder of device locks; see `tasks.training.device_locks`
``FACTORGRID_BUILDERS``        folders of trusted networks; see `tasks.study.custom_network`
``FACTORGRID_DATABASE``        the database of ``factorgrid up``; see `flows.commands.service`
``MLFLOW_TRACKING_URI``        MLflow's server or database; default SQLite in the home
``PREFECT_API_URL``            Prefect's server; by default each study starts its own
``PREFECT_HOME``               Prefect's state; default ``prefect`` in the home
=============================  ==================================================================
"""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tasks.errors import SettingError
from tasks.redaction import without_password


@dataclass(frozen=True)
class Settings:
    """Where state is stored and where replicates are trained.

    Attributes
    ----------
    home : the folder of everything that FactorGrid writes.
    tracking_uri : the address of MLflow's server or database.
    retry_minutes : how long to wait for an unreachable MLflow server.
    heartbeat_seconds : between two heartbeats of a run in training; other machines take the run
        for dead after 4.5 intervals without a heartbeat.
    runner : where replicates are trained: ``threads`` (this machine), ``dask`` or ``ray``.
    runner_address : of the Dask scheduler or the Ray cluster; empty to start one.
    share : a bucket, or a folder in one, from which workers of a cluster fetch the images if they
        cannot see the home; empty if all machines share the home.
    """

    home: Path
    tracking_uri: str
    retry_minutes: float = 30
    heartbeat_seconds: float = 20
    runner: str = "threads"
    runner_address: str = ""
    share: str = ""

    @property
    def cache(self) -> Path:
        """Decoded images, one folder per dataset version and image size."""
        return self.home / "cache"

    @property
    def unpacked(self) -> Path:
        """Archives that were inside archives, and copies of objects of a store."""
        return self.home / "unpacked"

    @property
    def metadata(self) -> Path:
        """The database of what is known about images from earlier validations."""
        return self.home / "metadata.db"

    @property
    def validation(self) -> Path:
        """Data Docs of the last validation, one folder per source."""
        return self.home / "validation"

    @property
    def artifacts(self) -> Path:
        """MLflow's artifacts, if no server stores them."""
        return self.home / "artifacts"

    @property
    def work(self) -> Path:
        """Files of replicates before they are logged to MLflow."""
        return self.home / "work"

    @property
    def compiled(self) -> Path:
        """JAX's cache of compilations for GPUs; it may be deleted at any time."""
        return self.home / "compiled"

    @property
    def locks(self) -> Path:
        """Lock files, for example one per replicate in training; see `tasks.tracking.leases`."""
        return self.home / "locks"

    def create(self) -> "Settings":
        """Create the home and Prefect's folder, which Prefect's temporary server needs."""
        prefect = Path(os.environ.get("PREFECT_HOME") or self.home / "prefect")
        for folder in (self.home, prefect):
            folder.mkdir(parents=True, exist_ok=True)
        return self


def read_settings() -> Settings:
    """Read the environment; nothing is created.

    Raises
    ------
    SettingError
        If a variable is not a positive number, or the share's address is relative or has a
        password.
    """
    home = Path(os.environ.get("FACTORGRID_HOME", ".factorgrid")).expanduser().absolute()
    # MLflow accepts SQLite addresses with absolute paths only.
    default = f"sqlite:///{home / 'mlflow.db'}"
    return Settings(
        home,
        os.environ.get("MLFLOW_TRACKING_URI") or default,
        _positive_number("FACTORGRID_PATIENCE", "minutes", Settings.retry_minutes),
        _positive_number("FACTORGRID_HEARTBEAT", "seconds", Settings.heartbeat_seconds),
        os.environ.get("FACTORGRID_RUNNER") or "threads",
        os.environ.get("FACTORGRID_RUNNER_ADDRESS") or "",
        _share_address(os.environ.get("FACTORGRID_SHARE") or ""),
    )


def _share_address(given: str) -> str:
    if given and "://" not in given and not given.startswith("/"):
        raise SettingError(
            f"FACTORGRID_SHARE={given}: neither a URL nor an absolute path; give one of them, for "
            "example s3://bucket/share"
        )
    if urlsplit(given).password is not None:
        raise SettingError(
            f"FACTORGRID_SHARE={without_password(given)}: has a password; give credentials in the "
            "environment variables that the store's package reads"
        )
    return given.rstrip("/")


def _positive_number(name: str, unit: str, default: float) -> float:
    given = os.environ.get(name)
    try:
        value = float(given or default)
    except ValueError:
        value = -1
    if not 0 < value < float("inf"):
        raise SettingError(
            f"{name}={given}: a number of {unit} above 0 is required; correct it, or unset it for "
            f"{default:g}"
        )
    return value
