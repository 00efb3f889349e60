import copy
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError
from support.small_study import STUDY

from analysis.errors import DesignError
from analysis.search import procedure
from analysis.search.procedure import ShortTrainings, cell_runs, pilot_runs
from analysis.search.space import grid_cells
from tasks.errors import StudyError
from tasks.search.pilot import narrowed_study
from tasks.search.screen import plan_screen
from tasks.study.next_study import next_study
from tasks.study.replicates import plan, planned, seed_of
from tasks.study.study_file import (
    STUDY_VERSION,
    Study,
    built_in_studies,
    load_study,
    parse_study,
    read_stored_study,
    study_with_response,
)
from tasks.study.study_toml import study_toml

GOOD: dict[str, Any] = {
    "name": "small",
    "data": {"drawn": 100, "image_size": 32},
    "factors": {
        "conv_layers": {"low": 3, "high": 6},
        "learning_rate": {"low": 0.001, "high": 0.1},
    },
}


@pytest.mark.parametrize("name", ["quick", "dogs-vs-cats-plain", "paper"])
def test_the_built_in_studies_are_valid(name: str) -> None:
    study = load_study(name)
    assert study.name == name
    assert set(study.factors) == {"conv_layers", "fc_layers", "learning_rate"}


def test_the_study_of_the_modern_network_screens_its_parts_in_a_fraction() -> None:
    study = load_study("dogs-vs-cats")
    assert study.model.builder == "models.residual:build"
    assert len(study.factors) >= 7
    assert study.design.n_runs < 2 ** len(study.factors)
    assert study.data.image_size == 64
    # The pilot trains the first of the categories: the better guess.
    spec = study.spec({factor.name: factor.low for factor in study.factor_list}, 1)
    assert (spec.training.augment, spec.training.schedule) == ("strong", "one_cycle")
    assert study.factors["normalization"].levels == ("batch", "group")


def test_the_study_of_a_backbone_varies_its_last_block_and_its_training() -> None:
    study = load_study("transfer")
    assert study.model.builder == "models.pretrained:build"
    assert set(study.factors) == {
        *("learning_rate", "unfreeze", "dropout", "weight_decay", "label_smoothing"),
    }
    assert study.factors["unfreeze"].levels == ("none", 1)
    assert (study.data.image_size, study.data.per_class) == (224, 2500)


def test_the_demonstration_has_a_budget_and_two_others_are_published() -> None:
    methods = {name: load_study(name).method for name in built_in_studies()}
    assert methods == {
        "quick": "budget",
        "dogs-vs-cats": "budget",
        "dogs-vs-cats-plain": "published",
        "transfer": "budget",
        "paper": "published",
    }
    rules = load_study("quick").rules
    assert rules.design is not None
    assert len(pilot_runs(rules)) == 3
    assert (rules.design.n_runs, rules.budget, rules.most_confirmed) == (8, 5, 2)
    assert rules.short == ShortTrainings(2, 8, 24)


def test_the_epochs_as_a_factor_or_one_setting_leave_one_length() -> None:
    content = {**GOOD, "budget": 20}
    assert parse_study(content, "x").rules.short == ShortTrainings(2, 8, 40)
    assert parse_study({**content, "short_trainings": False}, "x").rules.short is None
    factors = {**GOOD["factors"], "epochs": {"low": 8, "high": 16}}
    assert parse_study({**content, "factors": factors}, "x").rules.short is None
    assert parse_study({**content, "training": {"epochs": 7}}, "x").rules.short is None


