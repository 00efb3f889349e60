"""Settings from environment variables: where state is stored and where replicates are trained.

Import this before the libraries that `tasks.environment` configures; it imports none of them.

=============================  ==================================================================
variable                       meaning
=============================  ==================================================================
``FACTORGRID_HOME``            the folder of all state; default ``./.factorgrid``
``FACTORGRID_PATIENCE``        minutes to wait for an unreachable MLflow server; default 30
``FACTORGRID_HEARTBEAT``       seconds between heartbeats of a run in training; default 20
``FACTORGRID_SILENCE``         minutes for which a training may report no epoch; default 60
``FACTORGRID_RUNNER``          ``threads`` (this machine, the default), ``dask`` or ``ray``
``FACTORGRID_RUNNER_ADDRESS``  of the Dask scheduler or the Ray cluster; by default one is started
``FACTORGRID_SHARE``           a bucket or folder from which a cluster's workers fetch the images
``FACTORGRID_LOG``             ``json`` writes events as JSON lines; see `tasks.logs`
``FACTORGRID_LOCKS``           the folder of device locks; see `tasks.training.device_locks`
``FACTORGRID_BUILDERS``        folders of trusted networks; see `tasks.study.custom_network`
``FACTORGRID_SIGNED_URLS``     signed addresses of pictures, with spaces between them
``FACTORGRID_FOLDERS``         what deployments may use; see `tasks.data.allowed_folders`
``FACTORGRID_DATABASE``        the database of ``factorgrid up``; see `flows.commands.service`
``MLFLOW_TRACKING_URI``        MLflow's server or database; default SQLite in the home
``PREFECT_API_URL``            Prefect's server; by default each study starts its own
``PREFECT_HOME``               Prefect's state; default ``prefect`` in the home
=============================  ==================================================================
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import SettingError
from tasks.escaping import UNSAFE
from tasks.redaction import has_secret, without_password


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
    silence_minutes : for which a training process may report no epoch before it is ended; 20 times
        its longest epoch so far is always allowed.
    runner : where replicates are trained: ``threads`` (this machine), ``dask`` or ``ray``.
    runner_address : of the Dask scheduler or the Ray cluster; empty to start one.
    share : a bucket, or a folder in one, from which workers of a cluster fetch the images if they
        cannot see the home; empty if all machines share the home.
    """

    home: Path
    tracking_uri: str
    retry_minutes: float = 30
    heartbeat_seconds: float = 20
    silence_minutes: float = 60
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
    def logs(self) -> Path:
        """Log files of the servers, which run in this folder: it has no Python files."""
        return self.home / "logs"

    @property
    def locks(self) -> Path:
        """Lock files, for example one per replicate in training; see `tasks.tracking.leases`."""
        return self.home / "locks"

    def create(self) -> "Settings":
        """Create the home, its logs, and Prefect's folder, which Prefect's server needs.

        Raises
        ------
        SettingError
            If a folder cannot be created or written.
        """
        prefect = Path(os.environ.get("PREFECT_HOME") or self.home / "prefect").absolute()
        folders = {"FACTORGRID_HOME": self.home, "PREFECT_HOME": prefect}
        for name, folder in folders.items():
            _create_folder(name, folder)
        if self.artifacts.exists():
            _create_folder("FACTORGRID_HOME", self.artifacts)
        self.logs.mkdir(exist_ok=True)
        return self


def read_settings() -> Settings:
    """Read the environment; nothing is created.

    Raises
    ------
    SettingError
        If a variable is not a positive number, if the home's path cannot be part of an address, or
        if the share's address is relative or has a password.
    """
    home = _home_folder(os.environ.get("FACTORGRID_HOME") or ".factorgrid")
    default = f"sqlite:///{home / 'mlflow.db'}"
    return Settings(
        home,
        _absolute_database(os.environ.get("MLFLOW_TRACKING_URI") or default),
        _positive_number("FACTORGRID_PATIENCE", "minutes", Settings.retry_minutes),
        _positive_number("FACTORGRID_HEARTBEAT", "seconds", Settings.heartbeat_seconds),
        _positive_number("FACTORGRID_SILENCE", "minutes", Settings.silence_minutes),
        os.environ.get("FACTORGRID_RUNNER") or "threads",
        os.environ.get("FACTORGRID_RUNNER_ADDRESS") or "",
        _share_address(os.environ.get("FACTORGRID_SHARE") or ""),
    )


def _home_folder(given: str) -> Path:
    try:
        home = Path(given).expanduser().absolute()
    except RuntimeError:  # a user that does not exist, such as ~nobody2
        home = Path(given).absolute()
    # The addresses of its databases and artifacts have its path, which such a character ends.
    if "?" in str(home) or "#" in str(home) or UNSAFE.search(str(home)):
        raise SettingError(
            f"FACTORGRID_HOME={str(home)!r}: a path with ?, # or a control character cannot be "
            "part of a database's address; set it to another folder"
        )
    return home


def _create_folder(name: str, folder: Path) -> None:
    """Create a folder that an environment variable names, unless it exists, and try to write.

    A new one is for its user only: a home has passwords and pictures.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # For root and on network disks, the permissions do not tell whether a folder is writable.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        is_file = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "a file is there" if is_file else error.strerror
        raise SettingError(
            f"{folder}: cannot be created or written ({reason}); set {name} to a folder that you "
            "can write to"
        ) from error


def _absolute_database(uri: str) -> str:
    """Return the address of an SQLite file with its absolute path: servers run in other folders."""
    prefix = "sqlite:///"
    path = uri.removeprefix(prefix)
    if path == uri or not path or path.startswith(("/", ":memory:", "file:")):
        return uri
    return f"{prefix}{Path(path).absolute()}"


def _share_address(given: str) -> str:
    if given and "://" not in given and not given.startswith("/"):
        raise SettingError(
            f"FACTORGRID_SHARE={given}: neither a URL nor an absolute path; give one of them, for "
            "example s3://bucket/share"
        )
    if has_secret(given):
        raise SettingError(
            f"FACTORGRID_SHARE={without_password(given)}: has a password or a signature; "
            "give credentials in the environment variables that the store's package reads"
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
