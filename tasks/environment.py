"""Environment variables that keep the libraries quiet and offline."""

import os
from pathlib import Path

from tasks.credentials import (
    move_password_to_environment,
    move_prefect_password_to_environment,
)
from tasks.data.allowed_folders import FOLDERS, allowed_places
from tasks.processes.own_folder import remove_abandoned, use_own_temporary_folder
from tasks.settings import Settings, read_settings

#: Set unless the user has set them. Without these, Prefect, its server, MLflow and Great
#: Expectations connect to outside hosts, and TensorFlow prints its banner.
QUIET = {
    "DO_NOT_TRACK": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # MLflow's job runner adds a dozen processes to its server; FactorGrid does not use it.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    # MLflow prints the address of each run to standard output.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # MLflow shows a progress bar for every folder of artifacts that it copies.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # With MLflow's default pool of 5 + 10 connections, 16 threads lose runs.
    "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "40",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    # Prefect shows FactorGrid's log on the page of a flow run, and warns of each line that a thread
    # outside of a flow run logs.
    "PREFECT_LOGGING_EXTRA_LOGGERS": "factorgrid",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    # On a busy machine Prefect's temporary server needs more than its default of 20 s.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # A child of Python would import a file of the current folder, for example a `tasks.py`, instead
    # of an installed package.
    "PYTHONSAFEPATH": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


def prepare_environment() -> Settings:
    """Set the variables of the libraries, keep Prefect's state in the home, return the settings.

    If `factorgrid up` runs on this home, its servers are used. Passwords in the addresses of MLflow
    and Prefect are moved to the variables that these read, so that no address that is shown or
    logged has one.
    """
    from tasks.service.running_service import running_service

    for name, value in running_service(read_settings().home).items():
        os.environ.setdefault(name, value)
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        os.environ["MLFLOW_TRACKING_URI"] = move_password_to_environment(uri)
    if url := os.environ.get("PREFECT_API_URL"):
        os.environ["PREFECT_API_URL"] = move_prefect_password_to_environment(url)
    use_own_temporary_folder()
    settings = read_settings()
    remove_abandoned(settings.work)
    # Absolute for the processes that run in other folders, such as the flows of a worker.
    os.environ["FACTORGRID_HOME"] = str(settings.home)
    os.environ["MLFLOW_TRACKING_URI"] = settings.tracking_uri
    if folders := os.environ.get("FACTORGRID_BUILDERS"):
        absolute = [str(Path(f).expanduser().absolute()) for f in folders.split(os.pathsep) if f]
        os.environ["FACTORGRID_BUILDERS"] = os.pathsep.join(absolute)
    if places := os.environ.get(FOLDERS):
        os.environ[FOLDERS] = os.pathsep.join(allowed_places(places))
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_HOME", str(settings.home / "prefect"))
    return settings
