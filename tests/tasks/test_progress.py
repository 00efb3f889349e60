"""The progress of a study: one line for the whole of it, lines in a pipe, bold titles."""

import io
import re

import pytest
from rich.console import Console

from tasks.progress import Progress, StudyProgress, emphasized

SIZES = {"pilot": 0, "screen": 2, "refine": 4, "confirm": 1}


def _lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(stream: io.StringIO) -> Progress:
    made = Progress(stream)
    made.begin_study(SIZES)
    return made


def _train(progress: Progress, name: str, accuracy: float, epochs: int = 4) -> None:
    progress.started(name, name, epochs)
    progress.finished(name, name, f"accuracy {accuracy}", accuracy, epochs)


def _refine_one_at_a_time(progress: Progress, cells: int) -> None:
    for step in range(cells):
        progress.stage("refine", 1, at_once=1)
        _train(progress, f"cell {step}", 0.5)


def test_a_search_of_one_cell_at_a_time_is_one_stage(
    progress: Progress, stream: io.StringIO
) -> None:
    _refine_one_at_a_time(progress, 3)
    begun = [line for line in _lines(stream) if "replicates" in line]
    assert [line.partition("  ")[2] for line in begun] == [
        "refine: at most 4 replicates, one at a time"
    ]
    counts = re.findall(r"refine +(\d/\d)", stream.getvalue())
    assert counts == ["1/4", "2/4", "3/4"]


def test_each_line_has_stage_run_minutes_left_and_the_best_so_far(
    progress: Progress, stream: io.StringIO
) -> None:
    progress.stage("screen", 2)
    _train(progress, "a", 0.75)
    _train(progress, "b", 0.5)
    first, second = _lines(stream)[1:]
    assert re.search(r"stage 1 of 3, run 1 of 7, \d+:\d\d left, best so far 0.750 \(a\)\)$", first)
    assert re.search(r"stage 1 of 3, run 2 of 7, \d+:\d\d left, best so far 0.750 \(a\)\)$", second)


def test_the_best_loss_so_far_is_the_lowest(stream: io.StringIO) -> None:
    progress = Progress(stream)
    progress.begin_study(SIZES, "val_loss")
    progress.stage("screen", 2)
    _train(progress, "a", 0.75)
    _train(progress, "b", 0.5)
    assert "best so far 0.500 (b)" in _lines(stream)[-1]


def test_the_best_is_among_the_longest_trainings(progress: Progress, stream: io.StringIO) -> None:
    progress.stage("screen", 4)
    for name, accuracy, epochs in (("a", 0.9, 4), ("b", 0.8, 16), ("c", 0.95, 4), ("d", 0.85, 16)):
        _train(progress, name, accuracy, epochs)
    best = [line.partition("best so far ")[2] for line in _lines(stream)[1:]]
    assert best == ["0.900 (a))", "0.800 (b))", "0.800 (b))", "0.850 (d))"]


def test_a_stage_that_is_smaller_than_planned_shortens_the_study(
    progress: Progress, stream: io.StringIO
) -> None:
    for name, runs in (("screen", 2), ("refine", 1), ("confirm", 1)):
        progress.stage(name, runs)
        for number in range(runs):
            _train(progress, f"{name} {number}", 0.5)
    assert "stage 3 of 3, run 4 of 4, best so far" in _lines(stream)[-1]


def test_a_search_that_ends_early_shortens_the_study(
    progress: Progress, stream: io.StringIO
) -> None:
    _refine_one_at_a_time(progress, 2)
    assert "run 2 of 7, " in _lines(stream)[-1]
    progress.stage("confirm", 1)
    _train(progress, "again", 0.5)
    assert "run 3 of 5, " in _lines(stream)[-1]


def test_a_failed_replicate_is_not_the_best(progress: Progress, stream: io.StringIO) -> None:
    progress.stage("screen", 2)
    progress.finished("a", "a", "failed: no memory")
    assert "best so far" not in stream.getvalue()
    _train(progress, "b", 0.5)
    assert "best so far 0.500 (b)" in stream.getvalue()


