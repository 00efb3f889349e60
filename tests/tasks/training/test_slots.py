"""Slots: the consequences of a child that dies, hangs or fails, with real children."""

import multiprocessing
import os
import signal
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.array_cache import write_drawn_cache

from models.spec import ModelSpec, ReplicateSpec, TrainingSpec
from tasks.errors import CellError, SettingError, SlotDiedError, SlotsClosedError
from tasks.training.slot_child import SlotChild, start_fork_server
from tasks.training.slots import SlotPool

SPEC = ReplicateSpec(
    ModelSpec(settings={"conv_layers": 1, "filters": 4, "dense_units": 8}),
    TrainingSpec(epochs=2, batch_size=32),
    image_size=16,
    seed=1,
)
LONG = SPEC.with_levels({"epochs": 10_000})


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_drawn_cache(tmp_path_factory.mktemp("cache") / "drawn", 160)


@pytest.fixture(scope="module")
def pool() -> Iterator[SlotPool]:
    with SlotPool() as opened:
        yield opened


def test_a_replicate_trains_and_its_network_is_saved(
    pool: SlotPool, arrays: Path, tmp_path: Path
) -> None:
    epochs: list[dict[str, Any]] = []
    with pool.slot() as slot:
        result = slot.run(SPEC, arrays, tmp_path / "out", on_epoch=epochs.append)
    assert result.status == "finished"
    assert [row["epoch"] for row in epochs] == [1, 2]
    assert result.history == epochs
    assert np.allclose(result.val_probability.sum(axis=1), 1, atol=1e-5)
    assert (tmp_path / "out" / "model.keras").stat().st_size > 0
    assert result.micro_batch == 32


def test_a_slot_is_free_while_the_network_is_written(
    pool: SlotPool, arrays: Path, tmp_path: Path
) -> None:
    """A thread that waits for a slot gets it before the result of the previous one is complete."""
    observed: list[bool] = []
    with ExitStack() as held:
        device = held.enter_context(ExitStack())
        slot = device.enter_context(pool.slot())
        training = held.enter_context(slot.begin(SPEC, arrays, tmp_path))

        def take_the_slot() -> None:
            device.close()
            with pool.slot() as other:
                observed.append(other.device == slot.device and not (tmp_path / "out").exists())

        training.finish(tmp_path / "out", on_trained=take_the_slot)
    assert observed == [True]
    assert (tmp_path / "out" / "model.keras").exists()


@pytest.mark.parametrize("augment", [False, True])
def test_equal_seeds_give_equal_weights_if_the_study_is_deterministic(
    pool: SlotPool, arrays: Path, tmp_path: Path, *, augment: bool
) -> None:
    spec = SPEC.with_levels({"deterministic": True, "augment": augment})
    with pool.slot() as slot:
        results = [slot.run(spec, arrays, tmp_path / name) for name in "ab"]
        other = slot.run(replace(spec, seed=2), arrays, tmp_path / "c")
    first, second = (result.val_probability for result in results)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other.val_probability)


def test_augmentation_changes_the_weights_but_not_the_saved_network(
    pool: SlotPool, arrays: Path, tmp_path: Path
) -> None:
    with pool.slot() as slot:
        plain = slot.run(SPEC, arrays, tmp_path / "plain")
        augmented = slot.run(SPEC.with_levels({"augment": True}), arrays, tmp_path / "augmented")
    assert not np.array_equal(plain.val_probability, augmented.val_probability)
    assert plain.parameters == augmented.parameters
    for name in ("plain", "augmented"):
        with zipfile.ZipFile(tmp_path / name / "model.keras") as file:
            assert b"Random" not in file.read("config.json")


def test_a_killed_child_is_a_retryable_error_and_leaves_no_files(
    pool: SlotPool, arrays: Path, tmp_path: Path
) -> None:
    def kill(_: dict[str, Any]) -> None:
        for child in list(pool._children):
            child.process.kill()

    with pool.slot() as slot, pytest.raises(SlotDiedError, match="SIGKILL") as caught:
        slot.run(LONG, arrays, tmp_path / "work" / "out", on_epoch=kill)
    assert list((tmp_path / "work").iterdir()) == []
    assert caught.value.cause.startswith("signal SIGKILL")
    assert caught.value.peak_memory_mb > 50  # Python and TensorFlow need more
    assert f"peak memory {caught.value.peak_memory_mb:,.0f} MiB" in str(caught.value)


def test_a_training_that_is_not_waited_for_ends_with_its_block(
    pool: SlotPool, arrays: Path, tmp_path: Path
) -> None:
    with pool.slot() as slot, slot.begin(LONG, arrays, tmp_path / "work") as training:
        assert training.child.process.is_alive()
    assert not training.child.process.is_alive()
    assert list((tmp_path / "work").iterdir()) == []


