"""The promotion that waits for a person, answered over Prefect's API in a real service."""

from collections.abc import Iterator
from typing import Any

import pytest
from support.fake_registry import Shelf
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


def _shelf(up: Service, name: str) -> Shelf:
    """Return a model with a champion and a challenger that beat it."""
    shelf = Shelf(Tracker.open(Settings(up.home, up.addresses["MLFLOW_TRACKING_URI"])), name)
    shelf.promote(shelf.add(100))
    shelf.registry.challenge(shelf.add(150))
    return shelf


def _ask(up: Service, model: str) -> str:
    """Start the promotion and wait until it asks."""
    run_id = up.start_run("promote", {"model": model, "approval": True})
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
    return str(page(f"{up.api.url}/flow_runs/{run_id}/input/{keys['description']}"))


def test_an_approval_moves_the_alias(running: Service) -> None:
    shelf = _shelf(running, "wanted")
    run_id = _ask(running, "wanted")
    assert shelf.champion == "1"
    _answer(running, run_id, approve=True, because="looked at the cats")
    _await_end(running, run_id)
    assert shelf.champion == "2"
    assert shelf.registry.version("2").tags[APPROVED].endswith(" (looked at the cats)")
    _said(running, run_id, "Champion of wanted is version 2, before it version 1.")


def test_a_refusal_moves_nothing_and_is_logged(running: Service) -> None:
    shelf = _shelf(running, "unwanted")
    run_id = _ask(running, "unwanted")
    _answer(running, run_id, approve=False, because="cats on sofas")
    _await_end(running, run_id)
    assert shelf.champion == "1"
    assert str(shelf.registry.at(CHALLENGER).version) == "2"
    said = _said(running, run_id, "Champion of unwanted is still version 1.")
    assert "Not approved (cats on sofas): nothing moves." in said
    assert "dry-run" not in said


def test_an_approval_counts_for_one_challenger_only(running: Service) -> None:
    shelf = _shelf(running, "replaced")
    run_id = _ask(running, "replaced")
    shelf.registry.challenge(shelf.add(170))
    _answer(running, run_id, approve=True)
    # It asks anew, about version 3 this time.
    until(lambda: "Version 3 beat version 1" in _question(running, run_id), 180, "a new question")
    running.await_state(run_id, {"PAUSED"})
    assert shelf.champion == "1"
    _answer(running, run_id, approve=True)
    _await_end(running, run_id)
    assert shelf.champion == "3"
