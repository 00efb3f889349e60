"""Packs a home that an older version wrote, for `test_old_home.py`: see README.md.

    python pack.py FOLDER

The folder has the home in ``home/`` and what the commands printed beside it.
"""

import json
import shutil
import sqlite3
import sys
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

HERE = Path(__file__).parent
#: Stands for the folder of the home wherever MLflow keeps an absolute address.
PLACEHOLDER = "/old-home"
#: Columns of MLflow's database with absolute addresses.
ADDRESSES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "model_versions": ("source", "storage_location"),
    "logged_models": ("artifact_location",),
}
#: Pages and the networks that were not registered: nothing reads them again.
LEFT_OUT = (".html", ".css", "model/model.keras")
#: Plots that a report shows: two of the registered run, beside examples of the study's pictures.
SHOWN = ("learning_curve.png", "worst.png")


def move_addresses(database: Path, old: str, new: str) -> None:
    """Replace a folder by another one in every address of MLflow's database."""
    with closing(sqlite3.connect(database)) as connection:
        for table, columns in ADDRESSES.items():
            for column in columns:
                command = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"  # noqa: S608 # names of the table above
                connection.execute(command, (old, new))
        connection.commit()


def pack(folder: Path) -> None:
    """Write ``home.tar.xz`` and the printed outcomes."""
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary, "home")
        outcomes = {
            name: json.loads((folder / f"{name}.analyze.json").read_text(encoding="utf-8"))
            for name in ("tiny", "piloted")
        }
        winners = {outcome["registered"]["run_id"] for outcome in outcomes.values()}
        for file in (folder / "home" / "artifacts").rglob("*"):
            if file.is_file() and _is_read_again(file, winners):
                copy = home / file.relative_to(folder / "home")
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, copy)
        shutil.copy(folder / "home" / "mlflow.db", home)
        move_addresses(home / "mlflow.db", str(folder), PLACEHOLDER)
        with closing(sqlite3.connect(home / "mlflow.db")) as connection:
            connection.execute("VACUUM")
        with tarfile.open(HERE / "home.tar.xz", "w:xz") as packed:
            packed.add(home, "home", filter=_anonymous)
    for name, outcome in outcomes.items():
        shutil.copy(folder / f"{name}.toml", HERE)
        (HERE / f"{name}.json").write_text(json.dumps(outcome, indent=1) + "\n", encoding="utf-8")


def _is_read_again(file: Path, winners: set[str]) -> bool:
    """Whether a command of a finished study reads an artifact.

    Parameters
    ----------
    file : ``artifacts/EXPERIMENT/RUN/artifacts/plots/NAME``, or another one.
    winners : the runs whose networks were registered.
    """
    if file.suffix == ".png":
        registered = file.parents[2].name in winners
        return file.name == "samples.png" or (registered and file.name in SHOWN)
    return not str(file).endswith(LEFT_OUT)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    pack(Path(sys.argv[1]).resolve())
