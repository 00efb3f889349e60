"""A study that minimises a loss and picks by the size of the network, run by the command."""

import json
from pathlib import Path

import pytest
from support.small_study import (
    BEST,
    STUDY,
    Done,
    factorgrid,
    write_study,
)

from tasks.tracking.links import TABLE
from tasks.tracking.tags import LAST_STUDY
from tasks.tracking.views import SHARED_VIEW

pytestmark = [pytest.mark.process, pytest.mark.study]

BOTH = STUDY.replace(
    'name = "tiny"', 'name = "tiny"\nresponse = "val_log_loss"\nsecond = "parameters"'
)
#: So wide that only the number of parameters decides among the cells that learn.
PICK = "\n[pick]\nwithin = 0.2\n"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("responses")
    path = write_study(folder, BOTH + PICK)
    found = factorgrid("search", path, "--json", home=folder / "home")
    assert found.returncode == 0, found.stderr
    return Done(folder / "home", path, json.loads(found.stdout), found.stderr)


def test_the_cell_with_the_lowest_loss_is_the_best(done: Done) -> None:
    outcome = done.outcome
    assert (outcome["response"], outcome["lower_is_better"]) == ("val_log_loss", True)
    assert outcome["best"] == BEST
    means = [cell["mean"] for cell in outcome["cells"]]
    assert means == sorted(means)
    grid = [cell["mean"] for cell in outcome["grid"]]
    assert grid == sorted(grid)


def test_the_smallest_network_of_the_nearly_best_is_chosen(done: Done) -> None:
    cells = [cell for cell in done.outcome["cells"] if not cell["left_out"]]
    lowest = min(cell["mean"] for cell in cells)
    near = [cell for cell in cells if cell["mean"] <= lowest + 0.2]
    chosen = next(cell for cell in cells if cell["chosen"])
    assert chosen["parameters"] == min(cell["parameters"] for cell in near)


def test_the_front_and_the_effects_on_the_size_are_in_every_place(done: Done) -> None:
    second = done.outcome["second"]
    assert second["name"] == "parameters"
    assert "conv_layers" in second["effects"]
    sizes = [cell["parameters"] for cell in second["front"]]
    assert sizes == sorted(sizes, reverse=True)
    text = factorgrid(
        *("report", "--experiment", "tiny", "--out", done.home / "page.html"), home=done.home
    )
    assert text.returncode == 0, text.stderr
    page = (done.home / "page.html").read_text(encoding="utf-8")
    assert "Pareto front" in page
    assert "A lower val_log_loss is better" in page


def test_the_registered_network_has_the_response_on_the_test_images(done: Done) -> None:
    registered = done.outcome["registered"]
    assert registered["test_metrics"]["test_log_loss"] > 0
    metrics = done.tracker.client.get_run(done.execution.run_id).data.metrics
    assert metrics["test_log_loss"] == pytest.approx(registered["test_metrics"]["test_log_loss"])
    assert metrics["test_accuracy"] == registered["test_accuracy"]


def test_the_spread_of_a_loss_is_not_taken_for_that_of_an_accuracy(done: Done) -> None:
    assert done.outcome["registered"]["recipe"] is None


def test_every_replicate_has_every_response(done: Done) -> None:
    runs = done.execution.runs()
    for name in ("val_balanced_accuracy", "val_f1_macro", "val_auc", "val_log_loss"):
        assert runs[name].notna().all()
    assert runs[["seconds_per_image", "bytes_on_disk"]].gt(0).all().all()


def test_the_view_in_mlflow_has_the_lowest_loss_first(done: Done) -> None:
    tags = done.tracker.find_experiment("tiny").tags
    assert LAST_STUDY in tags
    state = json.loads(json.loads(tags[f"{SHARED_VIEW}{TABLE}"])["state"])
    assert state["orderByAsc"]
    assert state["orderByKey"] == "metrics.`val_log_loss`"


def test_another_response_needs_no_new_training(done: Done, tmp_path: Path) -> None:
    path = write_study(tmp_path, STUDY.replace('name = "tiny"', 'name = "other"'))
    found = factorgrid("search", path, "--json", home=done.home)
    assert found.returncode == 0, found.stderr
    assert "reused, accuracy" in found.stderr
    screen = [line for line in found.stderr.splitlines() if "screen" in line and "/" in line]
    assert screen
    assert all("reused" in line for line in screen if ": " in line and "accuracy" in line)
