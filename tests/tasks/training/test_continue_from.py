"""Replicates that continue a shorter training, with real MLflow and real training processes."""

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pytest
from support.array_cache import write_drawn_cache
from support.dying_child import dies_after
from support.small_study import STUDY, write_study

from analysis.factors import Level
from analysis.search.procedure import CellRun
from models.images.arrays import open_arrays
from tasks.progress import Progress
from tasks.settings import Settings
from tasks.study.replicates import Planned, plan
from tasks.study.study_file import Study, load_study
from tasks.tracking.artifact_paths import CHECKPOINT, PREDICTIONS
from tasks.tracking.dataset_facts import DatasetFacts
from tasks.tracking.execution import open_execution
from tasks.tracking.tracker import Tracker
from tasks.training.context import TrainingContext
from tasks.training.slots import SlotPool
from tasks.training.train_replicate import train_replicate

LEVELS: dict[str, Level] = {"conv_layers": 1, "learning_rate": 0.001}
#: The dataset version of the drawn cache.
VERSION = "drawn"
TAGS = ("prefix_key", "epochs", "continued_from", "not_continued")


@pytest.fixture(scope="module")
def pool() -> Iterator[SlotPool]:
    with SlotPool() as opened:
        yield opened


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_drawn_cache(tmp_path_factory.mktemp("cache") / "drawn", 160)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    content = STUDY.replace("epochs = 4", "epochs = 4\ndeterministic = true\naugment = true")
    return load_study(str(write_study(tmp_path_factory.mktemp("study"), content)))


Open = Callable[..., TrainingContext]


@pytest.fixture
def open_context(
    pool: SlotPool, arrays: Path, study: Study, tmp_path: Path
) -> Iterator[Callable[..., TrainingContext]]:
    """Return a function that opens a study in a home; by default the same home."""
    with ExitStack() as stack:

        def opened(home: str = "home", name: str = "", progress: Any = None) -> TrainingContext:
            own = study.model_copy(update={"name": name}) if name else study
            context = _context(pool, arrays, own, tmp_path / home, progress)
            return stack.enter_context(context)

        yield opened


@contextmanager
def _context(
    pool: SlotPool, arrays: Path, study: Study, home: Path, progress: Any
) -> Iterator[TrainingContext]:
    settings = Settings(home, f"sqlite:///{home / 'mlflow.db'}")
    images = SimpleNamespace(source="drawn", accepted=160, arrays_folder=arrays, version=VERSION)
    opened = open_arrays(arrays)
    facts = DatasetFacts(2, len(opened.side("validation")), 0.5, "drawn pictures")
    with open_execution(Tracker.open(settings), study, VERSION, facts) as execution:
        yield TrainingContext(
            settings, progress or Progress(), pool, cast("Any", images), opened, execution
        )


def _planned(context: TrainingContext, epochs: int | None = None) -> Planned:
    (planned,) = plan(context.study, VERSION, "screen", [CellRun(LEVELS, 1, epochs=epochs)])
    return planned


def _train(context: TrainingContext, epochs: int | None = None) -> str:
    run_id = train_replicate(_planned(context, epochs), context)
    assert run_id is not None
    return run_id


def _tags(context: TrainingContext, run_id: str) -> dict[str, str]:
    tags = context.execution.tracker.client.get_run(run_id).data.tags
    return {name: tags[f"factorgrid.{name}"] for name in TAGS if f"factorgrid.{name}" in tags}


def _metrics(context: TrainingContext, run_id: str) -> dict[str, float]:
    return dict(context.execution.tracker.client.get_run(run_id).data.metrics)


def _curve(context: TrainingContext, run_id: str) -> list[tuple[int, float]]:
    history = context.execution.tracker.client.get_metric_history(run_id, "val_loss")
    return [(point.step, point.value) for point in history]


def _answers(context: TrainingContext, run_id: str) -> list[Any]:
    content = context.execution.tracker.read(run_id, PREDICTIONS)
    assert content is not None
    with np.load(io.BytesIO(content)) as saved:
        return [saved[name].tolist() for name in sorted(saved.files)]


def _checkpoint_file(context: TrainingContext, run_id: str) -> Path:
    run = context.execution.tracker.client.get_run(run_id)
    return Path(url2pathname(urlsplit(run.info.artifact_uri).path)) / CHECKPOINT


@pytest.fixture(scope="module")
def uninterrupted(
    pool: SlotPool, arrays: Path, study: Study, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Any], list[tuple[int, float]]]:
    """Return the answers and the curve of the full training, from a home without any other."""
    home = tmp_path_factory.mktemp("uninterrupted")
    with _context(pool, arrays, study, home, None) as context:
        run_id = _train(context)
        assert _tags(context, run_id) == {}
        assert "epochs_trained" not in _metrics(context, run_id)
        assert not _checkpoint_file(context, run_id).exists()
        return _answers(context, run_id), _curve(context, run_id)


