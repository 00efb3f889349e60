import copy
from pathlib import Path
from typing import Any

import pytest

from analysis.search.procedure import cell_runs
from analysis.search.space import grid_cells
from tasks.errors import StudyError
from tasks.search.screen import plan_screen
from tasks.study.replicates import plan, planned, seed_of
from tasks.study.study_file import STUDY_VERSION, built_in_studies, load_study, parse_study

GOOD: dict[str, Any] = {
    "name": "small",
    "data": {"drawn": 100, "image_size": 32},
    "factors": {
        "conv_layers": {"low": 3, "high": 6},
        "learning_rate": {"low": 0.001, "high": 0.1},
    },
}


@pytest.mark.parametrize("name", ["quick", "dogs-vs-cats", "paper"])
def test_the_built_in_studies_are_valid(name: str) -> None:
    study = load_study(name)
    assert study.name == name
    assert set(study.factors) == {"conv_layers", "fc_layers", "learning_rate"}


def test_the_paper_study_has_the_published_settings() -> None:
    study = load_study("paper")
    levels = {factor.name: (factor.low, factor.high) for factor in study.factor_list}
    assert levels == {"conv_layers": (3, 6), "fc_layers": (1, 3), "learning_rate": (0.001, 0.1)}
    assert study.data.image_size == 256
    assert study.data.per_class == 5000
    assert study.training.epochs == 20
    assert study.training.batch_size == 64
    assert study.model.settings == {
        "filters": 64,
        "kernel_size": 3,
        "activation": "relu",
        "dropout": 0.2,
    }


def test_the_learning_rate_is_on_a_log_scale_by_default() -> None:
    scales = {factor.name: factor.scale for factor in parse_study(GOOD, "small.toml").factor_list}
    assert scales == {"conv_layers": "integer", "learning_rate": "log"}


BAD: dict[str, tuple[tuple[str, ...], Any, tuple[str, ...]]] = {
    "an unknown key": (("replicate",), 2, ("replicate", "unknown key", "replicates")),
    "an unknown key in a table": (("data", "imagesize"), 2, ("data.imagesize", "image_size")),
    "low not below high": (
        ("factors", "conv_layers", "low"),
        6,
        ("factors", "conv_layers", "6", "below"),
    ),
    "a log scale with zero": (("factors", "learning_rate", "low"), 0.0, ("learning_rate", "0")),
    "a factor the network does not have": (
        ("factors", "layers"),
        {"low": 1, "high": 2},
        ("factors.layers", "conv_layers"),
    ),
    "a setting the network does not have": (
        ("model",),
        {"filtres": 3},
        ("model.filtres", "filters"),
    ),
    "a level that training does not know": (
        ("factors", "optimizer"),
        {"low": "adam", "high": "adamw"},
        ("factors.optimizer", "'adamw'", "sgd"),
    ),
    "a level out of its range": (
        ("factors", "epochs"),
        {"low": 0, "high": 4, "domain": [0, 10]},
        ("factors.epochs", "0", "greater than or equal to 1"),
    ),
    "no replicates": (("replicates",), 0, ("replicates", "0")),
    "no test images": (("data", "training"), 0.9, ("data", "0.9", "below 1")),
    "text for a number": (("training",), {"epochs": "many"}, ("training.epochs", "'many'")),
    "no factors": (("factors",), {}, ("factors",)),
}


@pytest.mark.parametrize("fault", BAD)
def test_an_error_in_a_study_is_one_line_with_field_and_value(fault: str) -> None:
    path, value, words = BAD[fault]
    content = copy.deepcopy(GOOD)
    table = content
    for key in path[:-1]:
        table = table[key]
    table[path[-1]] = value
    with pytest.raises(StudyError) as caught:
        parse_study(content, "small.toml")
    message = str(caught.value)
    assert "\n" not in message
    assert "small.toml" in message
    for word in words:
        assert word in message


def test_a_missing_study_lists_the_built_in_studies() -> None:
    with pytest.raises(StudyError, match="quick"):
        load_study("no-such-study")


