"""Registering a study's winner with its lineage; it becomes champion only if it earned it.

A network that is not shown to beat the constant answer on the test images is registered without an
alias. Its version keeps the lineage and the figures, and a person can still promote it with a
reason; but no program that loads ``champion`` or ``challenger`` gets it.
"""

import json
import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.factors import cell_name, show
from analysis.mcnemar import (
    ConstantComparison,
    McNemarResult,
    Proportion,
    RecipeAccuracy,
    accuracy_of_recipe,
    accuracy_with_interval,
    compare_with_constant,
)
from analysis.runs.collapsed import chance_band
from analysis.runs.response import DEFAULT
from analysis.search.best_cell import Selection
from models.images.arrays import ImageArrays
from models.training.metrics import metrics_of
from tasks.errors import LeaseLostError, UserError
from tasks.escaping import as_markdown, own_markdown
from tasks.languages import translator
from tasks.registry.model_lock import ModelLock
from tasks.registry.model_registry import (
    CHALLENGER,
    CHAMPION,
    DATASET,
    LOGGED_MODEL,
    MODEL_VERSIONS,
    NOT_LEARNED,
    SOURCE_RUN,
    STUDY_RUN,
    STUDY_VERDICT,
    Registry,
)
from tasks.registry.promote import apply_verdict, judge_challenger, right_answers, test_probability
from tasks.registry.servable import save_servable
from tasks.registry.verdict import PromotionVerdict, constant_as_text, test_accuracy
from tasks.tracking.artifact_paths import NETWORK, REGISTERED
from tasks.tracking.execution import Execution, code_version
from tasks.tracking.final_training import winners_runs
from tasks.tracking.tags import CODE_VERSION, PREFIX

#: What the name of a logged model may not have.
NOT_IN_NAMES = re.compile(r"[/:.%\"']")
#: The end of the name of a logged model. If a run has a logged model with the name of a folder of
#: its artifacts, MLflow lists the model's files with those of the folder, and looks for the model
#: at the address of the whole process: a study named ``model`` could not be promoted.
NETWORK_OF = " network"


@dataclass(frozen=True)
class Registered:
    """The registered winner of a study.

    Attributes
    ----------
    name, version : of the registered model.
    alias : ``champion`` or ``challenger``; empty if it has none, because it is not shown to beat
        the constant answer.
    run_id : the run that trained it.
    test : its accuracy on the test images, which were read for the first time.
    verdict : why it has this alias, or none.
    constant : the comparison with the constant answer on the test images; None in records of
        versions before 0.3.
    recipe : the accuracy of all trainings of its cell on the test images; None if no spread between
        seeds is known, or one of them collapsed, and in records of versions before 0.3.
    test_metrics : the other figures on the test images, as ``test_auc``; empty in such records.
    """

    name: str
    version: str
    alias: str
    run_id: str
    test: Proportion
    verdict: PromotionVerdict
    constant: ConstantComparison | None = None
    recipe: RecipeAccuracy | None = None
    test_metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The address by which MLflow loads it."""
        where = f"@{self.alias}" if self.alias else f"/{self.version}"
        return f"models:/{self.name}{where}"

    @property
    def against(self) -> McNemarResult | None:
        """The comparison with the champion of that day; None if there was none."""
        return self.verdict.comparison


def register_winner(execution: Execution, arrays: ImageArrays, selection: Selection) -> Registered:
    """Register the best training of the chosen cell, and make it champion if it earned it.

    The test images are read here for the first time, and only once. The alias moves only if the
    challenger beats the champion on the same test images by McNemar's test.
    """
    trained = winners_runs(execution, selection, execution.children())
    run_ids = [str(row["reused_from"] or row["run_id"]) for row in trained.to_dict("records")]
    run_id = run_ids[0]
    labels = arrays.labels[arrays.side("test")]
    probability = test_probability(execution.tracker, run_id, labels)
    right = probability.argmax(axis=1) == labels
    registered = WinnerRegistration(execution, arrays).register(
        run_id, selection, right, labels, metrics_of(probability, labels, "test_")
    )
    # The accuracy of the recipe is that of trainings of one length.
    if trained["epochs"].nunique() <= 1:
        recipe = _recipe(execution, selection, run_ids, right, labels)
        registered = replace(registered, recipe=recipe)
    execution.writer.log_text(
        execution.run_id, json.dumps(asdict(registered), indent=2), REGISTERED
    )
    return registered


def read_registered(execution: Execution) -> Registered | None:
    """Read the registered winner of an execution; None if the execution did not get that far."""
    record = execution.tracker.read_json(execution.run_id, REGISTERED)
    return None if record is None else registered_of_json(record)


def registered_of_json(record: Mapping[str, Any]) -> Registered:
    """Return the registered winner of a stored record."""
    if "verdict" in record:
        verdict = PromotionVerdict.of_json(record["verdict"])
    else:
        # Before version 0.2: the comparison and a sentence.
        comparison = record["against"] and McNemarResult(**record["against"])
        verdict = PromotionVerdict(
            "recorded", record["version"], comparison=comparison, reason=record["why"]
        )
    test, constant = Proportion(**record["test"]), record.get("constant")
    name, version, alias = record["name"], record["version"], record["alias"]
    against_constant = None if constant is None else ConstantComparison(**constant)
    recipe = record.get("recipe") and RecipeAccuracy(**record["recipe"])
    return Registered(
        name,
        version,
        alias,
        record["run_id"],
        test,
        verdict,
        against_constant,
        recipe,
        record.get("test_metrics", {}),
    )


def _recipe(
    execution: Execution,
    selection: Selection,
    replicates: Sequence[str],
    right: NDArray[np.bool_],
    labels: NDArray[np.int64],
) -> RecipeAccuracy | None:
    """Return the accuracy of all trainings of the chosen cell, which nothing is chosen by.

    None if no spread of accuracies is known, a training collapsed or its answers are missing.
    `right` are the answers of the first replicate.
    """
    row = selection.row(selection.chosen)
    # The spread and the optimism of another response have another unit.
    known = selection.error_df and execution.study.response == DEFAULT
    if not known or row["collapsed"]:
        return None
    try:
        others = [right_answers(execution.tracker, run_id, labels) for run_id in replicates[1:]]
    except UserError:
        return None
    spread = selection.standard_error * math.sqrt(selection.row(selection.best)["n"])
    alpha = execution.study.alpha
    return accuracy_of_recipe(
        np.array([right, *others]),
        spread,
        selection.error_df,
        optimism=selection.optimism,
        alpha=alpha,
    )


def test_response(response: str) -> str:
    """Return the name that a study's response has on the test images."""
    own = "log_loss" if response == "val_loss" else response.removeprefix("val_")
    return f"test_{own}"


