"""Who is champion: a challenger's judgement, its promotion, and the way back.

The alias moves only by `crown` and `roll_back`, and only to a version that beat today's champion
on the same test images, or that a person put there with a reason.
"""

import datetime as dt
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.mcnemar import McNemarResult, mcnemar_test
from tasks.errors import UserError
from tasks.registry.model_registry import (
    CHALLENGER,
    CHAMPION,
    DATASET,
    FORCED,
    ROLLED_BACK,
    SOURCE_RUN,
    STUDY_RUN,
    Registry,
)
from tasks.settings import Settings
from tasks.tracking.artifact_paths import PICTURES
from tasks.tracking.tracker import Tracker

#: Where an execution has none of its own.
ALPHA = 0.05
#: Begins the last paragraph of a version's description: its last judgement.
JUDGED = "\n\nJudged "


@dataclass(frozen=True)
class Promotion:
    """What was found of a challenger, and what was done.

    Attributes
    ----------
    model : the registered model.
    challenger : the version that was judged; empty where there was none.
    before, champion : the champion's version before and after; empty where there is none.
    earned : whether the challenger may take the alias.
    against : McNemar's figures; None where the two were not compared.
    why : all of it in words.
    dry_run : whether nothing was to be moved.
    """

    model: str
    challenger: str
    before: str
    champion: str
    earned: bool
    against: McNemarResult | None
    why: str
    dry_run: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**asdict(self), "moved": self.before != self.champion}

    def in_words(self) -> str:
        """Return what a terminal prints: what was found, and who is champion now."""
        if self.before != self.champion:
            was = f", before it version {self.before}" if self.before else ""
            now = f"Champion of {self.model} is version {self.champion}{was}."
        else:
            now = f"Champion of {self.model} is still {_named(self.champion)}."
        would = " Without --dry-run the alias would move." if self.dry_run and self.earned else ""
        return f"{self.why}\n{now}{would}"


def _named(number: str) -> str:
    return f"version {number}" if number else "no version"


def judge_challenger(
    registry: Registry, challenger: Any, labels: NDArray[np.int64] | None = None
) -> Promotion:
    """Judge a version against today's champion on the same test images; nothing is changed.

    Parameters
    ----------
    registry : the model.
    challenger : MLflow's version.
    labels : (N,) the truth of its test images; by default as its study logged it.

    Notes
    -----
    Each judgement reads the test images once more. Of very many challengers one in forty that are
    no better would pass at alpha = 0.05: let a study judge its cells, and bring its winner alone.
    """
    champion = registry.at(CHAMPION)
    before = "" if champion is None else str(champion.version)
    against = None
    try:
        against = _against(registry.tracker, challenger, champion, labels)
        alpha = _alpha(registry.tracker, challenger)
        earned, why = _verdict(challenger, champion, against, alpha)
    except UserError as error:
        # What cannot be compared has not won; a study must not fail for it at its very end.
        earned, why = False, f"Version {before} stays champion, without a comparison: {error}."
    number = str(challenger.version)
    return Promotion(registry.name, number, before, before, earned, against, why)


def _against(
    tracker: Tracker, challenger: Any, champion: Any, labels: NDArray[np.int64] | None
) -> McNemarResult | None:
    """Compare two versions on the challenger's test images; None where that says nothing."""
    if champion is None or champion.tags.get(SOURCE_RUN) == challenger.tags.get(SOURCE_RUN):
        return None
    dataset = challenger.tags.get(DATASET)
    if dataset is None or champion.tags.get(DATASET) != dataset:
        return None
    # A dataset version has one test side, in one order: these are the champion's labels as well.
    truth = _labels(tracker, challenger) if labels is None else labels
    ours, theirs = (
        right_answers(tracker, version.tags[SOURCE_RUN], truth)
        for version in (challenger, champion)
    )
    return mcnemar_test(ours, theirs)


def _labels(tracker: Tracker, version: Any) -> NDArray[np.int64]:
    """Return the truth of a version's test images."""
    pictures = tracker.read_json(version.tags[STUDY_RUN], PICTURES)
    if pictures is None:
        raise UserError(
            f"model {version.name}: the study of version {version.version} was logged without "
            f"{PICTURES}, the labels of its test images; run `factorgrid search` on it again"
        )
    return np.asarray(pictures["test_labels"], dtype=np.int64)