def test_without_a_terminal_each_line_has_the_time_and_no_escape(
    progress: Progress, stream: io.StringIO
) -> None:
    progress.print_line("resuming")
    progress.print_text("\nDecision\n--------\n- try 2, 3")
    first, *rest = _lines(stream)
    assert re.fullmatch(r"\d\d:\d\d:\d\d  resuming", first)
    assert rest == ["", "Decision", "--------", "- try 2, 3"]
    assert progress.columns is None


def test_the_worker_of_a_cluster_counts_no_stage(stream: io.StringIO) -> None:
    Progress(stream).finished("a", "a", "accuracy 0.5", 0.5)
    assert re.fullmatch(r"\d\d:\d\d:\d\d    a: accuracy 0\.5\n", stream.getvalue())


def test_a_terminal_shows_the_whole_study_below_the_replicates(progress: Progress) -> None:
    progress.stage("screen", 2)
    _train(progress, "a", 0.75)
    progress.started("b", "b", 4)
    console = Console(file=io.StringIO(), width=80, force_terminal=True, no_color=True)
    with console.capture() as captured:
        console.print(progress)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", captured.get())
    assert "\nstage 1 of 3, run 1 of 7" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_terminal_has_bold_titles_and_a_bold_row_of_the_chosen_cell() -> None:
    text = "Cells\n-----\nn  mean\n2  0.9  *\n1  0.8"
    assert emphasized(text).splitlines() == [
        "\x1b[1mCells\x1b[0m",
        "n  mean",
        "\x1b[1m2  0.9  *\x1b[0m",
        "1  0.8",
    ]


def test_a_study_without_trainings_has_no_time_left() -> None:
    assert StudyProgress({"screen": 2}).as_line() == "stage 1 of 1, run 0 of 2"


def test_a_log_hears_of_a_long_training_after_a_silence(
    progress: Progress, stream: io.StringIO
) -> None:
    progress.stage("screen", 2)
    progress.started("a", "long one", 100)
    progress.epoch("a", {"epoch": 1, "val_accuracy": 0.5})
    assert "epoch" not in stream.getvalue()
    progress._last_line -= 300
    progress.epoch("a", {"epoch": 40, "val_accuracy": 0.625})
    progress.epoch("a", {"epoch": 41, "val_accuracy": 0.625})
    told = [line for line in _lines(stream) if "epoch" in line]
    assert len(told) == 1
    assert "long one: epoch 40 of 100, accuracy 0.625 (stage 1 of 3, run 0 of 7, " in told[0]


def test_the_time_left_counts_a_long_training_by_its_length() -> None:
    study = StudyProgress({"screen": 4, "final": 1}, {"screen": 8, "final": 128}, "screen")
    study.started -= 60
    for _ in range(4):
        study.count(trained=True)
    # 32 epochs took a minute, and 128 are left.
    assert study.seconds_left() == pytest.approx(240, abs=1)
    study.stage = "final"
    # A quarter of the final one in another 60 s.
    study.started -= 60
    assert study.seconds_left(0.25) == pytest.approx(120 / 64 * 96, abs=1)


def test_trainings_that_run_at_the_same_time_count_before_they_end() -> None:
    study = StudyProgress({"screen": 4}, stage="screen")
    study.started -= 60
    study.count(trained=True)
    assert study.seconds_left() == pytest.approx(180, abs=1)
    assert study.seconds_left(in_training=1.0) == pytest.approx(60, abs=1)


def test_a_reused_training_says_nothing_about_the_time_left() -> None:
    study = StudyProgress({"screen": 4}, stage="screen")
    study.count(trained=False)
    assert "left" not in study.as_line()
    study.started -= 60
    study.count(trained=True)
    assert study.seconds_left() == pytest.approx(120, abs=1)


def test_a_line_counts_the_trained_epochs_of_a_replicate_in_training(
    progress: Progress, stream: io.StringIO
) -> None:
    progress.stage("screen", 2)
    progress.started("b", "b", 4)
    progress.epoch("b", {"epoch": 4})
    _train(progress, "a", 0.75)
    study = progress._study
    assert study is not None
    assert study.seconds_left(progress._in_training) < study.seconds_left() / 1.9