def test_a_child_that_reports_nothing_for_too_long_is_killed(
    pool: SlotPool, arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.training.slot_child.LONGEST_SILENCES", 1)
    stopped: list[SlotChild] = []

    def suspend(_: dict[str, Any]) -> None:
        for child in list(pool._children):
            os.kill(child.process.pid or 0, signal.SIGSTOP)
            stopped.append(child)

    with (
        pool.slot() as slot,
        pytest.raises(SlotDiedError, match=r"no epoch ended for .*\(FACTORGRID_SILENCE") as caught,
    ):
        slot.run(LONG, arrays, tmp_path / "work" / "out", on_epoch=suspend, allowed_silence=3)
    assert caught.value.cause.startswith("no epoch ended")
    assert not any(child.process.is_alive() for child in stopped)
    assert list((tmp_path / "work").iterdir()) == []


def test_a_slow_training_may_be_silent_for_many_times_its_longest_epoch(tmp_path: Path) -> None:
    """The limit is the larger of the allowed time and a multiple of what was seen."""
    parent, child = multiprocessing.Pipe()
    living: Any = SimpleNamespace(pid=os.getpid(), join=lambda _: None, exitcode=None)

    def report() -> None:
        time.sleep(2.5)  # seconds without a report, which are two whole ones
        child.send(("epoch", {}))
        time.sleep(3.5)  # more than is allowed before the first epoch, and less than 20 times two
        child.send(("done", None))

    reporting = threading.Thread(target=report)
    reporting.start()
    SlotChild(living, parent).wait(tmp_path / "log", allowed_silence=3)
    reporting.join()


def test_a_network_that_cannot_be_built_fails_its_cell_with_the_builders_message(
    pool: SlotPool, arrays: Path, tmp_path: Path
) -> None:
    spec = SPEC.with_levels({"layers": 3})
    with pool.slot() as slot, pytest.raises(CellError, match="unexpected keyword argument"):
        slot.run(spec, arrays, tmp_path / "out")


def test_a_network_that_cannot_be_trained_fails_its_cell_with_the_traceback(
    pool: SlotPool, arrays: Path, tmp_path: Path
) -> None:
    spec = replace(SPEC, image_size=8)  # the images have 16 x 16 pixels
    with pool.slot() as slot, pytest.raises(CellError) as caught:
        slot.run(spec, arrays, tmp_path / "out")
    assert "models/training/train.py" in caught.value.details


def test_a_loss_that_is_not_finite_ends_the_replicate_and_says_where(
    pool: SlotPool, arrays: Path, tmp_path: Path
) -> None:
    spec = SPEC.with_levels({"learning_rate": 1e30, "optimizer": "sgd", "epochs": 50})
    with pool.slot() as slot:
        result = slot.run(spec, arrays, tmp_path / "out")
    assert result.status == "diverged"
    assert "the loss became" in result.reason
    assert len(result.history) < 50


def test_a_spare_child_that_was_killed_is_replaced(arrays: Path, tmp_path: Path) -> None:
    with SlotPool() as new_pool, new_pool.slot() as slot:
        assert new_pool._spare is not None
        new_pool._spare.process.kill()
        new_pool._spare.process.join()
        assert slot.run(SPEC, arrays, tmp_path / "out").status == "finished"


def test_of_the_waiting_threads_the_most_expensive_is_served_first() -> None:
    served: list[float] = []

    def wait(cost: float) -> None:
        with new_pool.slot(cost):
            served.append(cost)

    with SlotPool() as new_pool:
        threads = [threading.Thread(target=wait, args=(cost,)) for cost in (2.0, 9.0, 5.0)]
        with new_pool.slot(), new_pool._turn:
            for thread in threads:
                thread.start()
            new_pool._turn.wait_for(lambda: len(new_pool._waiting) == 3, timeout=10)
        for thread in threads:
            thread.join()
    assert served == [9.0, 5.0, 2.0]


def test_a_closed_pool_ends_its_children_and_starts_no_other(arrays: Path, tmp_path: Path) -> None:
    trains = threading.Event()

    def close() -> None:
        trains.wait(60)
        new_pool.close()

    with SlotPool() as new_pool:
        closer = threading.Thread(target=close)
        closer.start()
        with new_pool.slot() as slot, pytest.raises(SlotsClosedError, match="interrupted"):
            slot.run(LONG, arrays, tmp_path / "out", on_epoch=lambda _: trains.set())
        closer.join()
        with pytest.raises(SlotsClosedError), new_pool.slot():
            pass


def test_a_temporary_folder_whose_path_is_too_long_for_a_socket_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def bind() -> None:
        raise OSError("AF_UNIX path too long")

    monkeypatch.setattr("multiprocessing.forkserver.ensure_running", bind)
    monkeypatch.setenv("TMPDIR", "/a/long/path")
    with pytest.raises(SettingError, match=r"TMPDIR /a/long/path: .*; set TMPDIR to a folder"):
        start_fork_server()