def test_invalid_toml_is_reported_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("name = \n")
    with pytest.raises(StudyError, match="line 1"):
        load_study(str(path))


def test_every_built_in_study_begins_with_a_description() -> None:
    for path in built_in_studies().values():
        assert path.read_text().startswith("# ")


def test_a_cell_has_the_same_key_in_every_stage() -> None:
    study = parse_study(GOOD, "small.toml")
    cells = grid_cells({"conv_layers": (3, 6), "learning_rate": (0.001,)})
    screen = plan(study, "v", "screen", cell_runs(cells, [1]))
    refine = plan(study, "v", "refine", cell_runs(cells, [1]))
    assert [p.key for p in screen] == [p.key for p in refine]


def test_every_cell_and_replicate_has_its_own_seed() -> None:
    study = parse_study(GOOD, "small.toml")
    cells = grid_cells({"conv_layers": (3, 6), "learning_rate": (0.001, 0.1)})
    seeds = {seed_of(study, cell, number) for cell in cells for number in (1, 2, 3)}
    assert len(seeds) == 12


def test_a_level_that_was_read_as_text_gives_the_same_key() -> None:
    study = parse_study(GOOD, "small.toml")
    given = {"conv_layers": 3, "learning_rate": 0.001}
    read = {"conv_layers": "3", "learning_rate": "0.0010"}
    keys = [planned(study, "v", "screen", cell, 1).key for cell in (given, read)]
    assert keys[0] == keys[1]


def test_the_screen_is_the_best_fraction_within_screen_cells() -> None:
    factors = {name: {"low": 0.1, "high": 0.2} for name in ("dropout", "learning_rate")}
    factors |= {name: {"low": 2, "high": 4} for name in ("conv_layers", "fc_layers", "filters")}
    content = {"name": "five", "factors": factors, "screen_cells": 20, "replicates": 2}
    study = parse_study(content, "five.toml")
    planned = plan_screen(study, "version")
    assert len({p.cell for p in planned}) == 16
    assert len(planned) == 32
    assert study.design.resolution == 5
    assert len(plan_screen(parse_study({**content, "screen_cells": None}, "x"), "v")) == 64
    with pytest.raises(StudyError, match="no design of 5 factors has 4 cells"):
        parse_study({**content, "screen_cells": 4}, "five.toml")


def test_a_setting_at_its_default_is_no_part_of_a_studys_identity() -> None:
    explicit = {**GOOD, "alpha": 0.05, "refine": {"method": "grid"}}
    assert parse_study(explicit, "x").identity == parse_study(GOOD, "x").identity
    assert parse_study({**GOOD, "alpha": 0.1}, "x").identity != parse_study(GOOD, "x").identity


def test_a_default_that_changes_raises_the_version_of_studies() -> None:
    """Identities leave defaults out: see STUDY_VERSION, and add new settings here."""
    study = parse_study({"name": "x", "factors": {"epochs": {"low": 1, "high": 2}}}, "x")
    defaults = study.model_dump(mode="json", exclude={"name", "factors"})
    assert STUDY_VERSION == 1
    assert defaults == {
        "description": "",
        "response": "val_accuracy",
        "replicates": 1,
        "screen_cells": None,
        "centre_points": 0,
        "seed": 1,
        "alpha": 0.05,
        "registered_model": None,
        "data": {
            "source": None,
            "drawn": None,
            "image_size": 64,
            "per_class": None,
            "seed": 1,
            "training": 0.7,
            "validation": 0.15,
            "exclude": {},
            "rules": None,
        },
        "model": {"builder": "models.cnn:build", "builder_folder": None, "builder_source": ""},
        "training": {
            "epochs": 8,
            "batch_size": 64,
            "learning_rate": 0.001,
            "optimizer": "adam",
            "augment": False,
            "precision": "auto",
            "deterministic": False,
        },
        "pilot": {"enabled": False, "found": []},
        "refine": {"method": "grid", "budget": 12, "replicates": None, "rounds": 2, "prune": False},
        "confirm": {"replicates": 2, "cells": 4},
        "compare": {"manual": [], "levels": {}},
    }
