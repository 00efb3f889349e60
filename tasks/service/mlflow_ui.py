"""MLflow's own server on the local database, for looking."""

import os
import sys

from tasks.errors import UserError
from tasks.processes.ports import bind_briefly
from tasks.settings import Settings
from tasks.tracking.tracker import Tracker

#: MLflow's first page, as for networks: without this its pages are for language models.
PAGES = "#/experiments?workflowType=machine_learning"


def serve_mlflow_ui(settings: Settings, host: str, port: int) -> None:
    """Become MLflow's server; returns never.

    Raises
    ------
    UserError
        If the tracking address is a server's already, or the port is taken.
    """
    if settings.tracking_uri.startswith("http"):
        raise UserError(f"MLflow's server is at {settings.tracking_uri}: open it in a browser")
    try:
        bind_briefly(host, port)
    except OSError as error:
        raise UserError(
            f"--port {port} at {host}: {error.strerror}; name a free one with --port"
        ) from error
    Tracker.open(settings)  # creates or migrates the database once, before the server's workers
    address = f"http://{host}:{port}/{PAGES}"
    print(f"MLflow's pages: {address} (Ctrl-C ends them)", file=sys.stderr, flush=True)  # noqa: T201 # the last words before exec
    # One worker: by default the server takes 15 processes and 2.6 GB.
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--host", host, "--port", str(port)]
    command += ["--backend-store-uri", settings.tracking_uri]
    command += ["--default-artifact-root", settings.artifacts.as_uri()]
    os.execv(sys.executable, command)  # noqa: S606 # no shell is wanted
