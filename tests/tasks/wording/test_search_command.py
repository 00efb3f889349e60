"""The command that runs the next study of a built-in one is that study, and no other."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from flows.commands.search import search
from tasks.study.next_study import next_study
from tasks.study.study_file import Study, built_in_studies, load_study, parse_study
from tasks.study.study_toml import study_content
from tasks.wording.search_command import built_in_search_command, file_search_command


def _study_of(command: str) -> Study:
    """Return the study that a command runs."""
    program, name, *words = shlex.split(command)
    assert (program, name) == ("factorgrid", "search")
    given = search.make_context("search", words).params
    names = ("budget", "minutes", "replaced", "per_class", "image_size")
    source = given["data"] and Path(given["data"])
    return load_study(given["study"], source=source, **{key: given[key] for key in names})


@pytest.mark.parametrize(
    ("name", "given", "changes", "expected"),
    [
        ("quick", {}, {"training": {"epochs": 12}}, "quick --set training.epochs=12"),
        ("quick", {}, {"budget": 20}, "quick --budget 20"),
        ("quick", {"minutes": 1.5}, {}, "quick --minutes 1.5"),
        ("quick", {"minutes": 123.4567}, {}, "quick --minutes 123.4567"),
        (
            "quick",
            {},
            {"response": "val_auc", "final_epochs": 24},
            "quick --set response=val_auc --set final_epochs=24",
        ),
        ("dogs-vs-cats", {}, {}, "dogs-vs-cats"),
        (
            "transfer",
            {"source": Path("my pets/train.zip"), "per_class": 500},
            {"factors": {"learning_rate": {"low": 1e-05, "high": 0.1}}},
            (
                "transfer --data 'my pets/train.zip' --set data.per_class=500 "
                "--set factors.learning_rate.low=1e-05 --set factors.learning_rate.high=0.1"
            ),
        ),
        (
            "dogs-vs-cats",
            {"source": Path("https://host/pets.zip")},
            {"factors": {"schedule": {"values": ["one_cycle", "cosine"]}}, "model": {"width": 8}},
            (
                "dogs-vs-cats --data https://host/pets.zip "
                """--set 'factors.schedule.values=["one_cycle", "cosine"]' --set model.width=8"""
            ),
        ),
    ],
)
def test_a_built_in_study_needs_no_file(
    name: str, given: dict[str, Any], changes: dict[str, Any], expected: str
) -> None:
    changed = next_study(load_study(name, **given), changes)
    command = built_in_search_command(changed)
    assert command == f"factorgrid search {expected}"
    assert study_content(_study_of(command)) == study_content(changed)


@pytest.mark.parametrize("name", built_in_studies())
def test_a_study_with_the_name_of_a_built_in_one_but_fewer_keys_needs_its_file(name: str) -> None:
    content = study_content(load_study(name))
    content["factors"].pop("learning_rate")
    own = parse_study(content, "own.toml")
    assert built_in_search_command(own) is None
    assert file_search_command(own) == f"factorgrid search {name}.toml"


def test_a_study_with_another_name_needs_its_file() -> None:
    own = load_study("quick", name="my quick")
    assert built_in_search_command(own) is None
    assert file_search_command(own) == "factorgrid search 'my quick.toml'"


def test_the_digest_of_a_backbone_is_no_option() -> None:
    study = load_study("transfer", source=Path("train.zip"))
    model = study.model.model_copy(update={"builder_source": "0" * 64})
    trained = study.model_copy(update={"model": model})
    command = "factorgrid search transfer --data train.zip"
    assert built_in_search_command(trained) == command
