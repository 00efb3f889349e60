"""Promoting a challenger to champion, and rolling a champion back.

The champion's alias moves only by `Registry.promote` and `roll_back`: to a version that beat the
champion on the same test images, or to one that a person named with a reason.
"""

import datetime as dt
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.mcnemar import Look, McNemarResult, mcnemar_test
from tasks.errors import UserError
from tasks.languages import translator
from tasks.registry.model_lock import ModelLock
from tasks.registry.model_registry import (
    CHALLENGER,
    CHAMPION,
    DATASET,
    FORCED,
    NOT_LEARNED,
    ROLLED_BACK,
    SOURCE_RUN,
    STUDY_RUN,
    Registry,
)
from tasks.registry.verdict import PromotionKind, PromotionVerdict, promotion_as_text
from tasks.settings import Settings
from tasks.tracking.artifact_paths import PICTURES, PREDICTIONS
from tasks.tracking.predictions import stored_probability
from tasks.tracking.tracker import Tracker

#: The level of the test, if the version's study has none.
ALPHA = 0.05
#: Starts the last paragraph of a version's description, which has its last verdict.
JUDGED = "\n\nJudged "


@dataclass(frozen=True)
class ApprovalAnswer:
    """What a person answered when asked whether the alias may move."""

    approved: bool
    reason: str = ""


@dataclass(frozen=True)
class Promotion:
    """The verdict on a challenger, and what was done.

    Attributes
    ----------
    model : the registered model.
    verdict : whether the challenger may become champion, and why.
    before, champion : the champion's version before and after; empty if there is none.
    dry_run : whether nothing was to be changed.
    approval : a person's answer; None if nobody was asked.
    """

    model: str
    verdict: PromotionVerdict
    before: str
    champion: str
    dry_run: bool = False
    approval: ApprovalAnswer | None = None

    @property
    def earned(self) -> bool:
        """Whether the challenger may become champion."""
        return self.verdict.earned

    @property
    def challenger(self) -> str:
        """The version that was judged; empty if there was none."""
        return self.verdict.challenger

    @property
    def moved(self) -> bool:
        """Whether another version is champion now."""
        return self.before != self.champion


def promotion_result_as_json(found: Promotion) -> dict[str, Any]:
    """Return a promotion as plain JSON types; ``why`` is the verdict as a sentence."""
    comparison, look = found.verdict.comparison, found.verdict.look
    return {
        "model": found.model,
        "challenger": found.challenger,
        "before": found.before,
        "champion": found.champion,
        "earned": found.earned,
        "against": comparison and asdict(comparison),
        "look": look
        and {
            **asdict(look),
            "level": look.level,
            "spent": look.spent,
            "used_up": look.used_up,
        },
        "why": "\n".join(_reason_lines(found, "en")),
        "dry_run": found.dry_run,
        "moved": found.moved,
    }


def promotion_result_as_text(found: Promotion, language: str = "en") -> str:
    """Return the verdict, and which version is champion now."""
    translate = translator(language)
    if not found.champion:
        key = "promotion_champion_none"
    elif not found.moved:
        key = "promotion_champion_kept"
    else:
        key = "promotion_champion_changed" if found.before else "promotion_champion_new"
    now = translate(key, model=found.model, champion=found.champion, before=found.before)
    if found.dry_run and found.earned:
        now = f"{now} {translate('promotion_dry_run')}"
    return "\n".join([*_reason_lines(found, language), now])


def _reason_lines(found: Promotion, language: str) -> list[str]:
    """Return the verdict and a person's answer to it, one line each."""
    translate = translator(language)
    lines = [promotion_as_text(found.verdict, translate)]
    if found.approval is not None:
        key = "promotion_approved" if found.approval.approved else "promotion_not_approved"
        reason = f" ({found.approval.reason})" if found.approval.reason else ""
        lines.append(translate(key, reason=reason))
    return lines


# -- judging ------------------------------------------------------------------------------------


