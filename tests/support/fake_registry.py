"""A registered model whose versions answer as a test specifies."""

import io
from typing import Any

import numpy as np

from tasks.registry.model_registry import DATASET, SOURCE_RUN, STUDY_RUN, Registry
from tasks.registry.promote import promote_model
from tasks.tracking.artifact_paths import PICTURES
from tasks.tracking.tracker import Tracker

#: The true classes of 200 test images.
LABELS = np.arange(200) % 2


class FakeRegistry:
    """A registered model in a real registry; its versions have answers, but no network."""

    def __init__(self, tracker: Tracker, name: str) -> None:
        self.registry = Registry(tracker, name)
        self.registry.create("a model")
        self.client = tracker.client
        self.experiment = tracker.experiment(name)

    def add(self, right: int, dataset: str = "first", labels: Any = LABELS) -> str:
        """Add a version that classifies only the first `right` images correctly."""
        run = self.client.create_run(self.experiment).info
        run_id = run.run_id
        answers = np.where(np.arange(len(labels)) < right, labels, 1 - labels)
        self._log(run_id, "model", "predictions.npz", test_probability=np.eye(2)[answers])
        self.client.log_dict(run_id, {"test_labels": labels.tolist()}, PICTURES)
        tags = {SOURCE_RUN: run_id, STUDY_RUN: run_id, DATASET: dataset}
        model = self.client.create_logged_model(self.experiment, "a network", run_id, {}, {})
        return self.registry.add_version(model, run_id, tags, f"{right} right.")

    def _log(self, run_id: str, folder: str, name: str, **arrays: Any) -> None:
        path = self.registry.tracker.settings.home / name
        with io.BytesIO() as file:
            np.savez(file, **arrays)
            path.write_bytes(file.getvalue())
        self.client.log_artifact(run_id, str(path), folder)

    def promote(self, number: str | None = None, **more: Any) -> Any:
        return promote_model(self.registry.tracker, self.registry.name, number=number, **more)

    @property
    def champion(self) -> str:
        return self.registry.champion_number()
