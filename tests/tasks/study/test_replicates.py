"""The plan of replicates: their lengths, keys and names."""

from pathlib import Path

import pytest
from support.small_study import STUDY, write_study

from analysis.factors import Level
from analysis.search.procedure import CellRun
from tasks.errors import StudyError
from tasks.study.replicates import Planned, plan, short_cell_name
from tasks.study.study_file import Study, load_study

LEVELS: dict[str, Level] = {"conv_layers": 1, "learning_rate": 0.001}


def _study(folder: Path, content: str = STUDY) -> Study:
    return load_study(str(write_study(folder, content)))


def _plan(study: Study, epochs: int | None) -> Planned:
    (planned,) = plan(study, "v1", "screen", [CellRun(LEVELS, 2, epochs=epochs)])
    return planned


def test_an_ordinary_replicate_keeps_no_state_and_has_the_key_it_always_had(
    tmp_path: Path,
) -> None:
    planned = _plan(_study(tmp_path), None)
    assert not planned.keep_state
    assert planned.spec.training.epochs == 4
    assert planned.key == "bee04006145c4b1f9345f9c85ace4aa2"
    assert (planned.name, planned.short_name) == (
        "conv_layers=1 learning_rate=0.001 #2",
        "conv 1, lr 0.001 · seed 2",
    )


def test_a_shorter_replicate_is_that_of_a_shorter_study_and_keeps_its_state(
    tmp_path: Path,
) -> None:
    study = _study(tmp_path)
    shorter = _study(tmp_path, STUDY.replace("epochs = 4", "epochs = 2"))
    planned, full = _plan(study, 2), _plan(study, None)
    assert planned.keep_state
    assert planned.key == _plan(shorter, None).key != full.key
    assert planned.spec.seed == full.spec.seed
    assert planned.spec.prefix_key("v1") == full.spec.prefix_key("v1")
    assert planned.name == f"{full.name} (2 epochs)"
    assert planned.short_name == "conv 1, lr 0.001 · seed 2 (2 epochs)"


def test_a_replicate_of_full_length_is_the_ordinary_one(tmp_path: Path) -> None:
    study = _study(tmp_path)
    assert _plan(study, 4) == _plan(study, None)


def test_a_short_name_has_full_names_where_two_factors_have_one_short_form() -> None:
    assert short_cell_name({"conv_layers": 6, "norm": "batch"}) == "conv 6, norm batch"
    assert short_cell_name({"conv_layers": 6, "conv": 2}) == "conv_layers 6, conv 2"


def test_no_length_can_be_set_where_it_is_a_factor(tmp_path: Path) -> None:
    content = STUDY.replace("[factors.conv_layers]", "[factors.epochs]")
    study = _study(tmp_path, content.replace("epochs = 4\n", ""))
    levels: dict[str, Level] = {"epochs": 2, "learning_rate": 0.001}
    with pytest.raises(StudyError, match="sets the length of each training"):
        plan(study, "v1", "screen", [CellRun(levels, 1, epochs=1)])
    (planned,) = plan(study, "v1", "screen", [CellRun(levels, 1)])
    assert planned.spec.training.epochs == 2
    assert not planned.keep_state
