"""Everything that is done to MLflow's database before MLflow opens it."""

from pathlib import Path

from tasks.settings import Settings
from tasks.tracking.database_schema import refuse_other_schema
from tasks.tracking.local_database import make_database
from tasks.tracking.moved_home import follow_moved_home

#: The lock of a home under which its database is prepared.
CREATION_LOCK = "mlflow.lock"


def prepare_database(settings: Settings, uri: str) -> list[Path]:
    """Make a missing SQLite database, refuse other schemas, and follow a home that was moved.

    Call it while no other process of this home opens the database. Nothing is done to a server.

    Parameters
    ----------
    settings : the home.
    uri : the address of MLflow's database or server.

    Returns
    -------
    The folders of artifacts before a move; none if the home was not moved.

    Raises
    ------
    TrackingError
        If the schema is of another version, or the home is used under its old path.
    """
    make_database(uri)
    refuse_other_schema(uri)
    return follow_moved_home(settings, uri)