def test_a_setting_that_depends_on_the_length_is_trained_again_and_not_continued(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tasks.study.study_file.LENGTH_DEPENDENT", frozenset({"augment"}))
    for content in (
        {**GOOD, "training": {"augment": True}},
        {**GOOD, "factors": {**GOOD["factors"], "augment": {"values": [False, True]}}},
    ):
        short = parse_study({**content, "budget": 20}, "x").rules.short
        assert short is not None
        assert not short.continues
        assert short.cost_of_full == 1


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


FACTOR = 'name = "a"\n[factors.epochs]\nlow = 1\nhigh = 2\n'
BAD: dict[str, tuple[tuple[str, ...], Any, tuple[str, ...]]] = {
    "a folder for the built-in network": (
        ("model", "builder_folder"),
        "elsewhere/evil",
        ("model.builder_folder", "elsewhere/evil", "no effect with the built-in network", "remove"),
    ),
    "an unknown network": (
        ("model", "network"),
        "modren",
        ("model", "'modren'", "did you mean modern?", "plain, modern"),
    ),
    "two networks": (
        ("model",),
        {"network": "modern", "builder": "models.cnn:build"},
        ("both name the network", "keep one"),
    ),
    "a final training that is no longer than the others": (
        ("final_epochs",),
        8,
        ("final_epochs 8: not above the 8 epochs of every training", "raise it, or remove it"),
    ),
    "a folder that is a number": (("model", "builder_folder"), 3, ("model.builder_folder", "3")),
    "a folder with a NUL character": (
        ("model", "builder_folder"),
        "a\0",
        ("model.builder_folder", "NUL", "correct it"),
    ),
    "rules with a NUL character": (("data", "rules"), "a\0", ("data.rules", "NUL")),
    "a source of no user": (("data", "source"), "~nobody-here/x", ("data.source", "no such user")),
    "data that are a list": (("data",), [1], ("data: [1] is not a table", "write [data] above")),
    "too many drawn images": (("data", "drawn"), 100_001, ("data.drawn", "100000", "100001")),
    "drawn images of too many pixels": (
        ("data",),
        {"drawn": 100_000, "image_size": 1024},
        ("data: drawn 100000 images of 1024 x 1024 pixels", "lower drawn or image_size"),
    ),
    "a level of 400 digits": (
        ("factors", "conv_layers", "high"),
        10**400,
        ("factors.conv_layers.high", "at most 9007199254740992"),
    ),
    "a level of 201 characters": (
        ("factors", "activation"),
        {"low": "x" * 201, "high": "relu"},
        ("factors.activation.low", "at most 200 characters"),
    ),
    "a setting of 10,000 characters": (
        ("model", "filters"),
        "x" * 10_000,
        ("model.filters", "whole number"),
    ),
    "negative filters": (("model", "filters"), -1, ("model.filters", "-1", "whole", "1 to 4096")),
    "half a layer": (("model", "fc_layers"), 1.5, ("model.fc_layers", "1.5", "whole number")),
    "a truth value for a number": (("model", "kernel_size"), True, ("model.kernel_size", "True")),
    "text for units": (("model", "dense_units"), "64", ("model.dense_units", "'64'")),
    "all units dropped": (("model", "dropout"), 1.5, ("model.dropout", "1.5", "0 to 0.95")),
    "an unknown activation": (("model", "activation"), "nonsense", ("'nonsense'", "relu, ")),
    "an unknown activation as a level": (
        ("factors", "activation"),
        {"low": "relu", "high": "nonsense"},
        ("factors.activation", "'nonsense'"),
    ),
    "a name that MLflow refuses": (("registered_model",), "a/b", ("registered_model", "'a/b'")),
    "a name with a quote": (("registered_model",), "a'b", ("registered_model",)),
    "too many drawn pictures": (("data", "drawn"), 10**9, ("data.drawn", "1000000")),
    "too many epochs": (("training", "epochs"), 10**9, ("training.epochs", "100000")),
    "too large a budget": (("refine", "budget"), 10**9, ("refine.budget", "10000")),
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
        {"low": "adam", "high": "nadam"},
        ("factors.optimizer", "'nadam'", "sgd"),
    ),
    "an unknown level of augmentation": (
        ("training", "augment"),
        "heavy",
        ("training.augment", "'heavy'", "'none', 'flip', 'light', 'strong'"),
    ),
    "an unknown schedule": (("training", "schedule"), "linear", ("training.schedule", "cosine")),
    "a warm-up of all steps": (("training", "warmup"), 1.0, ("training.warmup", "0.9", "1.0")),
    "a negative weight decay": (("training", "weight_decay"), -0.1, ("weight_decay", "-0.1")),
    "adamw without weight decay": (
        ("training", "optimizer"),
        "adamw",
        ("training.optimizer: adamw with weight_decay 0 is adam", "set weight_decay"),
    ),
    "adam and adamw with the same weight decay": (
        ("factors", "optimizer"),
        {"values": ["adam", "adamw"]},
        ("factors.optimizer: adam and adamw", "when"),
    ),
    "a level out of its range": (
        ("factors", "epochs"),
        {"low": 0, "high": 4, "domain": [0, 10]},
        ("factors.epochs", "0", "greater than or equal to 1"),
    ),
    "a factor named as a column of every table": (
        ("factors", "n"),
        {"low": 1, "high": 2},
        ("factor n", "rename"),
    ),
    "no replicates": (("replicates",), 0, ("replicates", "0")),
    "no test images": (("data", "training"), 0.9, ("data", "0.9", "below 1")),
    "text for a number": (("training",), {"epochs": "many"}, ("training.epochs", "'many'")),
    "no factors": (("factors",), {}, ("factors",)),
}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "a = " + "[" * 3000 + "]" * 3000,
            "cannot be read as TOML: lists or tables are nested too",
        ),
        ('name = "a"\ndata = [1]\n[factors.epochs]\nlow = 1\nhigh = 2\n', "is not a table"),
        (
            FACTOR + "[model]\nbuilder = [1]\n",
            "model.builder",
        ),
        (
            FACTOR + '[model]\nbuilder = "n:b"\nbuilder_folder = 3\n',
            "model.builder_folder",
        ),
        (
            FACTOR + '[model]\nbuilder = "n:b"\nbuilder_folder = "a\\u0000"\n',
            "NUL",
        ),
        (
            FACTOR + '[model]\nbuilder = "n:b"\nbuilder_folder = "~no-one/x"\n',
            "no such user",
        ),
    ],
)
def test_a_file_of_unusual_content_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "study.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError) as caught:
        load_study(str(file))
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("fault", BAD)
def test_an_error_in_a_study_is_one_line_with_field_and_value(fault: str) -> None:
    path, value, words = BAD[fault]
    content = copy.deepcopy(GOOD)
    table = content
    for key in path[:-1]:
        table = table.setdefault(key, {})
    table[path[-1]] = value
    with pytest.raises(StudyError) as caught:
        parse_study(content, "small.toml")
    message = str(caught.value)
    assert "\n" not in message
    assert "small.toml" in message
    for word in words:
        assert word in message


