"""A study from the command line to the registry, read back from MLflow as its user would."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.service_process import left_running
from support.small_study import (
    ACCURACY,
    BEST,
    CONFIRMED,
    GRID,
    REAL_TRAINING,
    STUDY,
    Done,
    comparable,
    environment,
    factorgrid,
    last_execution,
    network_log,
    read_until,
    start_study,
    write_study,
)


def test_every_replicate_is_a_finished_run_below_its_study(done: Done) -> None:
    execution = done.execution
    runs = execution.tracker.children(execution.run_id, execution.experiment)
    assert {run.info.status for run in runs} == {"FINISHED"}
    asked = {
        stage: sum(f"factorgrid.in_{stage}" in run.data.tags for run in runs)
        for stage in ("screen", "refine", "confirm")
    }
    # A cell of the grid that the screen trained is one run of both.
    assert asked == {"screen": 4, "refine": 6, "confirm": 2}
    assert len(runs) == 4 + 6 - 1 + 2
    assert len({run.data.tags["factorgrid.key"] for run in runs}) == len(runs) < sum(asked.values())


def test_the_study_finds_the_cell_that_is_the_best(done: Done) -> None:
    outcome = done.outcome
    assert outcome["screen"]["decision"]["grid"] == GRID
    assert outcome["screen"]["decision"]["corner"] == BEST
    cells = [{name: row[name] for name in GRID} for row in outcome["grid"]]
    assert len(cells) == 6
    assert cells[:2] == CONFIRMED
    assert outcome["best"] == BEST
    assert outcome["chosen"] == BEST
    assert outcome["tied"] == CONFIRMED
    assert outcome["edges"] == []
    # Every cell that was trained, with the seeds that confirmed it, and the winner among them.
    assert len(outcome["cells"]) == 4 + 6 - 1
    assert [row["n"] for row in outcome["cells"][:2]] == [2, 2]
    assert [row["chosen"] for row in outcome["cells"]].index(True) == 0
    assert {row["left_out"] for row in outcome["cells"][2:]} == {"not_confirmed"}


def test_the_classes_are_named_with_counts_before_the_training_and_in_the_json(done: Done) -> None:
    cats, dogs = (done.outcome["classes"][name] for name in ("cat", "dog"))
    before, _, _ = done.said.partition("screen: 4 replicates")
    assert f"2 classes: cat ({cats}), dog ({dogs})\n" in before


def test_the_figures_are_those_that_the_networks_reached(done: Done) -> None:
    noise = ACCURACY["noise"] + 1 / 41  # of the seed, and the accuracy of a whole image
    for row in done.outcome["grid"]:
        lost = sum(ACCURACY["losses"][name][row[name]] for name in GRID)
        assert row["mean"] == pytest.approx(ACCURACY["best"] - lost, abs=noise)
    effects = {name: row["effect"] for name, row in done.outcome["screen"]["terms"].items()}
    assert effects["conv_layers"] == pytest.approx(0.16, abs=noise)
    assert effects["learning_rate"] == pytest.approx(-0.17, abs=noise)
    test = done.outcome["registered"]["test_accuracy"]
    assert test == pytest.approx(ACCURACY["best"], abs=noise)


def test_a_run_has_levels_metrics_by_epoch_pictures_and_model(done: Done) -> None:
    execution = done.execution
    client = execution.tracker.client
    run = execution.tracker.children(execution.run_id, execution.experiment)[0]
    assert {"conv_layers", "learning_rate", "seed"} <= set(run.data.params)
    assert "factorgrid.coded.conv_layers" in run.data.tags
    assert "training.learning_rate" not in run.data.params  # a factor stands once
    history = client.get_metric_history(run.info.run_id, "val_accuracy")
    assert [point.step for point in history] == [1, 2, 3, 4]
    # A metric with a later step is drawn as a curve, which a single figure is not.
    for name in ("train_seconds", "multiply_adds", "peak_memory_mb"):
        assert [m.step for m in client.get_metric_history(run.info.run_id, name)] == [0]
    costs = {"train_seconds", "parameters", "multiply_adds", "peak_memory_mb"}
    assert costs <= set(run.data.metrics)
    plots = {item.path for item in client.list_artifacts(run.info.run_id, "plots")}
    assert plots == {"plots/learning_curve.png", "plots/confusion.png", "plots/worst.png"}
    model = {item.path for item in client.list_artifacts(run.info.run_id, "model")}
    assert "model/model.keras" in model


def test_the_dataset_version_is_the_input_of_every_run(done: Done) -> None:
    execution = done.execution
    runs = execution.tracker.children(execution.run_id, execution.experiment)
    digests = {run.inputs.dataset_inputs[0].dataset.digest for run in runs}
    assert digests == {execution.version}


def test_the_parent_has_the_tables_the_plots_and_the_decision(done: Done) -> None:
    execution = done.execution
    client = execution.tracker.client
    names = {item.path for item in client.list_artifacts(execution.run_id)}
    assert {"study.json", "decision.json", "decision.txt", "runs.csv", "summary.txt"} <= names
    screen = {item.path for item in client.list_artifacts(execution.run_id, "screen")}
    plots = {f"screen/{name}.png" for name in ("pareto", "half_normal", "main_effects")}
    assert plots < screen


def test_the_best_network_is_champion(done: Done) -> None:
    execution = done.execution
    version = execution.tracker.client.get_model_version_by_alias("tiny", "champion")
    registered = done.outcome["registered"]
    assert registered["alias"] == "champion"
    assert version.run_id == registered["run_id"]
    assert version.tags["factorgrid.dataset_version"] == execution.version
    assert done.outcome["chosen"].keys() == {"conv_layers", "learning_rate"}
    run = execution.tracker.client.get_run(registered["run_id"])
    assert run.data.params["conv_layers"] == "2"
    assert run.data.params["learning_rate"] == "0.001"


def test_the_version_says_on_which_images_it_was_judged_and_what_it_beat(done: Done) -> None:
    version = done.execution.tracker.client.get_model_version_by_alias("tiny", "champion")
    test = done.outcome["registered"]
    low, high = (f"{100 * x:.1f}%" for x in test["test_interval"])
    words = version.description.replace("\\", "")
    assert f"{low} to {high}, Wilson, n = {test['test_images']}" in words
    assert "better than the constant answer" in words
    assert done.outcome["data"] in words
    assert done.execution.version in words
    assert f"[Report]({done.execution.links.within_pages.report})" in version.description
    assert "Judged" in words


def test_validations_are_in_an_experiment_of_their_own(done: Done) -> None:
    tracker = done.tracker
    kinds = {
        name: {
            run.data.tags["factorgrid.kind"]
            for run in tracker.search([tracker.existing_experiment(name)], "")
        }
        for name in ("tiny", "tiny images")
    }
    assert kinds == {"tiny": {"study", "replicate"}, "tiny images": {"validation"}}


def test_nothing_tries_to_reach_the_internet(done: Done, tmp_path: Path) -> None:
    probe = environment(tmp_path, **network_log(tmp_path))
    code = "import socket; socket.getaddrinfo('example.invalid', 80)"
    subprocess.run([sys.executable, "-c", code], env=probe, capture_output=True, check=False)
    assert "example.invalid" in (tmp_path / "network.txt").read_text()  # the watch works
    assert not (done.path.parent / "network.txt").exists()


def test_standard_error_has_only_lines_of_the_study(done: Done) -> None:
    """Without a terminal each line has its time; the effects of the screen are one text."""
    starts = (
        "Study tiny: |starting |drawing |2 classes: |note: |pictures: |screen|refine|confirm|  "
    )
    starts += "|suspects: |registering |writing "
    before, _, rest = done.said.partition("\n\nEffects (screen)\n")
    effects, _, after = rest.partition("\n\n" + time_of_day(rest))
    for line in [*before.splitlines(), *after.splitlines()]:
        assert re.match(rf"(\d\d:\d\d:\d\d  )?({starts})", line), line
    assert "\nDecision\n" in effects


def time_of_day(text: str) -> str:
    found = re.search(r"^\d\d:\d\d:\d\d  ", text, re.MULTILINE)
    assert found is not None
    return found[0]


def test_the_progress_of_the_whole_study_is_in_each_line_of_a_replicate(done: Done) -> None:
    lines = [line for line in done.said.splitlines() if ": accuracy " in line or "reused" in line]
    assert len(lines) == 12
    assert re.search(r"stage 1 of 3, run 1 of \d+, \d+:\d\d left, best so far 0\.\d+ \(", lines[0])
    assert "stage 3 of 3, run 12 of 12, best so far 0.9" in lines[-1]
    (reused,) = (line for line in lines if "reused" in line)
    assert re.search(r"reused, accuracy 0\.\d\d\d \(", reused)


def test_the_effects_are_shown_before_the_next_stage_begins(done: Done) -> None:
    said = done.said
    order = ["  screen    4/4", "Effects (screen)", "This makes a grid of 6 cells", "refine: 6"]
    places = [said.index(words) for words in order]
    assert places == sorted(places)


def test_analyze_rebuilds_the_outcome_from_mlflow(done: Done) -> None:
    ended = factorgrid("analyze", "--experiment", "tiny", "--json", home=done.home)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == done.outcome


def test_analyze_prints_the_grid_and_its_reasons(done: Done) -> None:
    ended = factorgrid("analyze", "--experiment", "tiny", home=done.home)
    for words in ("Effects (screen)", "Decision", "Trained cells", "Winner", "no photographs"):
        assert words in ended.stdout


def test_a_finished_study_trains_nothing_again(done: Done) -> None:
    before = len(_trained(done.home))
    ended = factorgrid("search", done.path, "--json", home=done.home)
    assert ended.returncode == 0, ended.stderr
    assert len(_trained(done.home)) == before
    assert json.loads(ended.stdout) == done.outcome
    assert f"nothing to train: run {done.execution.run_id} has the whole study" in ended.stderr
    assert last_execution(done.home, "tiny").run_id == done.execution.run_id


def _trained(home: Path) -> list[str]:
    execution = last_execution(home, "tiny")
    runs = execution.tracker.search([execution.experiment], "tags.`factorgrid.kind` = 'replicate'")
    return [r.info.run_id for r in runs if "factorgrid.reused_from" not in r.data.tags]


@pytest.mark.study
@pytest.mark.parametrize(
    "line", ["screen    2/4", pytest.param("confirm    1/2", marks=pytest.mark.slow)]
)
def test_a_study_that_was_killed_resumes_and_ends_with_the_same_outcome(
    done: Done, line: str, tmp_path: Path
) -> None:
    path, home = write_study(tmp_path), tmp_path / "home"
    process = start_study(path, home)
    read_until(process, line)
    process.kill()
    process.wait()
    finished = set(_finished(home))
    assert finished
    ended = factorgrid("search", path, "--json", home=home)
    assert ended.returncode == 0, ended.stderr
    execution = last_execution(home, "tiny")
    runs = execution.tracker.children(execution.run_id, execution.experiment)
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    assert finished < {run.info.run_id for run in runs}
    assert comparable(json.loads(ended.stdout)) == comparable(done.outcome)


def _finished(home: Path) -> list[str]:
    execution = last_execution(home, "tiny")
    runs = execution.tracker.children(execution.run_id, execution.experiment)
    return [run.info.run_id for run in runs if run.info.status == "FINISHED"]


@pytest.mark.study
def test_ctrl_c_ends_the_study_and_its_runs_in_mlflow(tmp_path: Path) -> None:
    text = STUDY.replace("epochs = 4", "epochs = 5000")
    path, home = write_study(tmp_path, text), tmp_path / "home"
    process = start_study(path, home, **REAL_TRAINING)
    read_until(process, "screen: 4 replicates")
    time.sleep(6)
    started = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.strip().splitlines() == [
        "factorgrid: interrupted; run the same command again to continue"
    ]
    assert time.monotonic() - started < 30  # seconds; it takes two, and machines are shared
    execution = last_execution(home, "tiny")
    runs = execution.tracker.children(execution.run_id, execution.experiment)
    parent = execution.tracker.client.get_run(execution.run_id)
    assert {run.info.status for run in [parent, *runs]} == {"KILLED"}
    assert not left_running(home)