def judge_challenger(
    registry: Registry, challenger: Any, labels: NDArray[np.int64] | None = None
) -> Promotion:
    """Judge a version against the champion on the same test images; nothing is changed.

    Parameters
    ----------
    registry : the model.
    challenger : MLflow's version.
    labels : (N,) the true classes of its test images; by default those that its study logged.

    Notes
    -----
    Each judgement of another pair is one more look at the same test images, with a smaller share of
    alpha; see `analysis.mcnemar.Look`. `apply_verdict` remembers it.
    """
    champion = registry.version_of(CHAMPION)
    before = "" if champion is None else str(champion.version)
    try:
        verdict = _verdict(registry, challenger, champion, labels)
    except UserError as error:
        # A version that cannot be compared has not won, and a study must not fail at its very end.
        verdict = PromotionVerdict(
            "not_compared", str(challenger.version), before, reason=str(error)
        )
    return Promotion(registry.name, verdict, before, before)


def _verdict(
    registry: Registry, challenger: Any, champion: Any, labels: NDArray[np.int64] | None
) -> PromotionVerdict:
    number = str(challenger.version)
    if ROLLED_BACK in challenger.tags:
        current = "" if champion is None else str(champion.version)
        reason = challenger.tags[ROLLED_BACK]
        return PromotionVerdict("was_rolled_back", number, current, reason=reason)
    if NOT_LEARNED in challenger.tags:
        current = "" if champion is None else str(champion.version)
        return PromotionVerdict("not_learned", number, current)
    if champion is None:
        return PromotionVerdict("first", number)
    current = str(champion.version)
    if champion.tags.get(SOURCE_RUN) == challenger.tags.get(SOURCE_RUN):
        return PromotionVerdict("same_network", number, current)
    datasets = [version.tags.get(DATASET, "") for version in (challenger, champion)]
    if not datasets[0] or datasets[0] != datasets[1]:
        return PromotionVerdict("other_images", number, current, None, *datasets)
    comparison = _compare(registry.tracker, challenger, champion, labels)
    look = Look(registry.look_number(challenger, current), _alpha(registry.tracker, challenger))
    kind: PromotionKind = "not_better"
    if comparison.challenger_is_better(look.level):
        kind = "better"
    return PromotionVerdict(kind, number, current, comparison, look=look)


def _compare(
    tracker: Tracker, challenger: Any, champion: Any, labels: NDArray[np.int64] | None
) -> McNemarResult:
    """Compare two versions on the challenger's test images."""
    # A dataset version has one test side in one order: these are the champion's labels, too.
    truth = _test_labels(tracker, challenger) if labels is None else labels
    answers = [
        right_answers(tracker, version.tags[SOURCE_RUN], truth)
        for version in (challenger, champion)
    ]
    return mcnemar_test(*answers)


def _test_labels(tracker: Tracker, version: Any) -> NDArray[np.int64]:
    """Return the true classes of a version's test images."""
    pictures = tracker.read_json(version.tags[STUDY_RUN], PICTURES)
    if pictures is None:
        raise UserError(
            f"model {version.name}: the study of version {version.version} was logged without "
            f"{PICTURES}, the labels of its test images; run `factorgrid search` on it again"
        )
    return np.asarray(pictures["test_labels"], dtype=np.int64)


def right_answers(tracker: Tracker, run_id: str, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for every test image whether a run's network classified it correctly.

    Raises
    ------
    UserError
        As `test_probability` does.
    """
    return np.asarray(
        test_probability(tracker, run_id, labels).argmax(axis=1) == labels, dtype=bool
    )


def test_probability(
    tracker: Tracker, run_id: str, labels: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the probabilities (N, classes) that a run's network gave the test images.

    Parameters
    ----------
    labels : (N,) the true classes.

    Raises
    ------
    UserError
        If the run has no predictions, or not for these images.
    """
    answers = stored_probability(tracker, run_id, "test")
    if answers is None:
        raise UserError(
            f"run {run_id}: no {PREDICTIONS}, its answers to the test images; train it again, or "
            "promote its version with --force"
        )
    if len(answers) != len(labels):
        raise UserError(
            f"run {run_id}: has answers to {len(answers):,} test images, but there are "
            f"{len(labels):,} labels; two models are only compared on the same test images"
        )
    return answers


def _alpha(tracker: Tracker, version: Any) -> float:
    """Return the significance level of the study that registered a version."""
    run_id = version.tags.get(STUDY_RUN)
    return (
        float(tracker.client.get_run(run_id).data.params.get("alpha", ALPHA)) if run_id else ALPHA
    )


# -- promoting ----------------------------------------------------------------------------------


def apply_verdict(registry: Registry, judged: Promotion) -> Promotion:
    """Remember the look, describe the version with its verdict, move the alias if it earned it."""
    _remember_look(registry, judged)
    version = registry.version(judged.challenger)
    description = (version.description or "").partition(JUDGED)[0]
    verdict = promotion_as_text(judged.verdict, translator("en"))
    registry.describe(judged.challenger, f"{description}{JUDGED}{_today()}: {verdict}")
    if not judged.earned:
        return judged
    registry.promote(judged.challenger)
    return replace(judged, champion=judged.challenger)


def _remember_look(registry: Registry, judged: Promotion) -> None:
    look = judged.verdict.look
    if look is not None:
        registry.remember_look(judged.challenger, judged.before, look.number)


def _today() -> str:
    return f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}"


