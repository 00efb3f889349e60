"""`factorgrid ui`: MLflow's own server on the local database."""

import os
import sys

from tasks.errors import UserError
from tasks.processes.own_folder import keep_own_folders_over_exec
from tasks.processes.ports import bind_briefly
from tasks.service.access import MLFLOW_PROGRAM, host_names, mlflow_access
from tasks.settings import Settings
from tasks.tracking.tracker import Tracker
from tasks.tracking.views import newest_studies_as_text

#: The page to open: without this parameter MLflow shows its pages for language models.
EXPERIMENTS_PAGE = "#/experiments?workflowType=machine_learning"


def serve_mlflow_ui(settings: Settings, host: str, port: int) -> None:
    """Replace this process by MLflow's server; this function does not return.

    Raises
    ------
    UserError
        If the tracking address is that of a server already, or the port cannot be used.
    """
    if settings.tracking_uri.startswith("http"):
        raise UserError(f"MLflow's server is at {settings.tracking_uri}: open it in a browser")
    try:
        port = bind_briefly(host, port)  # port 0 is any free one
    except OSError as error:
        raise UserError(
            f"--port {port} at {host}: the port cannot be used ({error.strerror}); name a free one "
            "with --port"
        ) from error
    # MLflow's server imports from its current folder first, even with `-P`.
    os.chdir(settings.create().logs)
    tracker = Tracker.open(settings)  # creates the database once, before the server's workers do
    address = f"http://{host}:{port}"
    lines = [f"MLflow's pages: {address}/{EXPERIMENTS_PAGE} (Ctrl-C ends them)"]
    lines += newest_studies_as_text(tracker, address)
    print("\n".join(lines), file=sys.stderr, flush=True)  # noqa: T201 # the last output before exec
    command = [*MLFLOW_PROGRAM, "--host", host, "--port", str(port)]
    command += ["--default-artifact-root", settings.artifacts.as_uri()]
    # Not in the command line, which other users can read: its URL may contain a password.
    os.environ["MLFLOW_BACKEND_STORE_URI"] = settings.tracking_uri
    os.environ.update(mlflow_access(host_names(host), port))
    keep_own_folders_over_exec()
    os.execv(sys.executable, command)  # noqa: S606 # no shell is needed
