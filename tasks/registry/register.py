"""The model registry: the winner goes in with its lineage, and the champion only gets better."""

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.factors import cell_name
from analysis.mcnemar import McNemarResult, Proportion, accuracy_with_interval
from analysis.search.best_cell import Selection
from tasks.registry.model_registry import (
    CHALLENGER,
    CHAMPION,
    DATASET,
    SOURCE_RUN,
    STUDY_RUN,
    Registry,
)
from tasks.registry.promote import judge_challenger, right_answers, settle
from tasks.registry.servable import save_servable
from tasks.tracking.artifact_paths import RECORD
from tasks.tracking.execution import Execution, code_version
from tasks.tracking.tags import CODE_VERSION, PREFIX
from tasks.training.context import TrainingContext


@dataclass(frozen=True)
class Registered:
    """What became of the winner.

    Attributes
    ----------
    name, version : of the registered model.
    alias : ``champion`` or ``challenger``.
    run_id : the run that trained it.
    test : its accuracy on the test images, read here for the first time.
    against : how it compared with the champion of the day, if there was one on these images.
    why : the alias, in words.
    """

    name: str
    version: str
    alias: str
    run_id: str
    test: Proportion
    against: McNemarResult | None
    why: str


def register_winner(context: TrainingContext, selection: Selection) -> Registered:
    """Register the winning cell's best replicate, and make it champion if it earned it.

    The test images are read here for the first time, once. The alias moves only when the
    challenger beats today's champion on the same test images by McNemar's test.
    """
    run_id = _trained_run(context, selection)
    execution, arrays = context.execution, context.arrays
    labels = arrays.labels[arrays.side("test")]
    right = right_answers(execution.tracker, run_id, labels)
    test = accuracy_with_interval(right, alpha=execution.study.alpha)
    registered = _Entry(context).enter(run_id, selection, test, labels)
    execution.log_text(execution.run_id, json.dumps(asdict(registered), indent=2), RECORD)
    return registered


def registered_of(execution: Execution) -> Registered | None:
    """Read back what became of an execution's winner; None where it was not run to its end."""
    record = execution.tracker.read_json(execution.run_id, RECORD)
    if record is None:
        return None
    against = record["against"] and McNemarResult(**record["against"])
    return Registered(**record | {"test": Proportion(**record["test"]), "against": against})


def _trained_run(context: TrainingContext, selection: Selection) -> str:
    """Return the winning cell's replicate with the best response, where it was trained."""
    study = context.execution.study
    runs = context.execution.runs()
    cell = runs
    for name, level in selection.chosen.items():
        cell = cell[cell[name] == level]
    best = cell.sort_values([study.response, "val_loss"], ascending=[False, True]).iloc[0]
    return str(best["reused_from"] or best["run_id"])


class _Entry:
    """The way into the registry, for one execution."""

    def __init__(self, context: TrainingContext) -> None:
        self.context = context
        self.execution = context.execution
        self.name = context.execution.study.model_name
        self.registry = Registry(context.execution.tracker, self.name)

    def enter(
        self, run_id: str, selection: Selection, test: Proportion, labels: NDArray[np.int64]
    ) -> Registered:
        with self.registry.held():
            champion = self.registry.at(CHAMPION)
            if champion is not None and champion.tags.get(SOURCE_RUN) == run_id:
                number = str(champion.version)
                why = f"Version {number}, today's champion, won again."
                return Registered(self.name, number, CHAMPION, run_id, test, None, why)
            number = self._known(run_id) or self._create(run_id, selection, test)
            judged = judge_challenger(self.registry, self.registry.version(number), labels)
            done = settle(self.registry, judged)
            alias = CHAMPION if done.earned else CHALLENGER
            if not done.earned:
                self.registry.challenge(number)
        self.execution.log(
            self.execution.run_id,
            metrics={"test_accuracy": test.value, "test_low": test.low, "test_high": test.high},
            tags={PREFIX + "registered": f"{self.name} version {number} ({alias})"},
        )
        return Registered(self.name, number, alias, run_id, test, done.against, done.why)

    def _known(self, run_id: str) -> str | None:
        """Return the newest version of a run that was registered before."""
        own = [v for v in self.registry.versions() if v.tags.get(SOURCE_RUN) == run_id]
        return max((str(version.version) for version in own), key=int, default=None)

    def _create(self, run_id: str, selection: Selection, test: Proportion) -> str:
        execution = self.execution
        self.registry.create(execution.study.description)
        tags = {
            SOURCE_RUN: run_id,
            STUDY_RUN: execution.run_id,
            PREFIX + "study": execution.study.name,
            DATASET: execution.version,
            CODE_VERSION: code_version(),
            "test_accuracy": f"{test.value:.4f}",
        }
        words = f"{cell_name(selection.chosen)}. Test accuracy {test}."
        return self.registry.add(self._save(run_id), run_id, tags, words)

    def _save(self, run_id: str) -> str:
        """Write the servable model below the run that trained it; return its address."""
        tracker, arrays = self.execution.tracker, self.context.arrays
        about = {"classes": list(arrays.classes), "image_size": arrays.image_size}
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            network = tracker.artifact(run_id, "model/model.keras", folder)
            (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
            save_servable(network, folder / "about.json", folder / "servable")
            tracker.client.log_artifacts(run_id, str(folder / "servable"), "servable")
        run = tracker.client.get_run(run_id)
        return f"{run.info.artifact_uri}/servable"
