"""Names in MLflow's SQLite file, read without MLflow: for the completion of a shell, which waits.

MLflow takes seconds to import, so that its tables are read here. Whatever goes wrong, there are no
names: a shell that completes a word has no place for a message.
"""

import re
import sqlite3
from contextlib import closing
from typing import Literal
from urllib.parse import quote

from tasks.errors import SettingError
from tasks.settings import read_settings
from tasks.tracking.tags import KIND

Kind = Literal["studies", "experiments", "models"]
#: What is read, the newest first.
QUERIES: dict[Kind, str] = {
    "studies": "SELECT name FROM experiments WHERE lifecycle_stage = 'active' AND EXISTS ("
    "SELECT 1 FROM runs JOIN tags USING (run_uuid) WHERE runs.experiment_id = "
    "experiments.experiment_id AND key = :kind AND value = 'study' "
    "AND runs.lifecycle_stage = 'active') ORDER BY last_update_time DESC LIMIT :most",
    "experiments": "SELECT name FROM experiments WHERE lifecycle_stage = 'active' "
    "ORDER BY last_update_time DESC LIMIT :most",
    "models": "SELECT name FROM registered_models ORDER BY last_updated_time DESC LIMIT :most",
}
#: Names that no shell reads in another way. Others must be quoted, which completion does not do.
PLAIN = re.compile(r"\w[\w.+@%=/-]*")
#: Seconds to wait for a database that is being written, and names that are offered at most.
PATIENCE, MOST = 0.5, 1000


def known_names(kind: Kind) -> list[str]:
    """Return the names of studies, experiments or registered models in the home's MLflow.

    Nothing is created. Without a file of SQLite, as with a server, there are no names.
    """
    try:
        uri = read_settings().tracking_uri
        path = uri.removeprefix("sqlite:///").partition("?")[0]
        if path == uri:
            return []
        database = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=PATIENCE)
        with closing(database):
            rows = database.execute(QUERIES[kind], {"kind": KIND, "most": MOST}).fetchall()
    except (sqlite3.Error, SettingError, OSError):
        return []
    return [name for (name,) in rows if isinstance(name, str) and PLAIN.fullmatch(name)]