def right_answers(tracker: Tracker, run_id: str, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for every test image whether a run's network answered right.

    Raises
    ------
    UserError
        If the run has no answers, or not to these images.
    """
    saved = tracker.read(run_id, "model/predictions.npz")
    if saved is None:
        raise UserError(
            f"run {run_id}: no model/predictions.npz, its answers to the test images; train it "
            "again, or promote by --force"
        )
    with np.load(io.BytesIO(saved)) as arrays:
        answers = arrays["test_probability"].argmax(axis=1)
    if answers.shape != labels.shape:
        raise UserError(
            f"run {run_id}: answered {len(answers):,} test images where there are "
            f"{len(labels):,}; only the same ones compare two models"
        )
    return np.asarray(answers == labels, dtype=bool)


def _alpha(tracker: Tracker, version: Any) -> float:
    """Return the level of the study that the version comes from."""
    run_id = version.tags.get(STUDY_RUN)
    return (
        float(tracker.client.get_run(run_id).data.params.get("alpha", ALPHA)) if run_id else ALPHA
    )


def _verdict(
    challenger: Any, champion: Any, against: McNemarResult | None, alpha: float
) -> tuple[bool, str]:
    number = challenger.version
    if ROLLED_BACK in challenger.tags:
        return False, (
            f"Version {number} was rolled back ({challenger.tags[ROLLED_BACK]}): only --force "
            "brings it back."
        )
    if champion is None:
        return True, "The first of its name, so the champion."
    today = champion.version
    if champion.tags.get(SOURCE_RUN) == challenger.tags.get(SOURCE_RUN):
        return False, f"Version {today}, today's champion, is the same network."
    if against is None:
        return False, (
            f"Version {today} stays champion: it was tested on other pictures (dataset version "
            f"{champion.tags.get(DATASET, 'unknown')}, version {number}'s "
            f"{challenger.tags.get(DATASET, 'unknown')}), and only the same test images compare "
            "two models."
        )
    if against.challenger_is_better(alpha):
        return True, f"Version {number} beat version {today}: {against}."
    return False, f"Version {today} stays champion: {against}."


def settle(registry: Registry, judged: Promotion) -> Promotion:
    """Do what a judgement says: move the alias or not, with the figures in the description."""
    version = registry.version(judged.challenger)
    about = (version.description or "").partition(JUDGED)[0]
    registry.describe(judged.challenger, f"{about}{JUDGED}{_today()}: {judged.why}")
    if not judged.earned:
        return judged
    registry.crown(judged.challenger)
    return replace(judged, champion=judged.challenger)


def _today() -> str:
    return f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}"


def promotion_of(settings: Settings, name: str, given: Mapping[str, Any]) -> Promotion:
    """Do what the options of the command line ask for.

    Raises
    ------
    UserError
        If they do not go together, or as `promote_model` and `roll_back`.
    """
    force, rollback, because = given["force"], given["rollback"], given["because"]
    if force and not because:
        raise UserError("--force: needs --because TEXT, the reason that is kept with the version")
    if because and not (force or rollback):
        raise UserError("--because: goes with --force or --rollback; add one, or leave it out")
    if rollback and (force or given["number"]):
        raise UserError("--rollback: knows where to; leave --version and --force out")
    tracker = Tracker.open(settings, create=False)
    if rollback:
        return roll_back(tracker, name, dry_run=given["dry_run"], because=because)
    return promote_model(
        tracker, name, number=given["number"], dry_run=given["dry_run"], because=because
    )


def promote_model(
    tracker: Tracker,
    name: str,
    *,
    number: str | None = None,
    dry_run: bool = False,
    because: str | None = None,
) -> Promotion:
    """Make a challenger champion if it earned it, or because a person says so.

    Parameters
    ----------
    tracker : the server with the registry.
    name : the model.
    number : the version to judge; by default that of the alias ``challenger``.
    dry_run : change nothing.
    because : why it is to be champion whatever the judgement.

    Raises
    ------
    UserError
        If there is no such model or version, or its test answers are not there.
    """
    registry = Registry.open(tracker, name)
    with registry.held():
        challenger = registry.version(number) if number else registry.at(CHALLENGER)
        if challenger is None:
            return _nobody(registry, dry_run=dry_run)
        judged = (
            _forced(registry, challenger, because)
            if because
            else judge_challenger(registry, challenger)
        )
        if dry_run:
            return replace(judged, dry_run=True)
        if because:
            registry.tag(judged.challenger, FORCED, f"{_today()}: {because}")
            registry.untag(judged.challenger, ROLLED_BACK)
        return settle(registry, judged)


def _nobody(registry: Registry, *, dry_run: bool) -> Promotion:
    champion = registry.at(CHAMPION)
    number = "" if champion is None else str(champion.version)
    why = "No version is challenger: there is nobody to judge (--version names one)."
    return Promotion(
        registry.name, "", number, number, earned=False, against=None, why=why, dry_run=dry_run
    )


def _forced(registry: Registry, challenger: Any, because: str) -> Promotion:
    champion = registry.at(CHAMPION)
    before = "" if champion is None else str(champion.version)
    number = str(challenger.version)
    if number == before:
        raise UserError(f"model {registry.name}: version {number} is champion already")
    why = f"Version {number} is champion by hand, without a comparison: {because}"
    return Promotion(registry.name, number, before, before, earned=True, against=None, why=why)


def roll_back(
    tracker: Tracker, name: str, *, dry_run: bool = False, because: str | None = None
) -> Promotion:
    """Return to the champion before today's; today's is marked, and never judged again.

    Raises
    ------
    UserError
        If there was none before it.
    """
    registry = Registry.open(tracker, name)
    with registry.held():
        return _rolled_back(registry, because, dry_run=dry_run)


def _rolled_back(registry: Registry, because: str | None, *, dry_run: bool) -> Promotion:
    name, champions = registry.name, registry.champions()
    there = {str(version.version) for version in registry.versions()}
    earlier = [number for number in champions[:-1] if number in there]
    if registry.at(CHAMPION) is None or not earlier:
        raise UserError(
            f"model {name}: no champion before {_named(' '.join(champions[-1:]))} to return to; "
            "name a version with --version and --force"
        )
    last, before = champions[-1], earlier[-1]
    reason = f": {because}" if because else ""
    why = f"Version {last} is rolled back{reason}; version {before} was champion before it."
    done = Promotion(name, before, last, last, earned=True, against=None, why=why, dry_run=dry_run)
    if dry_run:
        return done
    registry.move(before)
    registry.tag(last, ROLLED_BACK, f"{_today()}{reason}")
    return replace(done, champion=before)
