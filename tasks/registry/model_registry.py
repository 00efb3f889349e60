"""MLflow's model registry: one model's versions, its champion, and who was champion before."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from tasks.errors import UserError
from tasks.tracking.tags import PREFIX
from tasks.tracking.tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Mapping

CHAMPION = "champion"
CHALLENGER = "challenger"
SOURCE_RUN = PREFIX + "run"
STUDY_RUN = PREFIX + "study_run"
DATASET = PREFIX + "dataset_version"
#: A tag of a version that was champion and had to go, with the day.
ROLLED_BACK = PREFIX + "rolled_back"
#: A tag of a version that a person made champion, with the day and the reason.
FORCED = PREFIX + "forced"
#: A tag of a version that a person let become champion, with the day and the reason.
APPROVED = PREFIX + "approved"
#: A tag of the model: every champion, oldest first, as in ``1 3 4``.
HISTORY = PREFIX + "champions"


@dataclass(frozen=True)
class Registry:
    """A registered model.

    Attributes
    ----------
    tracker : the server that has it.
    name : the model's.
    """

    tracker: Tracker
    name: str

    @classmethod
    def open(cls, tracker: Tracker, name: str) -> "Registry":
        """Return a model that is there.

        Raises
        ------
        UserError
            If there is none of that name; the names that exist are given.
        """
        names = [model.name for model in tracker.client.search_registered_models()]
        if name not in names:
            raise UserError(
                f"model {name!r}: not registered at {tracker.settings.tracking_uri}; "
                f"there are: {', '.join(names) or 'none'}"
            )
        return cls(tracker, name)

    @property
    def client(self) -> Any:
        """MLflow's."""
        return self.tracker.client

    def held(self) -> FileLock:
        """Return a lock: of two on this machine who judge at once, one waits for the other."""
        locks = self.tracker.settings.locks
        locks.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:16]
        return FileLock(locks / f"model-{digest}.lock")

    # -- reading --------------------------------------------------------------------------------

    def at(self, alias: str) -> Any:
        """Return the version that an alias names; None where it names none."""
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_model_version_by_alias(self.name, alias)
        except MlflowException as error:
            # Anything else, a server that is away say, must not pass for a model without champion.
            if error.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                raise
            return None

    def version(self, number: str) -> Any:
        """Return a version by number.

        Raises
        ------
        UserError
            If there is none of that number; those that exist are given.
        """
        found = {str(version.version): version for version in self.versions()}
        if number not in found:
            numbers = ", ".join(sorted(found, key=int)) or "none"
            raise UserError(f"model {self.name}: no version {number}; there are: {numbers}")
        return found[number]

    def versions(self) -> list[Any]:
        """Return all versions."""
        quoted = self.name.replace("'", "''")
        return list(self.client.search_model_versions(f"name = '{quoted}'"))

    def champions(self) -> list[str]:
        """Return the versions that were champion, up to today's, oldest first."""
        tags = self.client.get_registered_model(self.name).tags
        known: list[str] = tags.get(HISTORY, "").split()
        today = self.at(CHAMPION)
        if today is None:
            return known
        number = str(today.version)
        # An alias that was moved by hand stands after all that are known.
        return known[: known.index(number) + 1] if number in known else [*known, number]

    def load(self, version: Any) -> Any:
        """Load a version as MLflow serves it: pictures in, label and probability out."""
        import mlflow

        uri = self.tracker.settings.tracking_uri
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        address = f"models:/{self.name}/{version.version}"
        return self.client.patience.call(lambda: mlflow.pyfunc.load_model(address))

    # -- writing --------------------------------------------------------------------------------

    def create(self, description: str) -> None:
        """Register the model, unless it is there."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(self.name, description=description or None)
        except MlflowException as error:
            if "already exists" not in str(error):
                raise

    def add(self, source: str, run_id: str, tags: "Mapping[str, str]", description: str) -> str:
        """Add a version and return its number."""
        created = self.client.create_model_version(
            self.name, source, run_id, tags=dict(tags), description=description
        )
        return str(created.version)

    def challenge(self, number: str) -> None:
        """Make a version the challenger."""
        self.client.set_registered_model_alias(self.name, CHALLENGER, number)

    def crown(self, number: str) -> None:
        """Make a version the champion.

        The history is written first, so that whoever is cut off in between leaves a history with
        one name too many, which `champions` passes over, and never a champion without a way back.
        """
        champions = self.champions()
        if champions[-1:] != [number]:
            names = " ".join([*champions, number])
            self.client.set_registered_model_tag(self.name, HISTORY, names)
        self.move(number)
        challenger = self.at(CHALLENGER)
        if challenger is not None and str(challenger.version) == number:
            self.client.delete_registered_model_alias(self.name, CHALLENGER)

    def move(self, number: str) -> None:
        """Move the champion's alias: readers see the old one or the new one, never none."""
        self.client.set_registered_model_alias(self.name, CHAMPION, number)

    def tag(self, number: str, key: str, value: str) -> None:
        """Tag a version."""
        self.client.set_model_version_tag(self.name, number, key, value)

    def untag(self, number: str, key: str) -> None:
        """Remove a version's tag, if it has it."""
        if key in self.version(number).tags:
            self.client.delete_model_version_tag(self.name, number, key)

    def describe(self, number: str, description: str) -> None:
        """Describe a version."""
        self.client.update_model_version(self.name, number, description)
