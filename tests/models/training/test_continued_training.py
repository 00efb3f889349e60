"""A training that continues a shorter one gives what an uninterrupted one gives, on both backends.

Each backend trains in its own process; trainings in several processes are in
``tests/tasks/training/test_slots.py``.
"""

from pathlib import Path
from typing import Any

import pytest
from support.backend_process import run_checks

pytestmark = pytest.mark.process

TESTS = Path(__file__).parents[2]
TIMES = ("epoch_seconds", "images_per_second")
REPLICATES = ("augmented", "normalised", "kept")


@pytest.fixture(scope="module", params=["tensorflow", pytest.param("jax", marks=pytest.mark.slow)])
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp(request.param)
    return run_checks("checkpoint_checks.py", request.param, folder)


def _figures(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in TIMES} for row in result["history"]]


def _assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert _figures(found) == _figures(expected)
    assert found["weights"] == expected["weights"]
    assert found["answers"] == expected["answers"]


@pytest.mark.parametrize("name", REPLICATES)
@pytest.mark.parametrize("first", [2, 3])
def test_a_continued_training_is_equal_bit_by_bit_to_an_uninterrupted_one(
    trained: dict[str, Any], name: str, first: int
) -> None:
    """Three epochs themselves continued two: a training can continue again and again."""
    continued = trained[f"{name} from {first}"]
    assert continued["not_continued"] == ""
    assert continued["continued_epochs"] == first
    assert continued["micro_batch"] == trained[name]["micro_batch"]
    _assert_equal(continued, trained[name])


@pytest.mark.parametrize("name", REPLICATES)
def test_the_figures_of_all_epochs_are_reported_and_their_seconds_are_added_up(
    trained: dict[str, Any], name: str
) -> None:
    short, continued = trained[f"{name} 2"], trained[f"{name} from 2"]
    assert continued["reported"] == continued["history"]
    assert [row["epoch"] for row in continued["history"]] == [1, 2, 3, 4, 5]
    assert continued["history"][:2] == short["history"]
    assert continued["continued_seconds"] == short["train_seconds"]
    assert continued["train_seconds"] > short["train_seconds"]
    assert short["continued_epochs"] == short["continued_seconds"] == 0


def test_a_training_continues_with_the_parts_of_a_batch_that_it_began_with(
    trained: dict[str, Any],
) -> None:
    continued = trained["small from small 2"]
    assert continued["continued_epochs"] == 2
    assert continued["micro_batch"] == trained["small 2"]["micro_batch"] == 12
    _assert_equal(continued, trained["small"])


def test_a_training_that_needs_smaller_parts_than_it_began_with_starts_from_the_beginning(
    trained: dict[str, Any],
) -> None:
    again = trained["small from large 2"]
    assert again["continued_epochs"] == again["continued_seconds"] == 0
    assert "not enough memory for 24 images at once" in again["not_continued"]
    assert again["micro_batch"] == 12
    _assert_equal(again, trained["small"])


def test_a_training_with_a_damaged_checkpoint_starts_from_the_beginning(
    trained: dict[str, Any],
) -> None:
    again = trained["from damaged"]
    assert "it is damaged" in again["not_continued"]
    assert again["continued_epochs"] == 0
    assert len(again["reported"]) == 5
    _assert_equal(again, trained["augmented"])


def test_a_training_with_the_checkpoint_of_another_network_starts_from_the_beginning(
    trained: dict[str, Any],
) -> None:
    again = trained["from another network"]
    assert "not of the beginning of this training" in again["not_continued"]
    assert again["continued_epochs"] == 0


def test_a_training_that_diverged_has_no_checkpoint(trained: dict[str, Any]) -> None:
    assert trained["diverged"]["status"] == "diverged"
    assert not trained["diverged"]["has_checkpoint"]
    assert trained["augmented"]["has_checkpoint"]


@pytest.mark.parametrize("state", ["shorter", "wider"])
def test_a_state_that_does_not_fit_the_network_changes_nothing_in_it(
    trained: dict[str, Any], state: str
) -> None:
    again = trained[f"from {state}"]
    assert again["not_continued"] == "it has the state of another network"
    _assert_equal(again, trained["augmented"])
