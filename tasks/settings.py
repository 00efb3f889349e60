"""Where things are kept, and how quiet the libraries are: environment only, decided once.

Import this before any library it quiets; it imports none of them.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tasks.errors import SettingError
from tasks.redaction import without_password


@dataclass(frozen=True)
class Settings:
    """Where a user's state lives.

    Attributes
    ----------
    home : everything FactorGrid writes (``FACTORGRID_HOME``, default ``./.factorgrid``).
    tracking_uri : MLflow's server or database (``MLFLOW_TRACKING_URI``, default SQLite in `home`).
    patience_minutes : how long it is waited for when it is away (``FACTORGRID_PATIENCE``).
    heartbeat_seconds : between two signs of life of a run in training
        (``FACTORGRID_HEARTBEAT``); other machines take it for dead after 4.5 of them.
    runner : where replicates train: ``threads`` (this machine), ``dask`` or ``ray``
        (``FACTORGRID_RUNNER``).
    address : of the Dask scheduler or the Ray cluster (``FACTORGRID_RUNNER_ADDRESS``).
    share : a bucket, or a folder in one, from which workers there bring the pictures that they do
        not see under the home (``FACTORGRID_SHARE``); empty where all machines share the home.
    """

    home: Path
    tracking_uri: str
    patience_minutes: float = 30
    heartbeat_seconds: float = 20
    runner: str = "threads"
    address: str = ""
    share: str = ""

    @property
    def cache(self) -> Path:
        """Decoded images, one folder a dataset version and size."""
        return self.home / "cache"

    @property
    def unpacked(self) -> Path:
        """Archives that were inside archives."""
        return self.home / "unpacked"

    @property
    def metadata(self) -> Path:
        """What is known of pictures from earlier passes."""
        return self.home / "metadata.db"

    @property
    def validation(self) -> Path:
        """Data Docs of the last validation, one folder a source."""
        return self.home / "validation"

    @property
    def artifacts(self) -> Path:
        """What MLflow stores beside its database, where no server stores it."""
        return self.home / "artifacts"

    @property
    def work(self) -> Path:
        """What replicates write before MLflow has it."""
        return self.home / "work"

    @property
    def compiled(self) -> Path:
        """What JAX compiled for GPUs; may be deleted at any time."""
        return self.home / "compiled"

    def create(self) -> "Settings":
        """Create the home; Prefect's temporary server needs its own folder to be there."""
        prefect = Path(os.environ.get("PREFECT_HOME") or self.home / "prefect")
        for folder in (self.home, prefect):
            folder.mkdir(parents=True, exist_ok=True)
        return self

    @property
    def locks(self) -> Path:
        """One file a replicate in training on this machine: it is freed when its holder dies."""
        return self.home / "locks"


def read_settings() -> Settings:
    """Read the environment; nothing is created.

    Raises
    ------
    SettingError
        If a number is none, or the share's address is relative or has a password.
    """
    home = Path(os.environ.get("FACTORGRID_HOME", ".factorgrid")).expanduser().absolute()
    # MLflow takes SQLite addresses with absolute paths only.
    default = f"sqlite:///{home / 'mlflow.db'}"
    return Settings(
        home,
        os.environ.get("MLFLOW_TRACKING_URI") or default,
        _number("FACTORGRID_PATIENCE", "minutes", Settings.patience_minutes),
        _number("FACTORGRID_HEARTBEAT", "seconds", Settings.heartbeat_seconds),
        os.environ.get("FACTORGRID_RUNNER") or "threads",
        os.environ.get("FACTORGRID_RUNNER_ADDRESS") or "",
        _share(os.environ.get("FACTORGRID_SHARE") or ""),
    )


def _share(given: str) -> str:
    if given and "://" not in given and not given.startswith("/"):
        raise SettingError(
            f"FACTORGRID_SHARE={given}: neither a URL (s3://bucket/share) nor an absolute path"
        )
    if urlsplit(given).password is not None:
        raise SettingError(
            f"FACTORGRID_SHARE={without_password(given)}: has a password; give credentials in the "
            "environment, as the store's package reads them"
        )
    return given.rstrip("/")


def _number(name: str, unit: str, default: float) -> float:
    given = os.environ.get(name)
    try:
        value = float(given or default)
    except ValueError:
        value = -1
    if not 0 < value < float("inf"):
        raise SettingError(f"{name}={given}: a number of {unit} above zero is wanted")
    return value
