"""How many trainings fit into the minutes of a study."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.small_study import Done

from tasks.errors import TrackingError, UserError
from tasks.planning import past_runs
from tasks.planning.minutes import (
    expected_minutes,
    mean_lengths,
    rules_on_devices,
    speed_of_final,
    with_trainings,
)
from tasks.search.stages import StageCost
from tasks.settings import Settings
from tasks.study.study_file import Study, parse_study, read_stored_study
from tasks.tracking.tracker import Tracker
from tasks.training.devices import Device


def a_study(minutes: float) -> Study:
    factors = {"learning_rate": {"low": 0.001, "high": 0.1}}
    return parse_study({"name": "timed", "minutes": minutes, "factors": factors}, "timed.toml")


def test_a_budget_that_follows_from_minutes_can_be_read_back() -> None:
    study = with_trainings(a_study(100_000), 0.01, 8)
    assert study.budget == 10_000
    assert read_stored_study(json.loads(study.model_dump_json()), "of a run") == study


def test_minutes_for_too_few_trainings_say_how_many_are_needed() -> None:
    with pytest.raises(UserError, match="give at least 5 minutes"):
        with_trainings(a_study(1), 60, 1)


def test_minutes_leave_room_for_the_final_training() -> None:
    study = a_study(60)
    longer = study.model_copy(update={"final_epochs": 2 * study.training.epochs})
    budget, smaller = (with_trainings(x, 60, 1).budget for x in (study, longer))
    assert (budget, smaller) == (60, 58)
    # Two trainings for the final one, and the least that a search needs.
    short = longer.model_copy(update={"minutes": 1})
    with pytest.raises(UserError, match="none fits beside the final training of 16 epochs") as said:
        with_trainings(short, 60, 1)
    assert "give at least 7 minutes" in str(said.value)


def test_a_stage_waits_for_the_last_one_of_the_stage_before() -> None:
    study = a_study(12)
    alone, together = (with_trainings(study, 60, devices) for devices in (1, 2))
    assert alone.budget == 12
    # 24 would fit if no device waited: 3 that confirm take as long as 4.
    assert together.budget == 23
    assert _most_minutes(together, 2) == 12 < _most_minutes(with_budget(together, 24), 2)


def test_a_final_training_is_faster_with_all_parts_of_a_cpu_and_not_with_all_gpus() -> None:
    halves = (Device("", 1, (0,)), Device("", 1, (1,)))
    gpus = (Device("GPU-1", 8), Device("GPU-2", 8))
    assert speed_of_final(halves[:1]) == speed_of_final(gpus) == 1
    assert 1 < speed_of_final(halves) < 2
    costs = [StageCost("screen", 4, 4, 32, 32), StageCost("final", 1, 1, 128, 128)]
    assert mean_lengths(costs, gpus) == {"screen": 8, "final": 256}
    assert mean_lengths(costs, halves)["final"] == 256 / speed_of_final(halves)


def with_budget(study: Study, budget: int) -> Study:
    return study.model_copy(update={"budget": budget})


def _most_minutes(study: Study, devices: int) -> float:
    return expected_minutes(study, rules_on_devices(study, devices), 60, devices, 1.0)[1]


def test_categories_that_need_a_large_screen_have_a_default_that_is_large_enough() -> None:
    factors = {"width": {"values": [f"w{i}" for i in range(40)]}}
    content = {"name": "wide", "minutes": 600, "factors": factors}
    own = {**content, "model": {"builder": "my:net"}}
    assert parse_study({**own, "short_trainings": False}, "wide.toml").trainings == 64
    assert parse_study(own, "wide.toml").trainings == 20  # the screen has a quarter of the epochs


def test_an_execution_that_was_cut_off_at_once_leaves_the_duration_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Opened:
        def find_experiment(self, name: str) -> str:
            return name

    def cut_off(*_: Any) -> None:
        raise TrackingError("run 1: cut off before its study was logged")

    monkeypatch.setattr(past_runs, "is_missing", lambda _: False)
    monkeypatch.setattr(Tracker, "open", lambda *_, **__: Opened())
    monkeypatch.setattr(past_runs, "is_study", lambda *_: True)
    monkeypatch.setattr(past_runs, "last_execution", cut_off)
    settings = Settings(tmp_path, "http://127.0.0.1:1")
    assert past_runs.past_runs(settings, a_study(5)) == past_runs.PastRuns()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core cannot be divided")
def test_runs_with_another_share_of_the_cpu_do_not_say_how_long_a_training_takes(
    done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    settings, study = done.execution.tracker.settings, done.execution.study
    assert past_runs.past_runs(settings, study).seconds
    divided = study.model_copy(update={"parallel": 2})
    assert past_runs.past_runs(settings, divided) == past_runs.PastRuns()
