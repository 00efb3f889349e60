"""The champion only gets better: judged on the same test images, moved once, and back again."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.fake_registry import Shelf
from support.small_study import Done, factorgrid, open_tracker

from analysis.mcnemar import accuracy_with_interval
from models.images.arrays import open_arrays
from tasks.errors import UserError
from tasks.registry.approval import promote_if_approved
from tasks.registry.model_registry import (
    CHALLENGER,
    CHAMPION,
    FORCED,
    HISTORY,
    ROLLED_BACK,
    Registry,
)
from tasks.registry.promote import judge_challenger, right_answers, roll_back
from tasks.registry.register import Registered, _Entry
from tasks.tracking.tracker import Tracker


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    return open_tracker(tmp_path_factory.mktemp("registry") / "home")


@pytest.fixture
def shelf(tracker: Tracker, request: pytest.FixtureRequest) -> Shelf:
    return Shelf(tracker, request.node.name[:90])


def test_the_first_of_its_name_is_champion(shelf: Shelf) -> None:
    found = shelf.promote(shelf.add(150))
    assert (found.before, found.champion, found.earned) == ("", "1", True)
    assert shelf.champion == "1"


def test_a_challenger_that_beats_the_champion_takes_its_place(shelf: Shelf) -> None:
    shelf.promote(shelf.add(150))
    shelf.registry.challenge(shelf.add(170))
    found = shelf.promote()
    assert found.against.only_challenger == 20
    assert shelf.champion == "2"
    assert shelf.registry.at(CHALLENGER) is None
    described = shelf.registry.version("2").description
    assert described.startswith("170 right.\n\nJudged ")
    assert "only the challenger is correct on 20 and only the champion on 0" in described


def test_a_challenger_that_is_not_shown_to_be_better_changes_nothing_but_its_description(
    shelf: Shelf,
) -> None:
    shelf.promote(shelf.add(150))
    shelf.registry.challenge(shelf.add(153))  # McNemar's exact p of 3 against 0 is 0.25
    for _ in range(2):
        found = shelf.promote()
        assert not found.earned
    assert shelf.champion == "1"
    assert str(shelf.registry.at(CHALLENGER).version) == "2"
    assert shelf.registry.version("2").description.count("Judged") == 1


def test_a_dry_run_tells_and_changes_nothing(shelf: Shelf) -> None:
    shelf.promote(shelf.add(150))
    shelf.add(190)
    found = shelf.promote("2", dry_run=True)
    assert found.earned
    assert "Without --dry-run the alias would move" in found.in_words()
    assert shelf.champion == "1"
    assert shelf.registry.version("2").description == "190 right."


def test_models_on_different_test_images_are_never_compared(shelf: Shelf) -> None:
    shelf.promote(shelf.add(100))
    found = shelf.promote(shelf.add(200, dataset="second"))
    assert found.against is None
    assert "it was tested on other pictures" in found.why
    assert shelf.champion == "1"


def test_answers_to_another_number_of_images_do_not_win(shelf: Shelf) -> None:
    shelf.promote(shelf.add(100))
    found = shelf.promote(shelf.add(50, labels=np.zeros(50, dtype=int)))
    assert "200 test images where there are 50" in found.why
    assert shelf.champion == "1"


def test_rollback_returns_to_the_champion_before_and_goes_on_backwards(shelf: Shelf) -> None:
    for right in (100, 130, 160):
        shelf.promote(shelf.add(right))
    tracker, name = shelf.registry.tracker, shelf.registry.name
    assert shelf.client.get_registered_model(name).tags[HISTORY] == "1 2 3"
    assert roll_back(tracker, name, dry_run=True).champion == "3"
    assert shelf.champion == "3"
    found = roll_back(tracker, name, because="cats on sofas")
    assert (found.before, found.champion, shelf.champion) == ("3", "2", "2")
    assert shelf.registry.version("3").tags[ROLLED_BACK].endswith(": cats on sofas")
    roll_back(tracker, name)
    assert shelf.champion == "1"
    with pytest.raises(UserError, match="no champion before version 1"):
        roll_back(tracker, name)


def test_a_version_that_was_rolled_back_returns_by_hand_only(shelf: Shelf) -> None:
    for right in (100, 130):
        shelf.promote(shelf.add(right))
    roll_back(shelf.registry.tracker, shelf.registry.name)
    found = shelf.promote("2")
    assert not found.earned
    assert "was rolled back" in found.why
    shelf.promote("2", because="it was the data")
    assert shelf.champion == "2"
    tags = shelf.registry.version("2").tags
    assert tags[FORCED].endswith(": it was the data")
    assert ROLLED_BACK not in tags
    roll_back(shelf.registry.tracker, shelf.registry.name)
    assert shelf.champion == "1"


def test_the_history_goes_on_from_the_version_that_was_returned_to(shelf: Shelf) -> None:
    for right in (100, 130):
        shelf.promote(shelf.add(right))
    roll_back(shelf.registry.tracker, shelf.registry.name)
    shelf.promote(shelf.add(160))
    assert shelf.registry.champions() == ["1", "3"]


def test_a_promotion_cut_off_before_the_alias_moved_leaves_a_way_back(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    for right in (100, 130):
        shelf.promote(shelf.add(right))

    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "move", cut_off)
        with pytest.raises(KeyboardInterrupt):
            shelf.promote(shelf.add(160))
    assert shelf.champion == "2"
    assert shelf.registry.champions() == ["1", "2"]
    shelf.promote("3")
    assert shelf.registry.champions() == ["1", "2", "3"]


def test_without_a_challenger_nothing_is_wrong_and_nothing_moves(shelf: Shelf) -> None:
    shelf.promote(shelf.add(100))
    found = shelf.promote()
    assert "nobody to judge" in found.why
    assert (found.before, found.champion) == ("1", "1")


def test_judging_alone_writes_nothing(shelf: Shelf) -> None:
    shelf.promote(shelf.add(100))
    number = shelf.add(150)
    assert judge_challenger(shelf.registry, shelf.registry.version(number)).earned
    assert shelf.champion == "1"
    assert shelf.registry.version(number).description == "150 right."


def test_nobody_is_asked_about_a_challenger_that_has_not_earned_it(shelf: Shelf) -> None:
    shelf.promote(shelf.add(150))
    shelf.registry.challenge(shelf.add(150))
    assert not promote_if_approved(shelf.registry.tracker, shelf.registry.name).earned
    assert shelf.champion == "1"


def test_without_a_deployment_nobody_can_be_asked(shelf: Shelf) -> None:
    shelf.promote(shelf.add(100))
    shelf.registry.challenge(shelf.add(150))
    with pytest.raises(UserError, match="only the run of a deployment can wait for a person"):
        promote_if_approved(shelf.registry.tracker, shelf.registry.name)
    assert shelf.champion == "1"


def test_a_study_registers_by_the_same_judgement(done: Done) -> None:
    execution = done.execution
    study = execution.study.model_copy(update={"registered_model": "tiny-2"})
    arrays = open_arrays(next(path for path in (done.home / "cache").iterdir()))
    context: Any = SimpleNamespace(execution=replace(execution, study=study), arrays=arrays)
    labels = arrays.labels[arrays.side("test")]
    selection: Any = SimpleNamespace(chosen={"conv_layers": 1})
    runs = execution.runs()["run_id"].tolist()
    right = [right_answers(execution.tracker, run, labels) for run in runs]
    worst, best = np.argsort([own.mean() for own in right])[[0, -1]]

    def enter(place: int) -> Registered:
        test = accuracy_with_interval(right[place])
        return _Entry(context).enter(runs[place], selection, test, labels)

    assert enter(best).alias == CHAMPION
    second = enter(worst)
    assert (second.alias, second.version) == (CHALLENGER, "2")
    assert second.against is not None
    assert second.against.only_champion >= second.against.only_challenger
    # The same run again is the same version, and the champion is not beaten by itself.
    assert enter(worst).version == "2"
    assert (enter(best).alias, enter(best).version) == (CHAMPION, "1")
    described = Registry(execution.tracker, "tiny-2").version("2").description
    assert described.count("Judged") == 1
    assert str(second.against) in described


def test_promote_from_the_terminal(shelf: Shelf) -> None:
    home, name = shelf.registry.tracker.settings.home, shelf.registry.name
    shelf.promote(shelf.add(100))
    shelf.registry.challenge(shelf.add(150))
    ended = factorgrid("promote", name, "--json", home=home)
    assert ended.returncode == 0, ended.stderr
    answer = json.loads(ended.stdout)
    told = {key: answer[key] for key in ("before", "champion", "earned", "moved", "dry_run")}
    assert told == {
        "before": "1",
        "champion": "2",
        "earned": True,
        "moved": True,
        "dry_run": False,
    }
    assert answer["against"]["only_challenger"] == 50
    ended = factorgrid("promote", name, "--rollback", home=home)
    assert ended.stdout.splitlines()[-1] == (
        f"Champion of {name} is version 1, before it version 2."
    )


#: What is typed, and words that the one line must have.
BAD = {
    "an unknown model": (("nobody",), "'nobody'"),
    "an unknown version": (("NAME", "--version", "9"), "no version 9; there are: 1"),
    "force without a reason": (("NAME", "--force"), "--because TEXT"),
    "a reason for nothing": (("NAME", "--because", "x"), "--because: goes with"),
    "nothing to return to": (("NAME", "--rollback"), "no champion before version 1"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_wrong_word_is_one_line(
    fault: str, shelf: Shelf, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.cli import main

    shelf.promote(shelf.add(100))
    settings = shelf.registry.tracker.settings
    monkeypatch.setenv("FACTORGRID_HOME", str(settings.home))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", settings.tracking_uri)
    typed, told = BAD[fault]
    words = [shelf.registry.name if word == "NAME" else word for word in typed]
    with pytest.raises(SystemExit) as ended:
        main(["promote", *words])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("factorgrid: ")
    assert told in line


def test_the_flow_does_the_same_for_a_schedule(shelf: Shelf, tmp_path: Path) -> None:
    import subprocess
    import sys

    from support.small_study import environment

    home = shelf.registry.tracker.settings.home
    shelf.promote(shelf.add(100))
    shelf.registry.challenge(shelf.add(150))
    code = (
        "import json, sys; from tasks.settings import prepare_environment as p; p().create();"
        "from flows.promote import promote; print(json.dumps(promote(sys.argv[1])))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, shelf.registry.name],
        env=environment(home),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["champion"] == "2"
    assert shelf.champion == "2"