def test_a_final_training_where_the_length_is_a_factor_is_refused() -> None:
    factors = {**GOOD["factors"], "epochs": {"low": 4, "high": 8}}
    with pytest.raises(StudyError, match="final_epochs 20: the epochs are a factor") as caught:
        parse_study({**GOOD, "factors": factors, "final_epochs": 20}, "small.toml")
    assert str(caught.value).endswith("remove final_epochs, or the factor")


def test_a_missing_study_lists_the_built_in_studies() -> None:
    with pytest.raises(StudyError, match="quick"):
        load_study("no-such-study")
    with pytest.raises(StudyError, match=r"did you mean quick\? name one"):
        load_study("quick.toml")


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
    published = {**GOOD, "method": "published"}
    explicit = {**published, "alpha": 0.05, "refine": {"method": "grid"}}
    assert parse_study(explicit, "x").identity == parse_study(published, "x").identity
    assert parse_study({**GOOD, "alpha": 0.1}, "x").identity != parse_study(GOOD, "x").identity


def test_a_default_that_changes_raises_the_version_of_studies() -> None:
    """Identities leave defaults out: see STUDY_VERSION, and add new settings here."""
    study = parse_study({"name": "x", "factors": {"epochs": {"low": 1, "high": 2}}}, "x")
    defaults = study.model_dump(mode="json", exclude={"name", "factors"})
    assert STUDY_VERSION == 1
    assert defaults == {
        "description": "",
        "response": "val_accuracy",
        "second": None,
        "method": "budget",
        "budget": None,
        "minutes": None,
        "short_trainings": True,
        "screen": None,
        "parallel": None,
        "final_epochs": None,
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
            "weight_decay": 0.0,
            "schedule": "constant",
            "warmup": 0.0,
            "label_smoothing": 0.0,
            "clip_norm": 0.0,
            "ema": 0.0,
            "class_weight": "none",
            "mixup": 0.0,
            "cutmix": 0.0,
            "erase": 0.0,
            "keep": "last",
            "average_flip": False,
        },
        "pilot": {"enabled": False, "found": [], "ranges": {}},
        "refine": {"method": "grid", "budget": 12, "replicates": None, "rounds": 2, "prune": False},
        "confirm": {"replicates": 2, "cells": 4},
        "pick": {"within": None, "at_most": None},
        "compare": {"manual": [], "levels": {}},
    }


def test_the_name_of_a_network_is_stored_as_the_identifier_of_its_builder() -> None:
    factors = {"width": {"low": 8, "high": 32}, "normalization": {"values": ["batch", "group"]}}
    factors |= {"augment": {"values": ["none", "flip", "light", "strong"]}}
    factors |= {"residual": {"values": [False, True]}, "ema": {"low": 0.9, "high": 0.99}}
    content = {"name": "m", "model": {"network": "modern", "depth": 2}, "factors": factors}
    study = parse_study(content, "m.toml")
    assert study.model.builder == "models.residual:build"
    assert study.model.settings == {"depth": 2}
    assert "network" not in study.model_dump(mode="json")["model"]
    assert parse_study({**GOOD, "model": {"network": "plain"}}, "x") == parse_study(GOOD, "x")
    own = {"builder": "net:build", "network": "a keyword of it"}
    settings = parse_study({**GOOD, "model": own}, "x").model.settings
    assert settings == {"network": "a keyword of it"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": {"normalization": "layer"}}, ("model.normalization", "none, batch, group")),
        ({"model": {"residual": 1}}, ("model.residual", "1 is not one of false, true")),
        ({"model": {"filters": 8}}, ("model.filters is not a setting", "width")),
        ({"model": {"width": 4}}, ("model.width", "8 to 1024")),
        ({"factors": {"width": {"low": 4, "high": 32}}}, ("factor width", "8")),
        ({"training": {"batch_size": 1}}, ("batch_size 1", "group")),
        (
            {"factors": {"batch_size": {"low": 1, "high": 64}}},
            ("batch_size 1 with normalization batch", "raise batch_size"),
        ),
    ],
)
def test_an_error_in_a_study_of_the_second_network_is_one_line(
    changes: dict[str, Any], words: tuple[str, ...]
) -> None:
    content: dict[str, Any] = {"name": "m", "factors": {"width": {"low": 8, "high": 32}}}
    content |= changes
    content["model"] = {"network": "modern", **content.get("model", {})}
    with pytest.raises(StudyError) as caught:
        parse_study(content, "m.toml")
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_users_own_network_may_have_a_setting_of_the_same_name() -> None:
    factors = {"width": {"values": ["narrow", "wide"]}, "depth": {"low": 0.5, "high": 1.5}}
    content = {"name": "own", "model": {"builder": "net:build"}, "factors": factors}
    scales = [factor.scale for factor in parse_study(content, "own.toml").factor_list]
    assert scales == ["categorical", "linear"]


