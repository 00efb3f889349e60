"""The champion only gets better: judging on the same test images, promoting, rolling back."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
from support.fake_registry import FakeRegistry
from support.small_study import Done, factorgrid, open_tracker

from analysis.mcnemar import Look, McNemarResult, accuracy_with_interval
from models.images.arrays import open_arrays
from tasks.errors import LeaseLostError, UserError
from tasks.languages import LANGUAGES, translator
from tasks.registry.approval import promote_if_approved
from tasks.registry.model_lock import OWNER
from tasks.registry.model_registry import (
    CHALLENGER,
    CHAMPION,
    FORCED,
    HISTORY,
    ROLLED_BACK,
    Registry,
)
from tasks.registry.promote import (
    Promotion,
    judge_challenger,
    promote_model,
    promotion_result_as_json,
    promotion_result_as_text,
    right_answers,
    roll_back,
)
from tasks.registry.register import (
    Registered,
    WinnerRegistration,
    read_registered,
    registered_of_json,
)
from tasks.registry.verdict import PromotionKind, PromotionVerdict, promotion_as_text
from tasks.search.confirm import choose_cell
from tasks.tracking.execution import Execution
from tasks.tracking.tracker import Tracker


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    return open_tracker(tmp_path_factory.mktemp("registry") / "home")


@pytest.fixture
def fake(tracker: Tracker, request: pytest.FixtureRequest) -> FakeRegistry:
    return FakeRegistry(tracker, request.node.name[:90])


def _text(found: Promotion) -> str:
    return promotion_as_text(found.verdict, translator("en"))


def test_the_first_version_becomes_champion(fake: FakeRegistry) -> None:
    found = fake.promote(fake.add(150))
    assert (found.before, found.champion, found.earned) == ("", "1", True)
    assert fake.champion == "1"


def test_a_challenger_that_beats_the_champion_takes_its_place(fake: FakeRegistry) -> None:
    fake.promote(fake.add(150))
    fake.registry.set_challenger(fake.add(170))
    found = fake.promote()
    assert found.verdict.comparison.only_challenger == 20
    assert fake.champion == "2"
    assert fake.registry.version_of(CHALLENGER) is None
    described = fake.registry.version("2").description
    assert described.startswith("170 right.\n\nJudged ")
    assert "only the challenger classified 20 correctly and only the champion 0" in described


def test_a_challenger_that_is_not_shown_to_be_better_changes_nothing_but_its_description(
    fake: FakeRegistry,
) -> None:
    fake.promote(fake.add(150))
    fake.registry.set_challenger(fake.add(153))  # McNemar's exact p of 3 against 0 is 0.25
    for _ in range(2):
        found = fake.promote()
        assert not found.earned
    assert fake.champion == "1"
    assert str(fake.registry.version_of(CHALLENGER).version) == "2"
    assert fake.registry.version("2").description.count("Judged") == 1


def test_a_dry_run_reports_and_promotes_nothing(fake: FakeRegistry) -> None:
    fake.promote(fake.add(150))
    fake.add(190)
    found = fake.promote("2", dry_run=True)
    assert found.earned
    assert "Without --dry-run the alias would move" in promotion_result_as_text(found)
    assert fake.champion == "1"
    assert fake.registry.version("2").description == "190 right."


def test_a_dry_run_is_a_look_because_its_result_is_known(fake: FakeRegistry) -> None:
    """Otherwise a person could choose the luckiest of many challengers at the level of one look."""
    fake.promote(fake.add(150))
    looks = [fake.promote(fake.add(150), dry_run=True).verdict.look for _ in range(3)]
    assert looks == [Look(1, 0.05), Look(2, 0.05), Look(3, 0.05)]
    found = fake.promote(fake.add(158), dry_run=True)  # p = 0.0078, and level 0.005
    assert (found.verdict.look, found.earned) == (Look(4, 0.05), False)
    assert fake.promote(found.challenger).verdict.look == Look(4, 0.05)


def test_each_look_at_the_same_images_has_a_smaller_share_of_alpha(fake: FakeRegistry) -> None:
    fake.promote(fake.add(150))
    # Seven to nothing has p = 0.0156, eight to nothing 0.0078: levels 0.05, 0.0167, 0.0083, 0.005.
    assert fake.promote(fake.add(152)).verdict.look == Look(1, 0.05)
    assert fake.promote(fake.add(153)).verdict.look == Look(2, 0.05)
    found = fake.promote(fake.add(157))
    assert (found.verdict.look, found.earned) == (Look(3, 0.05), False)
    assert "look 3 at these test images: with p below 0.0083" in _text(found)
    assert promotion_result_as_json(found)["look"]["spent"] == 0.75
    found = fake.promote(fake.add(158))
    assert (found.verdict.look, found.earned) == (Look(4, 0.05), False)
    assert fake.promote(fake.add(160)).earned


def test_the_same_two_networks_are_one_look_and_other_images_begin_a_new_count(
    fake: FakeRegistry,
) -> None:
    fake.promote(fake.add(150))
    number = fake.add(157)
    looks = [fake.promote(number, dry_run=dry).verdict.look for dry in (True, True)]
    assert looks == [Look(1, 0.05)] * 2
    fake.add(151)
    assert fake.promote("3").verdict.look == Look(2, 0.05)
    assert [fake.promote("3").verdict.look for _ in range(2)] == [Look(2, 0.05)] * 2
    # The first pair again, and then against a new champion.
    assert fake.promote(number).verdict.look == Look(1, 0.05)
    assert fake.promote("3", because="for a test").verdict.look is None
    assert fake.promote(number).verdict.look == Look(3, 0.05)
    fake.promote(fake.add(100, dataset="second"), because="new images")
    assert fake.promote(fake.add(101, dataset="second")).verdict.look == Look(1, 0.05)


def test_new_test_images_are_asked_for_when_alpha_is_spent(fake: FakeRegistry) -> None:
    fake.promote(fake.add(150))
    texts = [_text(fake.promote(fake.add(150 - i))) for i in range(9)]
    assert ["Get new test images" in text for text in texts] == [False] * 8 + [True]


def test_models_on_different_test_images_are_never_compared(fake: FakeRegistry) -> None:
    fake.promote(fake.add(100))
    found = fake.promote(fake.add(200, dataset="second"))
    assert found.verdict.comparison is None
    assert "it was tested on other images" in _text(found)
    assert fake.champion == "1"


def test_answers_to_another_number_of_images_do_not_win(fake: FakeRegistry) -> None:
    fake.promote(fake.add(100))
    found = fake.promote(fake.add(50, labels=np.zeros(50, dtype=int)))
    assert "200 test images, but there are 50 labels" in _text(found)
    assert fake.champion == "1"


def test_rolling_back_returns_to_the_champion_before_each_time(fake: FakeRegistry) -> None:
    for right in (100, 130, 160):
        fake.promote(fake.add(right))
    tracker, name = fake.registry.tracker, fake.registry.name
    assert fake.client.get_registered_model(name).tags[HISTORY] == "1 2 3"
    assert roll_back(tracker, name, dry_run=True).champion == "3"
    assert fake.champion == "3"
    found = roll_back(tracker, name, because="cats on sofas")
    assert (found.before, found.champion, fake.champion) == ("3", "2", "2")
    assert fake.registry.version("3").tags[ROLLED_BACK].endswith(": cats on sofas")
    roll_back(tracker, name)
    assert fake.champion == "1"
    with pytest.raises(UserError, match="no champion before version 1"):
        roll_back(tracker, name)


def test_a_version_that_was_rolled_back_becomes_champion_only_by_force(fake: FakeRegistry) -> None:
    for right in (100, 130):
        fake.promote(fake.add(right))
    roll_back(fake.registry.tracker, fake.registry.name)
    found = fake.promote("2")
    assert not found.earned
    assert "was rolled back" in _text(found)
    fake.promote("2", because="it was the data")
    assert fake.champion == "2"
    tags = fake.registry.version("2").tags
    assert tags[FORCED].endswith(": it was the data")
    assert ROLLED_BACK not in tags
    roll_back(fake.registry.tracker, fake.registry.name)
    assert fake.champion == "1"


def test_the_history_continues_from_the_version_that_was_returned_to(fake: FakeRegistry) -> None:
    for right in (100, 130):
        fake.promote(fake.add(right))
    roll_back(fake.registry.tracker, fake.registry.name)
    fake.promote(fake.add(160))
    assert fake.registry.champions() == ["1", "3"]


def test_a_promotion_cut_off_before_the_alias_moved_can_be_rolled_back(
    fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for right in (100, 130):
        fake.promote(fake.add(right))

    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "move_champion_alias", cut_off)
        with pytest.raises(KeyboardInterrupt):
            fake.promote(fake.add(160))
    assert fake.champion == "2"
    assert fake.registry.champions() == ["1", "2"]
    fake.promote("3")
    assert fake.registry.champions() == ["1", "2", "3"]


def test_without_a_challenger_there_is_no_error_and_nothing_moves(fake: FakeRegistry) -> None:
    fake.promote(fake.add(100))
    found = fake.promote()
    assert "nothing to judge" in _text(found)
    assert (found.before, found.champion) == ("1", "1")


@pytest.mark.parametrize("action", ["promote", "force", "roll back"])
def test_a_process_that_lost_the_lock_moves_no_alias(
    fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """It is suspended while it judges, or reads the champions."""
    fake.promote(fake.add(150))
    fake.promote(fake.add(170))
    if action != "roll back":
        fake.registry.set_challenger(fake.add(190))
    registry, before = fake.registry, fake.champion
    challenger = registry.version(str(len(registry.versions())))
    version, champions = Registry.version_of, Registry.champions
    actions: dict[str, Callable[[], Any]] = {
        "promote": fake.promote,
        "force": partial(fake.promote, because="better on new images"),
        "roll back": partial(roll_back, registry.tracker, registry.name),
    }

    def lose_lock() -> None:
        registry.client.set_registered_model_tag(registry.name, OWNER, "another process")

    def suspended(self: Registry, alias: str) -> Any:
        lose_lock()
        return version(self, alias)

    def suspended_too(self: Registry) -> Any:
        lose_lock()
        return champions(self)

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "version_of", suspended)
        patch.setattr(Registry, "champions", suspended_too)
        with pytest.raises(LeaseLostError, match="another process took over its lock"):
            actions[action]()
    assert fake.champion == before
    after = registry.version(str(challenger.version))
    assert (after.description, after.tags) == (challenger.description, challenger.tags)


def test_judging_writes_nothing(fake: FakeRegistry) -> None:
    fake.promote(fake.add(100))
    number = fake.add(150)
    assert judge_challenger(fake.registry, fake.registry.version(number)).earned
    assert fake.champion == "1"
    assert fake.registry.version(number).description == "150 right."


def test_no_approval_is_requested_for_a_challenger_that_has_not_earned_it(
    fake: FakeRegistry,
) -> None:
    fake.promote(fake.add(150))
    fake.registry.set_challenger(fake.add(150))
    assert not promote_if_approved(fake.registry.tracker, fake.registry.name).earned
    assert fake.champion == "1"


def test_without_a_deployment_no_approval_can_be_requested(fake: FakeRegistry) -> None:
    fake.promote(fake.add(100))
    fake.registry.set_challenger(fake.add(150))
    with pytest.raises(UserError, match="only the run of a deployment can wait for a person"):
        promote_if_approved(fake.registry.tracker, fake.registry.name)
    assert fake.champion == "1"


def test_a_study_registers_by_the_same_judgement(done: Done) -> None:
    execution = done.execution
    study = execution.study.model_copy(update={"registered_model": "tiny-2"})
    arrays = open_arrays(next(path for path in (done.home / "cache").iterdir()))
    registration = WinnerRegistration(replace(execution, study=study), arrays)
    labels = arrays.labels[arrays.side("test")]
    selection: Any = SimpleNamespace(chosen={"conv_layers": 1})
    runs = execution.runs()["run_id"].tolist()
    right = [right_answers(execution.tracker, run, labels) for run in runs]
    # Another seed of the best cell, and the best one: both are far better than the constant answer.
    worst, best = np.argsort([own.mean() for own in right])[[-2, -1]]

    def register(place: int) -> Registered:
        return registration.register(runs[place], selection, right[place], labels)

    assert register(best).alias == CHAMPION
    second = register(worst)
    assert (second.alias, second.version) == (CHALLENGER, "2")
    assert second.against is not None
    assert second.against.only_champion >= second.against.only_challenger
    # The same run again is the same version, and the champion is not beaten by itself.
    assert register(worst).version == "2"
    assert (register(best).alias, register(best).version) == (CHAMPION, "1")
    described = Registry(execution.tracker, "tiny-2").version("2").description
    assert described.count("Judged") == 1
    assert promotion_as_text(second.verdict, translator("en")) in described


def test_an_execution_that_was_cut_off_after_registering_repeats_its_verdict(done: Done) -> None:
    study = done.execution.study.model_copy(update={"registered_model": "cut off"})
    execution = replace(done.execution, study=study)
    arrays = open_arrays(next(path for path in (done.home / "cache").iterdir()))
    labels = arrays.labels[arrays.side("test")]
    selection: Any = SimpleNamespace(chosen={"conv_layers": 1})
    run_id = execution.runs()["run_id"].iloc[0]
    right = np.ones(len(labels), dtype=bool)

    def register(execution: Execution) -> Registered:
        return WinnerRegistration(execution, arrays).register(run_id, selection, right, labels)

    first = register(execution)
    assert (first.alias, first.verdict.kind) == (CHAMPION, "first")
    assert register(execution) == first
    client = execution.tracker.client
    later = client.create_run(client.create_experiment("later")).info.run_id
    again = register(replace(execution, run_id=later))
    assert (again.alias, again.version, again.verdict.kind) == (CHAMPION, "1", "won_again")
    assert client.get_run(later).data.metrics["test_accuracy"] == 1


def test_a_network_that_does_not_beat_the_constant_answer_is_no_champion_without_force(
    done: Done,
) -> None:
    study = done.execution.study.model_copy(update={"registered_model": "constant"})
    execution = replace(done.execution, study=study)
    arrays = open_arrays(next(path for path in (done.home / "cache").iterdir()))
    labels = arrays.labels[arrays.side("test")]
    most = int(np.bincount(labels).max())
    selection: Any = SimpleNamespace(chosen={"conv_layers": 1})
    run_id = execution.runs()["run_id"].iloc[0]
    # More images than the constant answer, but too few more to show anything.
    right = np.arange(len(labels)) < most + 1
    registration, tracker = WinnerRegistration(execution, arrays), execution.tracker
    Registry(tracker, "constant").create("")
    found = registration.register(run_id, selection, right, labels)
    assert (found.alias, found.verdict.kind) == ("", "not_learned")
    assert found.address == f"models:/constant/{found.version}"
    assert found.constant is not None
    assert found.constant.right == most + 1 > found.constant.constant_right
    assert "not shown to be better than the constant answer" in promotion_as_text(
        found.verdict, translator("en")
    )
    registry = Registry(tracker, "constant")
    assert registry.version_of(CHAMPION) is registry.version_of(CHALLENGER) is None
    # An earlier version of FactorGrid had made such a network the challenger.
    registry.set_challenger(found.version)
    assert registration.register(run_id, selection, right, labels).alias == ""
    assert registry.version_of(CHALLENGER) is None
    assert registered_of_json(json.loads(json.dumps(asdict(found)))) == found
    registry.set_challenger(found.version)
    assert promote_model(tracker, "constant").verdict.kind == "not_learned"
    assert promote_model(tracker, "constant", because="for a test").champion == found.version


def test_a_stored_verdict_is_read_back_as_data(done: Done) -> None:
    registered = read_registered(done.execution)
    assert registered is not None
    assert registered.verdict.kind == "first"
    # Nothing was run twice in this study, or all trainings of the chosen cell are counted.
    selection = choose_cell(done.execution)
    trainings = int(selection.row(selection.chosen)["n"])
    expected = trainings if selection.error_df else None
    assert (registered.recipe and registered.recipe.trainings) == expected
    assert registered_of_json(json.loads(json.dumps(asdict(registered)))) == registered
    sentence = promotion_as_text(registered.verdict, translator("en"))
    assert done.outcome["registered"]["why"] == sentence


def test_an_old_record_has_a_sentence_which_is_shown_as_it_is() -> None:
    record: dict[str, Any] = {"name": "m", "version": "2", "alias": "challenger", "run_id": "r"}
    record |= {"test": vars(accuracy_with_interval(np.array([True, False])))}
    against: dict[str, Any] = {"only_challenger": 1, "only_champion": 2, "n": 9, "p": 1.0}
    record |= {"against": against, "why": "Version {1} stays champion: of 9 test images ..."}
    registered = registered_of_json(record)
    assert registered.against == McNemarResult(**against)
    for language in LANGUAGES:
        assert promotion_as_text(registered.verdict, translator(language)) == record["why"]


@pytest.mark.parametrize("kind", get_args(PromotionKind))
def test_every_verdict_has_a_text_and_survives_json(kind: PromotionKind) -> None:
    verdict = PromotionVerdict(kind, "2", "1", McNemarResult(1, 2, 9, 1.0), "b", "a", "because")
    verdict = replace(verdict, look=Look(9, 0.05))
    texts = {promotion_as_text(verdict, translator(language)) for language in LANGUAGES}
    assert all(texts)
    assert len(texts) == len(LANGUAGES)
    stored = json.loads(json.dumps(asdict(verdict)))
    assert PromotionVerdict.of_json(stored) == verdict


def test_promote_from_the_terminal(fake: FakeRegistry) -> None:
    home, name = fake.registry.tracker.settings.home, fake.registry.name
    fake.promote(fake.add(100))
    fake.registry.set_challenger(fake.add(150))
    ended = factorgrid("promote", name, "--json", home=home)
    assert ended.returncode == 0, ended.stderr
    answer = json.loads(ended.stdout)
    found = {key: answer[key] for key in ("before", "champion", "earned", "moved", "dry_run")}
    assert found == {
        "before": "1",
        "champion": "2",
        "earned": True,
        "moved": True,
        "dry_run": False,
    }
    assert answer["against"]["only_challenger"] == 50
    ended = factorgrid("promote", name, "--rollback", home=home)
    assert ended.stdout.splitlines()[-1] == (
        f"The champion of {name} is now version 1 (before: version 2)."
    )


#: Arguments, and what the message must contain.
BAD = {
    "an unknown model": (("nobody",), "'nobody'"),
    "an unknown version": (("NAME", "--version", "9"), "no version 9; there are: 1"),
    "force without a reason": (("NAME", "--force"), "--because TEXT"),
    "a reason for nothing": (("NAME", "--because", "x"), "--because: goes with"),
    "nothing to return to": (("NAME", "--rollback"), "no champion before version 1"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_wrong_argument_is_one_line(
    fault: str,
    fake: FakeRegistry,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flows.cli import main

    fake.promote(fake.add(100))
    settings = fake.registry.tracker.settings
    monkeypatch.setenv("FACTORGRID_HOME", str(settings.home))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", settings.tracking_uri)
    arguments, message = BAD[fault]
    words = [fake.registry.name if word == "NAME" else word for word in arguments]
    with pytest.raises(SystemExit) as ended:
        main(["promote", *words])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("factorgrid: ")
    assert message in line


@pytest.mark.slow
def test_the_flow_of_a_schedule_promotes_as_the_command_does(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    import subprocess
    import sys

    from support.small_study import environment

    home = fake.registry.tracker.settings.home
    fake.promote(fake.add(100))
    fake.registry.set_challenger(fake.add(150))
    code = (
        "import json, sys; from tasks.environment import prepare_environment as p; p().create();"
        "from flows.promote import promote; print(json.dumps(promote(sys.argv[1])))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, fake.registry.name],
        env=environment(home),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["champion"] == "2"
    assert fake.champion == "2"
