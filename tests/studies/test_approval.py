"""The promotion that waits for a person, answered over Prefect's API in a real service."""

from collections.abc import Iterator
from typing import Any

import pytest
from support.fake_registry import FakeRegistry
from support.service_process import Service, page, service, until
from support.small_study import write_study

from tasks.registry.model_registry import APPROVED, CHALLENGER
from tasks.settings import Settings
from tasks.tracking.tracker import Tracker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("approval")
    with service(folder / "home") as up:
        up.deploy(write_study(folder))
        yield up


def _fake_registry(up: Service, name: str) -> FakeRegistry:
    """Return a model with a champion and a challenger that beat it."""
    fake = FakeRegistry(Tracker.open(Settings(up.home, up.addresses["MLFLOW_TRACKING_URI"])), name)
    fake.promote(fake.add(100))
    fake.registry.set_challenger(fake.add(150))
    return fake


def _ask(up: Service, model: str) -> str:
    """Start the promotion and wait until it asks."""
    run_id = up.start_run("promote/tiny", {"model": model, "approval": True})
    asked = up.await_state(run_id, {"PAUSED"})
    assert asked["state"]["name"] == "Suspended", asked["state"]
    return run_id


def _answer(up: Service, run_id: str, **given: Any) -> None:
    """Answer as the form in Prefect's pages does."""
    answered = up.api.post(f"flow_runs/{run_id}/resume", {"run_input": given})
    assert answered["status"] == "ACCEPT", answered


def _await_end(up: Service, run_id: str) -> None:
    ended = up.await_state(run_id, {"COMPLETED"})
    assert ended["state_type"] == "COMPLETED", ended["state"]


def _said(up: Service, run_id: str, words: str) -> str:
    """Wait for a line of the run's log: its last ones come after its end."""

    def found() -> str | None:
        lines = up.api.post("logs/filter", {"logs": {"flow_run_id": {"any_": [run_id]}}})
        said = "\n".join(line["message"] for line in lines)
        return said if words in said else None

    return str(until(found, 60, words))


def _question(up: Service, run_id: str) -> str:
    """Return the text above the form that waits now; empty where none does."""
    state = up.run(run_id)["state"]
    keys = state["state_details"].get("run_input_keyset")
    if state["type"] != "PAUSED" or not keys:
        return ""
    return str(page(up.api, f"flow_runs/{run_id}/input/{keys['description']}"))


def test_a_yes_moves_the_alias(running: Service) -> None:
    fake = _fake_registry(running, "wanted")
    run_id = _ask(running, "wanted")
    assert fake.champion == "1"
    _answer(running, run_id, approve=True, because="looked at the cats")
    _await_end(running, run_id)
    assert fake.champion == "2"
    assert fake.registry.version("2").tags[APPROVED].endswith(" (looked at the cats)")
    _said(running, run_id, "The champion of wanted is now version 2 (before: version 1).")


def test_a_no_moves_nothing_and_is_said(running: Service) -> None:
    fake = _fake_registry(running, "unwanted")
    run_id = _ask(running, "unwanted")
    _answer(running, run_id, approve=False, because="cats on sofas")
    _await_end(running, run_id)
    assert fake.champion == "1"
    assert str(fake.registry.version_of(CHALLENGER).version) == "2"
    said = _said(running, run_id, "The champion of unwanted is still version 1.")
    assert "Not approved (cats on sofas): nothing changes." in said
    assert "dry-run" not in said


def test_a_yes_to_one_challenger_is_none_to_the_next(running: Service) -> None:
    fake = _fake_registry(running, "replaced")
    run_id = _ask(running, "replaced")
    fake.registry.set_challenger(fake.add(170))
    _answer(running, run_id, approve=True)
    # It asks anew, about version 3 this time.
    until(lambda: "Version 3 beat version 1" in _question(running, run_id), 180, "a new question")
    running.await_state(run_id, {"PAUSED"})
    assert fake.champion == "1"
    _answer(running, run_id, approve=True)
    _await_end(running, run_id)
    assert fake.champion == "3"