def promote_by_options(settings: Settings, name: str, given: Mapping[str, Any]) -> Promotion:
    """Promote, force or roll back, as the options of the command line say.

    Raises
    ------
    UserError
        If options exclude each other; otherwise as `promote_model` and `roll_back`.
    """
    force, rollback, because = given["force"], given["rollback"], given["because"]
    if force and not because:
        raise UserError("--force: needs --because TEXT, the reason that is kept with the version")
    if because and not (force or rollback):
        raise UserError("--because: goes with --force or --rollback; add one, or leave it out")
    if rollback and (force or given["number"]):
        raise UserError(
            "--rollback: returns to the champion before; leave out --version and --force"
        )
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
    name : of the model.
    number : the version to judge; by default the one with the alias ``challenger``.
    dry_run : move no alias and describe no version. The look is remembered: its result is known.
    because : the reason to make it champion without a comparison.

    Raises
    ------
    UserError
        If there is no such model or version, or its answers to the test images are missing.
    LeaseLostError
        If another process took over the lock of the model.
    """
    registry = Registry.open(tracker, name)
    with registry.lock() as lock:
        challenger = registry.version(number) if number else registry.version_of(CHALLENGER)
        if challenger is None:
            current = registry.champion_number()
            verdict = PromotionVerdict("no_challenger", champion=current)
            return Promotion(name, verdict, current, current, dry_run=dry_run)
        judged = (
            _forced_promotion(registry, challenger, because)
            if because
            else judge_challenger(registry, challenger)
        )
        lock.require_held()  # judging took a while
        if dry_run:
            _remember_look(registry, judged)
            return replace(judged, dry_run=True)
        if because:
            registry.tag(judged.challenger, FORCED, f"{_today()}: {because}")
            registry.untag(judged.challenger, ROLLED_BACK)
        return apply_verdict(registry, judged)


def _forced_promotion(registry: Registry, challenger: Any, because: str) -> Promotion:
    before, number = registry.champion_number(), str(challenger.version)
    if number == before:
        raise UserError(f"model {registry.name}: version {number} is champion already")
    verdict = PromotionVerdict("forced", number, before, reason=because)
    return Promotion(registry.name, verdict, before, before)


# -- rolling back -------------------------------------------------------------------------------


def roll_back(
    tracker: Tracker, name: str, *, dry_run: bool = False, because: str | None = None
) -> Promotion:
    """Return to the champion before the current one, which is marked and never judged again.

    Raises
    ------
    UserError
        If there is no earlier champion.
    LeaseLostError
        If another process took over the lock of the model.
    """
    registry = Registry.open(tracker, name)
    with nullcontext() if dry_run else registry.lock() as lock:
        return _roll_back(registry, because, lock)


def _roll_back(registry: Registry, because: str | None, lock: ModelLock | None) -> Promotion:
    name, champions = registry.name, registry.champions()
    existing = {str(version.version) for version in registry.versions()}
    earlier = [number for number in champions[:-1] if number in existing]
    if not registry.champion_number() or not earlier:
        current = f"version {champions[-1]}" if champions else "the first version"
        raise UserError(
            f"model {name}: no champion before {current} to return to; name a version with "
            "--version and --force"
        )
    last, before = champions[-1], earlier[-1]
    verdict = PromotionVerdict("rolled_back", before, last, reason=because or "")
    found = Promotion(name, verdict, last, last, dry_run=lock is None)
    if lock is None:
        return found
    lock.require_held()
    registry.move_champion_alias(before)
    registry.tag(last, ROLLED_BACK, f"{_today()}: {because}" if because else _today())
    return replace(found, champion=before)