TEXT = """name = "small"
[factors.conv_layers]
low = 3
high = 6
[factors.learning_rate]
low = 0.001
high = 0.1
"""


def _load(folder: Path, more: str = "", encoding: str = "utf-8", **changes: Any) -> Study:
    path = folder / "study.toml"
    path.write_bytes(f"{TEXT}{more}".encode(encoding))
    return load_study(str(path), **changes)


def test_a_byte_order_mark_is_no_part_of_a_study(tmp_path: Path) -> None:
    plain = _load(tmp_path)
    assert _load(tmp_path, encoding="utf-8-sig").identity == plain.identity


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("utf-16", ("UTF-16", "save it in UTF-8")),
        ("utf-16-be", ("UTF-16", "save it in UTF-8")),
        ("cp949", ("line 8 is not in UTF-8", "save the file in UTF-8")),
    ],
)
def test_another_encoding_is_named(encoding: str, words: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        _load(tmp_path, "# 고양이\n", encoding)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_paths_of_a_study_file_start_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    study = _load(tmp_path, '[data]\nsource = "pets"\nrules = "../rules.toml"\n')
    assert study.data.source_place == tmp_path / "pets"
    assert study.data.rules_place == tmp_path / ".." / "rules.toml"
    study = _load(tmp_path, '[data]\nsource = "~/pets"\nrules = "~/rules.toml"\n')
    assert study.data.source_place == tmp_path / "me" / "pets"
    assert study.data.rules_place == tmp_path / "me" / "rules.toml"
    for place in ("/pets", "s3://bucket/pets"):
        study = _load(tmp_path, f'[data]\nsource = "{place}"\n')
        assert study.data.source_place == study.data.source == Path(place)
    own = '[model]\nbuilder = "net:build"\nbuilder_folder = "{}"\n'
    assert _load(tmp_path, own.format("nets")).model.builder_folder == tmp_path / "nets"
    assert _load(tmp_path, own.format("~/nets")).model.builder_folder == tmp_path / "me" / "nets"


def test_a_source_of_the_command_line_starts_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    more = '[data]\nsource = "pets"\nrules = "rules.toml"\n'
    study = _load(tmp_path, more, source="other")
    assert study.data.source_place == Path("other")
    assert study.data.rules_place == tmp_path / "rules.toml"
    assert _load(tmp_path, more, source="~/other").data.source_place == tmp_path / "me" / "other"


def test_the_identity_of_a_study_has_its_paths_as_they_are_written(tmp_path: Path) -> None:
    assert _load(tmp_path).identity == parse_study({**GOOD, "data": {}}, "x").identity
    study = _load(tmp_path, '[data]\nsource = "pets"\n')
    assert study.identity["data"] == {"source": "pets"}
    assert study.model_dump(mode="json")["data"]["source"] == "pets"


MISSPELT = {
    "[factor.epochs]\nlow = 1\nhigh = 2": "factor: unknown key; did you mean [factors.NAME]?",
    "[Factors.epochs]\nlow = 1\nhigh = 2": "Factors: unknown key; did you mean [factors.NAME]?",
    "[trainning]\nepochs = 3": "trainning: unknown key; did you mean [training]?",
    "[data]\nsourse = 'pets'": "data.sourse: unknown key; did you mean source?",
    "[data]\nreplicates = 2": "data.replicates: unknown key; write replicates above the",
    "[refine]\nepoch = 2": "refine.epoch: unknown key; write epochs in the table [training]",
    "[model]\nfiltres = 3": "model.filtres is not a setting; did you mean filters?",
    "[model]\nepochs = 3": "model.epochs is not a setting; it belongs in the table [training]",
    "[factors.dropuot]\nlow = 0.1\nhigh = 0.2": "factors.dropuot is not a setting; did you mean",
    "[factors]\ndropout = [0.1, 0.2]": "[0.1, 0.2] is not a table; write [factors.dropout]",
}


@pytest.mark.parametrize("more", MISSPELT)
def test_a_misspelt_key_is_answered_with_the_right_one(more: str, tmp_path: Path) -> None:
    text = TEXT if "[factors]" not in more else 'name = "small"\n'
    path = tmp_path / "study.toml"
    path.write_text(text + more)
    with pytest.raises(StudyError, match=r"^study ") as caught:
        load_study(str(path))
    assert MISSPELT[more] in str(caught.value)


def test_a_study_whose_only_table_of_factors_is_misspelt_says_so(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(TEXT.replace("[factors.", "[factor."))
    with pytest.raises(StudyError, match=r"did you mean \[factors.NAME\]"):
        load_study(str(path))


#: An integer factor, as a study may give it.
COUNTS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "on a log scale": ("filters", (4, 16), {"scale": "log"}),
    "on a log scale that is no square": ("dense_units", (5, 64), {"scale": "log"}),
    "on a linear scale": ("filters", (4, 15), {"scale": "linear"}),
    "written with a point": ("dense_units", (8.0, 33.0), {"scale": "log"}),
    "close together": ("filters", (1, 2), {"scale": "log"}),
    "from 1": ("epochs", (1, 3), {"scale": "log"}),
}


@pytest.mark.parametrize("method", ["grid", "gp", "surface"])
@pytest.mark.parametrize("pilot", [False, True])
@pytest.mark.parametrize("case", COUNTS)
def test_an_integer_factor_has_whole_numbers_in_every_stage(
    case: str, method: str, *, pilot: bool
) -> None:
    name, (low, high), scale = COUNTS[case]
    factors = {name: {"low": low, "high": high, **scale}, **GOOD["factors"]}
    refine = {"method": method, "budget": 9}
    content = {"name": "whole", "factors": factors, "refine": refine, "centre_points": 2}
    study = parse_study({**content, "pilot": {"enabled": pilot}}, "x")
    rows: list[dict[str, Any]] = []

    def train(stage: Any, runs: Any) -> pd.DataFrame:
        for one in plan(study, "v", stage, runs):
            settings = {**one.spec.model.settings, **vars(one.spec.training)}
            assert type(settings[name]) is int
            assert settings[name] >= 1
            # The more the better, so that a grid moves.
            figure = 0.5 + 0.1 * sum(one.coded.values()) / (1 + abs(sum(one.coded.values())))
            rows.append({**one.levels, "val_accuracy": figure, "stage": stage})
        return pd.DataFrame(rows)

    if pilot:
        study = narrowed_study(study, train("pilot", procedure.pilot_runs(study.rules)))
        rows.clear()
    runs = train("screen", procedure.screen_runs(study.rules))
    decision = procedure.decide(study.rules, procedure.screen_effects(study.rules, runs))
    cells: Any = ()
    for _ in range(3):
        refined = runs[runs["stage"] == "refine"]
        found = procedure.refined_cells(study.rules, decision, runs, refined, cells)
        cells = found.cells
        if not cells:
            break
        runs = train("refine", procedure.refine_runs(study.rules, found))
    selection = procedure.select_cell(study.rules, runs)
    assert type(selection.chosen[name]) is int


def test_a_setting_of_an_own_network_counts_on_a_log_scale_if_its_levels_do() -> None:
    content = {"name": "own", "model": {"builder": "net:build"}}
    factors = {"units": {"low": 8, "high": 64, "scale": "log"}}
    (units,) = parse_study({**content, "factors": factors}, "x").factor_list
    assert units.decode(0) == 23
    factors = {"rate": {"low": 1.0, "high": 10.0, "scale": "log"}}
    (rate,) = parse_study({**content, "factors": factors}, "x").factor_list
    assert rate.decode(0) == pytest.approx(10**0.5)


def test_a_level_of_an_integer_factor_that_is_no_whole_number_is_an_error() -> None:
    factors = {"filters": {"low": 4.5, "high": 16, "scale": "log"}}
    with pytest.raises(StudyError, match=r"4\.5 is not a whole number"):
        parse_study({"name": "x", "factors": factors}, "x")


OF_EARLIER_VERSIONS: dict[str, dict[str, Any]] = {
    "a signature": {"data": {"source": "https:/host/p.zip?sv=1&sig=abcdef"}},
    "many drawn images": {"data": {"drawn": 200_000, "image_size": 256}},
    "a folder of the built-in network": {"model": {"builder_folder": "/networks"}},
    "a path of a user of another machine": {"data": {"source": "~no-such-user/pets"}},
    "a large level": {"compare": {"levels": {"dropout": [0.1, 2**60]}}},
}


@pytest.mark.parametrize("case", OF_EARLIER_VERSIONS)
def test_a_study_of_an_earlier_version_is_read_back_although_a_new_one_is_refused(
    case: str,
) -> None:
    factors = {"learning_rate": {"low": 1e-4, "high": 1e-3}, "dropout": {"low": 0.1, "high": 0.2}}
    content = {"name": "old", "factors": factors, **OF_EARLIER_VERSIONS[case]}
    with pytest.raises(StudyError):
        parse_study(content, "study.toml")
    with pytest.raises(ValidationError):  # as the parameter of a flow
        Study.model_validate(content)
    study = read_stored_study(content, "of MLflow run 1")
    assert study.name == "old"
    if case == "a signature":
        assert str(study.data.source) == "https:/host/p.zip?sv=1&sig=***"
    with pytest.raises(StudyError, match="study of MLflow run 1: name"):
        read_stored_study({**content, "name": 3}, "of MLflow run 1")


def _with_factors(factors: dict[str, Any], **changes: Any) -> Study:
    own = {**GOOD, "method": "published", "factors": factors, **changes}
    return parse_study(own, "lists.toml")


def test_the_ends_of_a_list_are_the_levels_and_no_other_value_is_run() -> None:
    study = _with_factors(
        {
            "batch_size": {"values": [64, 16, 32, 128]},
            "dropout": {"values": [0.1, 0.2, 0.5]},
            "optimizer": {"values": ["adam", "sgd"]},
        }
    )
    batch, dropout, optimizer = study.factor_list
    assert (batch.low, batch.high, batch.values) == (16, 128, (16, 32, 64, 128))
    assert (batch.scale, batch.whole) == ("log", True)
    assert (dropout.low, dropout.high, dropout.scale) == (0.1, 0.5, "linear")
    known = _with_factors({"optimizer": {"low": "adam", "high": "sgd"}})
    assert known.factor_list == (optimizer,)
    screened = {run.levels["batch_size"] for run in procedure.screen_runs(study.rules)}
    assert screened == {16, 128}


def test_low_and_high_may_name_two_values_of_a_list() -> None:
    study = _with_factors({"batch_size": {"values": [16, 32, 64, 128], "low": 32, "high": 64}})
    assert study.factor_list[0].levels == (32, 64)
    assert study.factor_list[0].values == (16, 32, 64, 128)


def test_a_pilot_narrows_a_list_to_values_of_the_list() -> None:
    values = [1e-05, 0.00123456, 0.0023, 0.1]
    study = _with_factors(
        {"learning_rate": {"values": values}, "batch_size": {"values": [16, 32, 64, 128]}},
        pilot={"enabled": True},
    )
    cells = [run.levels for run in procedure.pilot_runs(study.rules)]
    runs = pd.DataFrame(cells).assign(val_accuracy=[0.5, 0.7, 0.9], stage="pilot")
    narrowed = narrowed_study(study, runs)
    for factor in narrowed.factor_list:
        assert set(factor.levels) <= set(factor.values)
    again = parse_study(tomllib.loads(study_toml(narrowed)), "narrowed.toml")
    assert again.factor_list == narrowed.factor_list


def test_low_and_high_have_the_same_identity_as_before_lists() -> None:
    assert parse_study(GOOD, "small.toml").identity["factors"] == GOOD["factors"]


BAD_LISTS = {
    "one value": ({"values": [16]}, "factors.batch_size.values"),
    "no level": ({}, "low is missing; add it, or give only a list"),
    "half of the levels": ({"values": [16, 32], "low": 16}, "high is missing"),
    "a domain": ({"values": [16, 32], "domain": [1, 64]}, "remove domain"),
    "a level not in the list": ({"values": [16, 32], "low": 16, "high": 64}, "not one of"),
    "a value twice": ({"values": [16, 16, 32]}, "each once"),
    "a fraction": ({"values": [16, 20.5]}, "not a whole number"),
    "a value that cannot be trained": ({"values": [0, 16, 32]}, "outside 1 to 65536"),
    "text among numbers": ({"values": [16, "32"]}, "value '32' is not a number"),
    "not a list": ({"values": 16}, "factors.batch_size.values"),
}


@pytest.mark.parametrize("fault", BAD_LISTS)
def test_a_bad_list_of_values_is_one_line_that_names_the_factor(fault: str) -> None:
    part, message = BAD_LISTS[fault]
    with pytest.raises(StudyError, match=message) as error:
        _with_factors({"batch_size": part})
    assert "batch_size" in str(error.value)
    assert "\n" not in str(error.value)


OPTIMIZERS = {"values": ["adam", "sgd", "rmsprop"]}


def test_three_categories_are_screened_in_a_design_that_has_them_all() -> None:
    study = _with_factors({**GOOD["factors"], "optimizer": OPTIMIZERS})
    optimizer = study.factor_list[-1]
    assert optimizer.levels == ("adam", "sgd", "rmsprop")
    assert (optimizer.low, optimizer.high, optimizer.scale) == ("adam", "rmsprop", "categorical")
    runs = plan_screen(study, "v1")
    assert study.design.n_runs == len(runs) == 12
    assert {run.spec.training.optimizer for run in runs} == {"adam", "sgd", "rmsprop"}
    assert len({run.key for run in runs}) == 12
    small = _with_factors({**GOOD["factors"], "optimizer": OPTIMIZERS}, screen_cells=8)
    assert small.design.n_runs == len(plan_screen(small, "v1")) == 8


def test_a_cell_has_the_same_key_whether_its_factor_has_two_categories_or_three() -> None:
    levels: dict[str, Any] = {"conv_layers": 3, "learning_rate": 0.001, "optimizer": "sgd"}
    two = _with_factors({**GOOD["factors"], "optimizer": {"low": "adam", "high": "sgd"}})
    three = _with_factors({**GOOD["factors"], "optimizer": OPTIMIZERS})
    assert (
        planned(two, "v1", "screen", levels, 1).key == planned(three, "v1", "screen", levels, 1).key
    )


@pytest.mark.parametrize(
    ("k", "most", "runs", "resolution"),
    [(8, None, 16, 4), (9, None, 32, 4), (9, 16, 16, 3), (9, 12, 12, 3), (7, None, 128, 8)],
)
def test_a_study_of_many_factors_is_never_a_full_design_of_them(
    k: int, most: int | None, runs: int, resolution: int
) -> None:
    names = ["conv_layers", "fc_layers", "filters", "kernel_size", "dense_units", "batch_size"]
    factors: dict[str, Any] = {name: {"low": 2, "high": 4} for name in names}
    factors["learning_rate"] = {"low": 0.001, "high": 0.01}
    factors["dropout"] = {"low": 0.1, "high": 0.3}
    factors["optimizer"] = {"low": "adam", "high": "sgd"}
    chosen = dict(list(factors.items())[:k])
    study = _with_factors(chosen, **({"screen_cells": most} if most else {}))
    assert (study.design.n_runs, study.design.resolution) == (runs, resolution)
    assert len(plan_screen(study, "v1")) == runs


def test_more_than_fifteen_factors_are_one_line() -> None:
    factors = {f"x{i}": {"low": 1, "high": 2} for i in range(16)}
    with pytest.raises(StudyError, match="at most 15 items") as error:
        _with_factors(factors, model={"builder": "network:build"})
    assert "\n" not in str(error.value)


BAD_CATEGORIES: dict[str, tuple[dict[str, Any], str]] = {
    "a value that cannot be trained": (
        {"optimizer": {"values": ["adam", "sgd", "adagrad"]}},
        "level 'adagrad' cannot be trained",
    ),
    "a value twice": ({"optimizer": {"values": ["adam", "sgd", "sgd"]}}, "given twice"),
    "low beside values": (
        {"optimizer": {"values": ["adam", "sgd", "rmsprop"], "low": "adam", "high": "sgd"}},
        "remove low and high",
    ),
    "an unknown activation": (
        {"activation": {"values": ["relu", "gelu", "step"]}},
        "factors.activation: 'step' is not one of",
    ),
    "too many cells": (
        {"optimizer": OPTIMIZERS, "conv_layers": {"low": 2, "high": 3}, "screen_cells": 4},
        "no design of 2 factors has 4 cells",
    ),
}


@pytest.mark.parametrize("fault", BAD_CATEGORIES)
def test_bad_categories_are_one_line_that_names_the_fault(fault: str) -> None:
    factors, message = BAD_CATEGORIES[fault]
    given = {name: part for name, part in factors.items() if name != "screen_cells"}
    changes = {"screen_cells": factors["screen_cells"]} if "screen_cells" in factors else {}
    with pytest.raises(StudyError, match=message) as error:
        _with_factors(given, **changes)
    assert "\n" not in str(error.value)


def test_centre_points_beside_categories_are_refused_in_one_line() -> None:
    study = _with_factors({**GOOD["factors"], "optimizer": OPTIMIZERS}, centre_points=3)
    with pytest.raises(DesignError, match="optimizer is categorical and has no middle"):
        plan_screen(study, "v1")


CONDITIONAL: dict[str, Any] = {
    "optimizer": OPTIMIZERS,
    "learning_rate": {"low": 0.001, "high": 0.1},
    "batch_size": {"low": 16, "high": 128, "when": {"optimizer": ["sgd", "rmsprop"]}},
}


def test_a_conditional_factor_keeps_its_setting_where_it_does_not_count() -> None:
    study = _with_factors(CONDITIONAL, training={"batch_size": 48})
    runs = plan_screen(study, "v1")
    # Two rates: adam once, the others with two batch sizes each.
    assert len(runs) == len({run.key for run in runs}) == 2 * (1 + 2 + 2)
    batches = {
        name: {run.spec.training.batch_size for run in runs if run.levels["optimizer"] == name}
        for name in OPTIMIZERS["values"]
    }
    assert batches == {"adam": {48}, "sgd": {16, 128}, "rmsprop": {16, 128}}
    assert {run.levels["batch_size"] for run in runs if run.levels["optimizer"] == "adam"} == {48}


def test_cells_that_differ_only_in_a_factor_that_does_not_count_have_one_key() -> None:
    study = _with_factors(CONDITIONAL)
    cell: dict[str, Any] = {"optimizer": "adam", "learning_rate": 0.001}
    first, second = (
        planned(study, "v1", "refine", {**cell, "batch_size": batch}, 1) for batch in (16, 128)
    )
    assert (first.key, first.cell) == (second.key, second.cell)
    own = planned(study, "v1", "refine", {**cell, "optimizer": "sgd", "batch_size": 16}, 1)
    assert own.spec.training.batch_size == 16


def test_an_argument_of_a_custom_network_is_left_out_where_it_does_not_count() -> None:
    factors = {
        "kind": {"values": ["plain", "residual"]},
        "shortcut": {"low": 1, "high": 3, "when": {"kind": "residual"}},
    }
    study = _with_factors(factors, model={"builder": "network:build"})
    runs = plan_screen(study, "v1")
    assert len(runs) == 3
    settings = [run.spec.model.settings for run in runs]
    assert {"kind": "plain"} in settings
    assert sorted(s["shortcut"] for s in settings if "shortcut" in s) == [1, 3]


BAD_CONDITIONS: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown factor": ({"optimiser": "sgd"}, "optimiser is not another factor of this study"),
    "itself": ({"batch_size": "sgd"}, "batch_size is not another factor of this study"),
    "an unknown value": ({"optimizer": "adagrad"}, "'adagrad' is not a value of optimizer"),
    "a number": ({"learning_rate": 0.001}, "learning_rate has numbers"),
    "every value": ({"optimizer": ["adam", "sgd", "rmsprop"]}, "is no condition"),
    "no value": ({"optimizer": []}, "optimizer = nothing is no condition"),
    "nothing": ({}, "factors.batch_size.when"),
    "another condition": ({"activation": "relu"}, "activation has a condition itself"),
}


