"""MLflow's model registry: one model's versions, its champion and all earlier champions."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from tasks.errors import UserError
from tasks.registry.model_lock import ModelLock
from tasks.registry.stored_code import LoadedModel, load_with_stored_code
from tasks.tracking.tags import DATASET_VERSION, PREFIX
from tasks.tracking.tracker import Tracker

#: The aliases of a registered model.
CHAMPION, CHALLENGER = "champion", "challenger"
#: Tag of a version: the run that trained its network.
SOURCE_RUN = PREFIX + "run"
#: Tag of a version: the parent run of the study that registered it.
STUDY_RUN = PREFIX + "study_run"
#: Tag of a version: the verdict of the study that registered it, as JSON.
STUDY_VERDICT = PREFIX + "study_verdict"
#: Tag of a version: the logged model that it is.
LOGGED_MODEL = PREFIX + "logged_model"
#: Tag of a logged model: its versions in the registry, as MLflow's pages read them.
MODEL_VERSIONS = "mlflow.modelVersions"
#: Tag of a version: the dataset version on which it was trained and tested.
DATASET = DATASET_VERSION
#: Tag of a version that was champion and was rolled back: the day, and the reason.
ROLLED_BACK = PREFIX + "rolled_back"
#: Tag of a version whose network does not beat the constant answer on its test images.
NOT_LEARNED = PREFIX + "not_learned"
#: Tag of a version that a person made champion: the day and the reason.
FORCED = PREFIX + "forced"
#: Tag of a version whose promotion a person approved: the day, and the reason.
APPROVED = PREFIX + "approved"
#: Tag of the model, followed by a dataset version: how many pairs of networks were compared on its
#: test images.
LOOKS = PREFIX + "looks."
#: Tag of a version: the champion with which it was last compared, and the number of that look.
LOOK = PREFIX + "look"
#: Tag of the model: all champions, oldest first, for example ``1 3 4``.
HISTORY = PREFIX + "champions"


@dataclass(frozen=True)
class Registry:
    """A registered model.

    Attributes
    ----------
    tracker : the server that has it.
    name : of the model.
    """

    tracker: Tracker
    name: str

    @classmethod
    def open(cls, tracker: Tracker, name: str) -> "Registry":
        """Return a model that exists.

        Raises
        ------
        UserError
            If there is no model of that name; the message lists those that exist.
        """
        models = tracker.client.all_pages("search_registered_models")
        names = [model.name for model in models]
        if name not in names:
            raise UserError(
                f"model {name!r}: not registered at {tracker.settings.tracking_uri}; "
                f"there are: {', '.join(names) or 'none'}"
            )
        return cls(tracker, name)

    @property
    def client(self) -> Any:
        """MLflow's client, which waits for an unreachable server."""
        return self.tracker.client

    def lock(self) -> AbstractContextManager[ModelLock]:
        """Return the lock of the model, which must exist: all processes judge one after another."""
        return ModelLock(self.tracker, self.name).held()

    # -- reading --------------------------------------------------------------------------------

    def version_of(self, alias: str) -> Any:
        """Return the version that has an alias; None if no version has it."""
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_model_version_by_alias(self.name, alias)
        except MlflowException as error:
            # Any other error must not look like a model without a champion.
            if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            # A server with users answers so, if the model is missing and the user is no
            # administrator.
            if error.error_code == "PERMISSION_DENIED" and not self._is_listed():
                return None
            raise

    def _is_listed(self) -> bool:
        models = self.client.all_pages("search_registered_models")
        return self.name in {model.name for model in models}

    def champion_number(self) -> str:
        """Return the number of the version that is champion; empty if there is none."""
        champion = self.version_of(CHAMPION)
        return "" if champion is None else str(champion.version)

    def version(self, number: str) -> Any:
        """Return a version by its number.

        Raises
        ------
        UserError
            If there is no version of that number; the message lists those that exist.
        """
        found = {str(version.version): version for version in self.versions()}
        if number not in found:
            numbers = ", ".join(sorted(found, key=int)) or "none"
            raise UserError(f"model {self.name}: no version {number}; there are: {numbers}")
        return found[number]

    def versions(self) -> list[Any]:
        """Return all versions."""
        quoted = self.name.replace("'", "''")
        return list(self.client.all_pages("search_model_versions", f"name = '{quoted}'"))

    def champions(self) -> list[str]:
        """Return the numbers of all champions up to the current one, oldest first."""
        tags = self.client.get_registered_model(self.name).tags
        history: list[str] = tags.get(HISTORY, "").split()
        number = self.champion_number()
        if not number:
            return history
        # If the alias was moved by hand, the current champion comes after all known ones.
        return history[: history.index(number) + 1] if number in history else [*history, number]

    def look_number(self, version: Any, champion: str) -> int:
        """Return which look at its test images a version's comparison with a champion is, from 1.

        The same two networks have the same answers, so comparing them again is no new look.
        """
        seen: list[str] = version.tags.get(LOOK, "").split()
        if seen[:1] == [champion]:
            return int(seen[1])
        tags = self.client.get_registered_model(self.name).tags
        return int(tags.get(LOOKS + version.tags[DATASET], "0")) + 1

    def load(self, version: Any) -> LoadedModel:
        """Load a version as MLflow serves it: images in, label and probability out."""
        import mlflow

        uri = self.tracker.settings.tracking_uri
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        address = f"models:/{self.name}/{version.version}"
        return self.tracker.client.retry_policy.call(lambda: load_with_stored_code(address))

    # -- writing --------------------------------------------------------------------------------

    def create(self, description: str) -> None:
        """Register the model, unless it exists."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(self.name, description=description or None)
        except MlflowException as error:
            if "already exists" not in str(error):
                raise

    def add_version(
        self, model: Any, run_id: str, tags: Mapping[str, str], description: str
    ) -> str:
        """Add a version and return its number.

        Parameters
        ----------
        model : the logged model, which MLflow serves.
        run_id : the run that trained the network.
        """
        created = self.client.create_model_version(
            self.name,
            # Not its id: MLflow would look for it at the address of the whole process.
            model.artifact_location,
            run_id,
            tags={**tags, LOGGED_MODEL: model.model_id},
            description=description,
            model_id=model.model_id,
        )
        number = str(created.version)
        # A server writes this tag, too, but a database without a server has only this one.
        versions = json.dumps([{"name": self.name, "version": number}])
        self.client.set_logged_model_tags(model.model_id, {MODEL_VERSIONS: versions})
        return number

    def delete_version(self, number: str) -> None:
        """Delete a version."""
        self.client.delete_model_version(self.name, number)

    def set_challenger(self, number: str) -> None:
        """Make a version the challenger."""
        self.client.set_registered_model_alias(self.name, CHALLENGER, number)

    def promote(self, number: str) -> None:
        """Make a version the champion.

        The history is written before the alias moves. If the process is killed in between, the
        history has one name too many, which `champions` leaves out, and there is always a
        champion to roll back to.
        """
        champions = self.champions()
        if champions[-1:] != [number]:
            names = " ".join([*champions, number])
            self.client.set_registered_model_tag(self.name, HISTORY, names)
        self.move_champion_alias(number)
        self.remove_challenger(number)

    def remove_challenger(self, number: str) -> None:
        """Remove the alias of the challenger, if this version has it."""
        challenger = self.version_of(CHALLENGER)
        if challenger is not None and str(challenger.version) == number:
            self.client.delete_registered_model_alias(self.name, CHALLENGER)

    def move_champion_alias(self, number: str) -> None:
        """Move the alias: readers see the old champion or the new one, never none."""
        self.client.set_registered_model_alias(self.name, CHAMPION, number)

    def tag(self, number: str, key: str, value: str) -> None:
        """Tag a version."""
        self.client.set_model_version_tag(self.name, number, key, value)

    def remember_look(self, number: str, champion: str, look: int) -> None:
        """Remember that a version was compared with a champion.

        The model is tagged first: if the process is killed in between, one look too many counts.
        """
        version = self.version(number)
        key = LOOKS + version.tags[DATASET]
        looks = int(self.client.get_registered_model(self.name).tags.get(key, "0"))
        self.client.set_registered_model_tag(self.name, key, str(max(looks, look)))
        self.tag(number, LOOK, f"{champion} {look}")

    def untag(self, number: str, key: str) -> None:
        """Remove a tag of a version, if the version has it."""
        if key in self.version(number).tags:
            self.client.delete_model_version_tag(self.name, number, key)

    def describe(self, number: str, description: str) -> None:
        """Set the description of a version."""
        self.client.update_model_version(self.name, number, description)