def test_a_replicate_continues_a_shorter_training_with_equal_results(
    open_context: Open, uninterrupted: tuple[list[Any], list[tuple[int, float]]]
) -> None:
    context = open_context()
    short = _train(context, epochs=2)
    assert _checkpoint_file(context, short).stat().st_size > 1000
    assert _tags(context, short) == {
        "prefix_key": _planned(context).spec.prefix_key(VERSION),
        "epochs": "2",
    }
    full = _train(context)
    assert full != short
    assert _tags(context, full) == {"continued_from": short}
    assert (_answers(context, full), _curve(context, full)) == uninterrupted
    metrics = _metrics(context, full)
    assert metrics["continued_epochs"] == metrics["epochs_trained"] == 2
    assert metrics["continued_seconds"] == _metrics(context, short)["train_seconds"]
    assert metrics["train_seconds"] > metrics["continued_seconds"]
    table = context.execution.runs()
    assert table["run_id"].tolist() == [short, full]
    assert table["epochs"].tolist() == [2, 4]
    assert table["epochs_trained"].tolist() == [2, 2]
    assert _train(context, epochs=2) == short
    assert _train(context) == full


def test_the_longest_shorter_training_of_any_study_is_continued(open_context: Open) -> None:
    first, second = open_context(), open_context(name="another")
    by_epochs = {epochs: _train(first, epochs) for epochs in (1, 3, 2)}
    for longer in (2, 3):
        assert _tags(first, by_epochs[longer])["continued_from"] == by_epochs[1]
    full = _train(second)
    assert _tags(second, full) == {"continued_from": by_epochs[3]}
    assert _metrics(second, full)["epochs_trained"] == 1
    # Its figures are used again with what they cost, but it has no state to continue from.
    reused = _train(second, epochs=2)
    assert second.execution.tracker.client.get_run(reused).data.tags["factorgrid.reused_from"]
    assert _tags(second, reused) == {}


def _remove(file: Path) -> None:
    file.unlink()


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:500])


@pytest.mark.parametrize(
    ("damage", "reason"), [(_remove, "has no artifact"), (_truncate, "it is damaged")]
)
def test_without_a_whole_checkpoint_it_trains_from_the_beginning_and_says_so(
    open_context: Open,
    uninterrupted: tuple[list[Any], list[tuple[int, float]]],
    damage: Callable[[Path], None],
    reason: str,
) -> None:
    output = io.StringIO()
    context = open_context(progress=Progress(output))
    short = _train(context, epochs=2)
    damage(_checkpoint_file(context, short))
    full = _train(context)
    assert (_answers(context, full), _curve(context, full)) == uninterrupted
    tags = _tags(context, full)
    assert tags.keys() == {"not_continued"}
    assert tags["not_continued"].startswith(f"the checkpoint of run {short} cannot be used: ")
    assert reason in tags["not_continued"]
    assert "continued_epochs" not in _metrics(context, full)
    assert context.execution.runs()["epochs_trained"].tolist() == [2, 4]
    (line,) = [line for line in output.getvalue().splitlines() if "from the beginning" in line]
    assert reason in line


@pytest.fixture
def pool_with_a_kill(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[[int], SlotPool]]:
    """Return a function that opens a pool; the first process that ends this epoch is killed."""
    with ExitStack() as stack:

        def opened(epoch: int) -> SlotPool:
            child = dies_after(epoch, tmp_path / "killed")
            monkeypatch.setattr("tasks.training.slot_child._run_child", child)
            return stack.enter_context(SlotPool())

        yield opened
    assert (tmp_path / "killed").exists()


def test_a_process_that_is_killed_while_it_continues_is_repeated_with_equal_results(
    open_context: Open,
    pool_with_a_kill: Callable[[int], SlotPool],
    uninterrupted: tuple[list[Any], list[tuple[int, float]]],
) -> None:
    context = replace(open_context(), pool=pool_with_a_kill(3))
    short = _train(context, epochs=2)
    full = _train(context)
    runs = context.execution.children()
    assert [run.info.status for run in runs] == ["FINISHED", "FAILED", "FINISHED"]
    assert (_answers(context, full), _curve(context, full)) == uninterrupted
    assert _tags(context, full) == {"continued_from": short}


def test_a_process_that_is_killed_before_its_checkpoint_is_logged_is_no_beginning(
    open_context: Open, pool_with_a_kill: Callable[[int], SlotPool]
) -> None:
    context = replace(open_context(), pool=pool_with_a_kill(1))
    short = _train(context, epochs=2)
    killed, finished = context.execution.children()
    assert (killed.info.status, finished.info.run_id) == ("FAILED", short)
    assert _tags(context, killed.info.run_id) == {}
    assert _tags(context, _train(context)) == {"continued_from": short}