class WinnerRegistration:
    """Registers the winner of one execution."""

    def __init__(self, execution: Execution, arrays: ImageArrays) -> None:
        self.execution, self.arrays = execution, arrays
        self.name = execution.study.model_name
        self.registry = Registry(execution.tracker, self.name)

    def register(
        self,
        run_id: str,
        selection: Selection,
        right: NDArray[np.bool_],
        labels: NDArray[np.int64],
        metrics: Mapping[str, float] | None = None,
    ) -> Registered:
        """Register a run's network, unless it is registered, and judge it.

        Parameters
        ----------
        run_id : the run that trained it.
        right : (N,) whether it classifies each test image correctly.
        labels : (N,) the true classes of the test images.
        metrics : the other figures on them.

        Raises
        ------
        LeaseLostError
            If another process took over the execution, or the lock of the model.
        """
        alpha = self.execution.study.alpha
        test = accuracy_with_interval(right, alpha=alpha)
        constant = compare_with_constant(right, labels, alpha=alpha)
        metrics = metrics or {}
        learned = constant.network_is_better or self._finds_small_classes(metrics, labels, alpha)
        self.registry.create(own_markdown(self.execution.study.description))
        with self.registry.lock() as lock:
            champion = self.registry.version_of(CHAMPION)
            if champion is not None and champion.tags.get(SOURCE_RUN) == run_id:
                number, alias = str(champion.version), CHAMPION
                verdict = self._verdict_before(champion)
            else:
                number = self._version_of_run(run_id) or self._create_version(
                    run_id, selection, test, constant, lock, metrics
                )
                lock.require_held()
                alias, verdict = self._judge(number, labels, learned=learned)
        self.execution.writer.log(
            self.execution.run_id,
            metrics={
                **metrics,
                "test_accuracy": test.value,
                "test_low": test.low,
                "test_high": test.high,
            },
            tags={PREFIX + "registered": f"{self.name} version {number} ({alias or 'no alias'})"},
            model_id=self.registry.version(number).tags.get(LOGGED_MODEL),
        )
        return Registered(
            self.name,
            number,
            alias,
            run_id,
            test,
            verdict,
            constant,
            test_metrics=metrics,
        )

    def _finds_small_classes(
        self, metrics: Mapping[str, float], labels: NDArray[np.int64], alpha: float
    ) -> bool:
        """Whether the balanced accuracy shows that a network learned; only if a study asks for it.

        A network that finds the small classes may have fewer right answers than the constant one.
        """
        if self.execution.study.response == DEFAULT or "test_balanced_accuracy" not in metrics:
            return False
        counts = np.bincount(labels)
        classes = len(counts)
        limit = chance_band(1 / classes, classes * int(counts.min()), alpha)
        return metrics["test_balanced_accuracy"] > limit

    def _judge(
        self, number: str, labels: NDArray[np.int64], *, learned: bool
    ) -> tuple[str, PromotionVerdict]:
        """Judge a version, and give it its alias; return the alias, or none, and the verdict."""
        if not learned:
            self.registry.tag(number, NOT_LEARNED, "true")
        judged = judge_challenger(self.registry, self.registry.version(number), labels)
        # Kept before the alias moves: an execution that is cut off then repeats it.
        self.registry.tag(number, STUDY_VERDICT, json.dumps(asdict(judged.verdict)))
        done = apply_verdict(self.registry, judged)
        alias = CHAMPION if done.earned else CHALLENGER if learned else ""
        if alias == CHALLENGER:
            self.registry.set_challenger(number)
        elif not alias:
            self.registry.remove_challenger(number)
        return alias, judged.verdict

    def _verdict_before(self, champion: Any) -> PromotionVerdict:
        """Return why a version that is champion already is it.

        If this execution made it champion and was cut off afterwards, that is the same verdict.
        """
        verdict = champion.tags.get(STUDY_VERDICT)
        if verdict and champion.tags.get(STUDY_RUN) == self.execution.run_id:
            return PromotionVerdict.of_json(json.loads(verdict))
        return PromotionVerdict("won_again", str(champion.version), str(champion.version))

    def _version_of_run(self, run_id: str) -> str | None:
        """Return the newest version of a run's network; None if it is not registered."""
        own = [v for v in self.registry.versions() if v.tags.get(SOURCE_RUN) == run_id]
        return max((str(version.version) for version in own), key=int, default=None)

    def _create_version(
        self,
        run_id: str,
        selection: Selection,
        test: Proportion,
        constant: ConstantComparison,
        lock: ModelLock,
        metrics: Mapping[str, float],
    ) -> str:
        execution = self.execution
        second = test_response(execution.study.response)
        tags = {
            SOURCE_RUN: run_id,
            STUDY_RUN: execution.run_id,
            PREFIX + "study": execution.study.name,
            DATASET: execution.version,
            CODE_VERSION: code_version(),
            "test_accuracy": f"{test.value:.4f}",
            **({second: f"{metrics[second]:.4f}"} if second in metrics else {}),
        }
        model = self._log_model(run_id, selection)
        description = self._description(selection, test, constant)
        number = None
        try:
            # This took a while; another process may have registered the same network since.
            execution.require_lease()
            lock.require_held()
            number = self.registry.add_version(model, run_id, tags, description)
            lock.require_held()
        except LeaseLostError:
            if number is not None:
                self.registry.delete_version(number)
            execution.tracker.client.delete_logged_model(model.model_id)
            raise
        self._delete_others(model)
        return number

    def _delete_others(self, model: Any) -> None:
        """Delete what executions logged that were cut off before they registered the network."""
        client = self.execution.tracker.client
        for other in client.all_pages("search_logged_models", [self.execution.experiment]):
            same = (other.source_run_id, other.name) == (model.source_run_id, model.name)
            if same and not other.tags.get(MODEL_VERSIONS):
                client.delete_logged_model(other.model_id)

    def _description(
        self, selection: Selection, test: Proportion, constant: ConstantComparison
    ) -> str:
        """Return what a version is, and how good it is on which images, as Markdown.

        The verdict on it follows when it is judged; see `tasks.registry.promote.apply_verdict`.
        """
        execution, translate = self.execution, translator("en")
        pictures = f"{execution.facts.pictures}, dataset version {execution.version}"
        sentences = [
            translate("winner_text", cell=cell_name(selection.chosen), **test_accuracy(test)),
            constant_as_text(constant, translate),
            f"Study {execution.study.name}; images: {pictures}.",
        ]
        links = execution.links.within_pages.as_markdown()
        return "\n\n".join([*map(as_markdown, sentences), links])

    def _log_model(self, run_id: str, selection: Selection) -> Any:
        """Log the model that MLflow serves as an output of the run that trained it, and return it.

        It belongs to the experiment of the study, whose tab of models shows it.
        """
        from mlflow.entities import LoggedModelOutput

        execution, arrays = self.execution, self.arrays
        tracker, client = execution.tracker, execution.tracker.client
        about = {"classes": list(arrays.classes), "image_size": arrays.image_size}
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            network = tracker.artifact(run_id, NETWORK, folder)
            (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
            save_servable(network, folder / "about.json", folder / "servable")
            model = client.create_logged_model(
                execution.experiment,
                NOT_IN_NAMES.sub("_", self.name) + NETWORK_OF,
                run_id,
                {PREFIX + "study": execution.study.name, STUDY_RUN: execution.run_id},
                {name: show(level) for name, level in selection.chosen.items()},
            )
            client.log_model_artifacts(model.model_id, str(folder / "servable"))
        client.finalize_logged_model(model.model_id, "READY")
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
        return model
