"""The uncertainty over pictures of a study's effects, from the answers that MLflow has."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from support.small_study import Done, factorgrid, last_execution

from flows.cli import main
from models.images.arrays import open_arrays
from tasks.errors import UserError
from tasks.report.as_json import outcome_as_json
from tasks.report.html import report_page
from tasks.report.outcome import outcome_of
from tasks.report.text import outcome_as_text
from tasks.search.suspects import find_suspects
from tasks.tracking.artifact_paths import PICTURES, PREDICTIONS
from tasks.tracking.correct_answers import correct_answers

OPTIONS = ("analyze", "--experiment", "tiny", "--over-pictures")


def test_a_study_has_the_standard_errors_over_its_pictures(done: Done) -> None:
    ended = factorgrid(*OPTIONS, "--json", home=done.home)
    assert ended.returncode == 0, ended.stderr
    content = json.loads(ended.stdout)
    found = content["over_pictures"]
    runs = done.execution.runs("screen")
    assert found["runs"] == len(runs)
    assert set(found["terms"]) == set(content["terms"]) - {"intercept"}
    for name, row in found["terms"].items():
        assert row["effect"] == pytest.approx(content["terms"][name]["effect"])
        assert row["pictures"] > 0
        if row["seeds"] is not None:
            assert row["both"] >= row["seeds"]


def test_the_text_says_which_uncertainty_each_figure_has(done: Done) -> None:
    ended = factorgrid(*OPTIONS, home=done.home)
    assert ended.returncode == 0, ended.stderr
    text = " ".join(ended.stdout.split())
    assert "Standard errors of the effects, over seeds and over pictures" in text
    assert "hold for these 41 validation pictures" in text


def test_the_answers_have_the_accuracies_of_their_runs(done: Done) -> None:
    runs = done.execution.runs("screen")
    accuracies = runs["val_accuracy"].tolist()
    correct = correct_answers(done.execution, runs["run_id"].tolist(), accuracies)
    assert correct.shape == (len(runs), 41)
    assert correct.mean(axis=1).tolist() == pytest.approx(accuracies, abs=1e-6)


class Stored:
    """A tracker whose artifacts are changed before they are read."""

    def __init__(self, tracker: Any, change: Callable[[str, Any], Any]) -> None:
        self._tracker, self._change = tracker, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tracker, name)

    def read_json(self, run_id: str, path: str) -> Any:
        return self._change(path, self._tracker.read_json(run_id, path))

    def read(self, run_id: str, path: str) -> Any:
        return self._change(path, self._tracker.read(run_id, path))


def read_with(done: Done, change: Callable[[str, Any], Any], home: Path | None = None) -> Any:
    execution = last_execution(home or done.home, "tiny")
    execution.tracker = Stored(execution.tracker, change)  # type: ignore[assignment] # a fake
    runs = execution.runs("screen")
    return correct_answers(execution, runs["run_id"].tolist(), runs["val_accuracy"].tolist())


def without_labels(path: str, content: Any) -> Any:
    if path == PICTURES:
        content = {name: x for name, x in content.items() if name != "validation_labels"}
    return content


def changed_answers(change: Callable[[Any], Any]) -> Callable[[str, Any], Any]:
    def changed(path: str, content: Any) -> Any:
        if path != PREDICTIONS:
            return content
        with np.load(io.BytesIO(content)) as arrays:
            answers = arrays["val_probability"]
        file = io.BytesIO()
        np.savez(file, val_probability=change(answers))
        return file.getvalue()

    return changed


def test_a_study_of_an_earlier_version_has_its_labels_from_the_cache(done: Done) -> None:
    now = read_with(done, lambda _, content: content)
    assert (read_with(done, without_labels) == now).all()


BAD: dict[str, tuple[Callable[[str, Any], Any], str]] = {
    "no answers": (lambda path, x: None if path == PREDICTIONS else x, "no model/predictions.npz"),
    "fewer pictures": (changed_answers(lambda x: x[:-1]), "has answers to 40 validation pictures"),
    "other pictures": (changed_answers(lambda x: x[:, ::-1]), "it was judged on other pictures"),
}


@pytest.mark.parametrize("fault", BAD)
def test_runs_of_different_pictures_are_one_line(fault: str, done: Done) -> None:
    change, words = BAD[fault]
    with pytest.raises(UserError, match=words) as error:
        read_with(done, change)
    assert "\n" not in str(error.value)


def test_without_labels_and_pictures_it_says_what_to_do(done: Done, tmp_path: Path) -> None:
    shutil.copy(done.home / "mlflow.db", tmp_path / "mlflow.db")
    with pytest.raises(UserError, match="not cached on this machine"):
        read_with(done, without_labels, tmp_path)


REFUSED = {
    "a table": (("--csv", "a.csv", "--response", "y"), "--experiment NAME of a study"),
    "blocks": (("--experiment", "tiny", "--block", "seed"), "--block: with --over-pictures"),
    "a scale": (("--experiment", "tiny", "--scale", "logit"), "--scale: with --over-pictures"),
    "a surface": (("--experiment", "tiny", "--surface"), "--over-pictures: has no effect"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_options_that_do_not_go_together_are_one_line(case: str) -> None:
    options, words = REFUSED[case]
    result = CliRunner().invoke(main, ["analyze", "--over-pictures", *options])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


def test_a_response_that_is_no_mean_over_pictures_is_one_line(done: Done) -> None:
    ended = factorgrid(*OPTIONS, "--response", "val_loss", home=done.home)
    assert ended.returncode == 2
    assert "val_loss is no mean over pictures" in ended.stderr


def test_the_lead_of_the_winner_is_that_of_its_answers(done: Done) -> None:
    execution = done.execution
    outcome = outcome_of(execution)
    lead, cells = outcome.lead, outcome.selection.cells
    candidates = cells[cells["left_out"].eq("")]
    assert (lead is None) == (len(candidates) < 2)
    if lead is not None:
        other = outcome.selection.row(dict(lead.other))
        assert lead.size == pytest.approx(
            outcome.selection.row(outcome.selection.chosen)["mean"] - other["mean"], abs=1e-6
        )
        assert lead.n_pictures == 41
        content = outcome_as_json(outcome)
        assert content["lead"]["size"] == pytest.approx(lead.size)


def test_the_report_says_what_holds_on_other_pictures(done: Done) -> None:
    outcome = outcome_of(done.execution)
    assert outcome.over_pictures is not None
    text = " ".join(outcome_as_text(outcome).split())
    assert " 41 validation images" in text
    page = " ".join(report_page(outcome, done.execution, "en").split())
    assert " 41 validation images" in page


def test_a_study_without_stored_answers_has_a_report_without_them(done: Done) -> None:
    execution = last_execution(done.home, "tiny")
    execution.tracker = Stored(  # type: ignore[assignment] # a fake
        execution.tracker, lambda path, x: None if path == PREDICTIONS else x
    )
    outcome = outcome_of(execution)
    assert (outcome.lead, outcome.over_pictures) == (None, None)
    assert " 41 validation images" not in outcome_as_text(outcome)


def test_a_study_without_stored_answers_has_no_suspects(done: Done) -> None:
    execution = last_execution(done.home, "tiny")
    folder = f"{execution.version}-{execution.study.data.image_size}"
    arrays = open_arrays(execution.tracker.settings.cache / folder)
    execution.tracker = Stored(  # type: ignore[assignment] # a fake
        execution.tracker, lambda path, x: None if path == PREDICTIONS else x
    )
    assert find_suspects(execution, arrays) is None
