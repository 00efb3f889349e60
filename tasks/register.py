"""The model registry: the winner goes in with its lineage, and the champion only gets better."""

import base64
import importlib.metadata
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from analysis.factors import cell_name
from analysis.paired import Paired, Proportion, accuracy
from analysis.selection import Selection
from models.drawn import draw_one
from tasks.promote import judge, right_answers, settle
from tasks.registry import CHALLENGER, CHAMPION, DATASET, SOURCE_RUN, STUDY_RUN, Registry
from tasks.tags import CODE_VERSION, PREFIX
from tasks.tracking import Execution, code_version
from tasks.train import Workshop

RECORD = "registered.json"


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
    against: Paired | None
    why: str


@task(name="register", cache_policy=NO_CACHE, persist_result=False)
def register(shop: Workshop, selection: Selection) -> Registered:
    """Register the winning cell's best replicate, and make it champion if it earned it.

    The test images are read here for the first time, once. The alias moves only when the
    challenger beats today's champion on the same test images by McNemar's test.
    """
    run_id = _trained_run(shop, selection)
    execution, arrays = shop.execution, shop.arrays
    labels = arrays.labels[arrays.side("test")]
    right = right_answers(execution.tracker, run_id, labels)
    test = accuracy(right, alpha=execution.study.alpha)
    registered = _Entry(shop).enter(run_id, selection, test, labels)
    execution.log_text(execution.run_id, json.dumps(asdict(registered), indent=2), RECORD)
    return registered


def registered_of(execution: Execution) -> Registered | None:
    """Read back what became of an execution's winner; None where it was not run to its end."""
    record = execution.tracker.read_json(execution.run_id, RECORD)
    if record is None:
        return None
    against = record["against"] and Paired(**record["against"])
    return Registered(**record | {"test": Proportion(**record["test"]), "against": against})


def _trained_run(shop: Workshop, selection: Selection) -> str:
    """Return the winning cell's replicate with the best response, where it was trained."""
    study = shop.execution.study
    runs = shop.execution.runs()
    cell = runs
    for name, level in selection.chosen.items():
        cell = cell[cell[name] == level]
    best = cell.sort_values([study.response, "val_loss"], ascending=[False, True]).iloc[0]
    return str(best["reused_from"] or best["run_id"])


class _Entry:
    """The way into the registry, for one execution."""

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop
        self.execution = shop.execution
        self.name = shop.execution.study.model_name
        self.registry = Registry(shop.execution.tracker, self.name)

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
            judged = judge(self.registry, self.registry.version(number), labels)
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
        tracker, arrays = self.execution.tracker, self.shop.arrays
        about = {"classes": list(arrays.classes), "image_size": arrays.image_size}
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            network = tracker.artifact(run_id, "model/model.keras", folder)
            (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
            save_servable(network, folder / "about.json", folder / "servable")
            tracker.client.log_artifacts(run_id, str(folder / "servable"), "servable")
        run = tracker.client.get_run(run_id)
        return f"{run.info.artifact_uri}/servable"


def save_servable(network: Path, about: Path, to: Path) -> None:
    """Write the folder that MLflow serves: network, preprocessing, signature and an example.

    Parameters
    ----------
    network : a file in Keras's native format.
    about : JSON with ``classes`` and ``image_size`` (pixels a side).
    to : the folder to write; it must not exist.
    """
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    import models
    from tasks import serving

    outputs = [("string", "label"), ("double", "probability"), ("string", "error")]
    signature = ModelSignature(
        Schema([ColSpec(DataType.string, "image")]),
        Schema([ColSpec(DataType[kind], name) for kind, name in outputs]),
    )
    mlflow.pyfunc.save_model(
        str(to),
        python_model=serving.__file__,
        artifacts={"network": str(network), "about": str(about)},
        code_paths=[str(Path(models.__file__).parent)],
        signature=signature,
        input_example=_example(),
        # Given, they take 0.15 s; inferred, 16 s.
        pip_requirements=_requirements(),
    )


def _example() -> pd.DataFrame:
    """Return a picture as a client sends it: base64 text of PNG bytes."""
    _, data = cv2.imencode(".png", draw_one(0, 32, np.random.default_rng(1))[:, :, ::-1])
    return pd.DataFrame({"image": [base64.b64encode(data.tobytes()).decode()]})


def _requirements() -> list[str]:
    names = (
        "mlflow",
        "tensorflow",
        "keras",
        "numpy",
        "opencv-python-headless",
        "simplejpeg",
        "pillow",
    )
    return [f"{name}=={importlib.metadata.version(name)}" for name in names]