@pytest.mark.parametrize("fault", BAD_CONDITIONS)
def test_a_bad_condition_is_one_line_that_names_it(fault: str) -> None:
    when, message = BAD_CONDITIONS[fault]
    activation = {"values": ["relu", "gelu"], "when": {"optimizer": "adam"}}
    factors = {**CONDITIONAL, "activation": activation}
    factors["batch_size"] = {**CONDITIONAL["batch_size"], "when": when}
    with pytest.raises(StudyError, match=message) as error:
        _with_factors(factors)
    assert "factors.batch_size.when" in str(error.value)
    assert "\n" not in str(error.value)


def test_lists_categories_and_conditions_are_the_same_from_the_written_file() -> None:
    study = _with_factors({**CONDITIONAL, "dropout": {"values": [0.1, 0.2, 0.5]}})
    again = parse_study(tomllib.loads(study_toml(study)), "written.toml")
    assert again.factor_list == study.factor_list
    assert again.identity == study.identity
    stored = read_stored_study(study.model_dump(mode="json", exclude_defaults=True), "run")
    assert stored.factor_list == study.factor_list


def test_a_pilot_runs_no_cell_twice_if_a_list_has_two_values() -> None:
    study = _with_factors({"learning_rate": {"values": [0.001, 0.1]}}, pilot={"enabled": True})
    cells = [run.levels for run in procedure.pilot_runs(study.rules)]
    assert cells == [{"learning_rate": 0.001}, {"learning_rate": 0.1}]
    runs = pd.DataFrame(cells).assign(val_accuracy=[0.7, 0.5])
    assert set(narrowed_study(study, runs).factor_list[0].levels) == {0.001, 0.1}


def test_a_response_that_was_given_is_in_the_file_of_the_stored_study() -> None:
    """Without it, the next study of imbalanced images would take another response."""
    given = parse_study({"response": "val_accuracy", **tomllib.loads(STUDY)}, "given.toml")
    stored = read_stored_study(given.model_dump(mode="json"), "run")
    text = study_toml(stored)
    assert 'response = "val_accuracy"' in text
    again = parse_study(tomllib.loads(text), "again.toml")
    assert study_with_response(again, [900, 100]).response == "val_accuracy"
    following = next_study(stored, {"training": {"epochs": 9}})
    assert study_with_response(following, [900, 100]).response == "val_accuracy"


def test_a_response_that_was_not_given_is_not_in_the_file() -> None:
    assert "response" not in study_toml(parse_study(tomllib.loads(STUDY), "none.toml"))
