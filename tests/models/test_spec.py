from dataclasses import asdict, dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import spec as specs
from models.networks.build_network import BUILT_IN, network_settings
from models.spec import (
    PRETRAINED_BUILDER,
    ModelSpec,
    ReplicateSpec,
    Scalar,
    TrainingSpec,
    continues,
)

SPEC = ReplicateSpec(ModelSpec(settings={"filters": 8}), TrainingSpec(), image_size=32, seed=1)


def test_a_level_of_training_goes_to_training_and_any_other_to_the_network() -> None:
    spec = SPEC.with_levels({"learning_rate": 0.1, "conv_layers": 3})
    assert spec.training.learning_rate == 0.1
    assert spec.model.settings == {"filters": 8, "conv_layers": 3}


def test_a_spec_survives_its_dictionary() -> None:
    assert ReplicateSpec.from_dict(SPEC.to_dict()) == SPEC


@given(st.integers(0, 2**31), st.integers(0, 2**31))
def test_keys_are_equal_exactly_when_seeds_are(a: int, b: int) -> None:
    keys = [replace(SPEC, seed=seed).key("data") for seed in (a, b)]
    assert (keys[0] == keys[1]) == (a == b)


def test_another_dataset_is_another_key() -> None:
    assert SPEC.key("a") != SPEC.key("b")


def test_a_setting_at_its_neutral_value_is_no_part_of_the_key() -> None:
    explicit = replace(SPEC, model=ModelSpec(settings={"filters": 8, "conv_layers": 3}))
    assert explicit.key("data") == SPEC.key("data")
    other = replace(SPEC, model=ModelSpec(settings={"filters": 8, "conv_layers": 4}))
    assert other.key("data") != SPEC.key("data")
    assert replace(SPEC, training=TrainingSpec(epochs=9)).key("data") != SPEC.key("data")


def test_a_new_setting_with_a_neutral_default_leaves_keys_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @dataclass(frozen=True)
    class LaterSpec(TrainingSpec):
        later: int = 0

    monkeypatch.setitem(specs.NEUTRAL_TRAINING, "later", 0)
    later = replace(SPEC, training=LaterSpec(**asdict(SPEC.training)))
    assert later.key("data") == SPEC.key("data")
    assert replace(later, training=LaterSpec(later=1)).key("data") != SPEC.key("data")


def test_the_keys_of_stored_studies_stay_as_they_are() -> None:
    """Written when keys got their present form. If it fails, stored replicates train again."""
    factors = {"conv_layers": 6, "fc_layers": 1, "learning_rate": 0.001}
    paper = ReplicateSpec(
        ModelSpec(settings={"filters": 64, "dropout": 0.2}),
        TrainingSpec(epochs=20, batch_size=64),
        image_size=256,
        seed=7,
    )
    own = ReplicateSpec(
        ModelSpec("network:build", {"width": 24, "norm": "batch"}, "0123456789abcdef"),
        TrainingSpec(optimizer="sgd", augment=True, precision="float32", deterministic=True),
        image_size=64,
        seed=0,
    )
    assert [SPEC.key("data"), paper.with_levels(factors).key("v"), own.key("v")] == [
        "8643e17eed3f8fe70285d27d10022f6c",
        "3b6db1ca604a4e087feb7348c8f03995",
        "67960ad66b830a0bc7768930d7c4267f",
    ]


@pytest.mark.parametrize(
    ("training", "version"),
    [
        ({}, 3),
        ({"augment": "strong"}, 3),
        ({"augment": "light"}, 4),
        ({"deterministic": True}, 4),
    ],
)
def test_only_what_a_change_concerns_is_trained_again(
    training: dict[str, Any], version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of version 4; the plain network has no batch normalization."""
    modern = replace(SPEC, model=ModelSpec("models.residual:build"))
    modern = replace(modern, training=TrainingSpec(**training))
    key = modern.key("v")
    monkeypatch.setattr(specs.ReplicateSpec, "_version", lambda _: version)
    assert modern.key("v") == key
    monkeypatch.setattr(specs.ReplicateSpec, "_version", lambda _: 3)
    plain = replace(SPEC, training=TrainingSpec(deterministic=True))
    key = plain.key("v")
    monkeypatch.undo()
    assert plain.key("v") == key


@pytest.mark.parametrize(
    ("settings", "version"),
    [
        ({"backbone": "EfficientNetB0", "unfreeze": 1}, 5),
        ({"backbone": "EfficientNetV2S", "unfreeze": "2"}, 5),
        ({"backbone": "own/base.keras", "unfreeze": 1}, 5),
        ({"backbone": "EfficientNetB0", "unfreeze": "all"}, 3),
        ({"backbone": "EfficientNetB0", "unfreeze": "none"}, 3),
        ({"backbone": "EfficientNetB0"}, 3),
        ({"backbone": "ResNet50", "unfreeze": 1}, 3),
        ({"backbone": "efficientnet-lite0", "unfreeze": 1}, 3),
        ({"unfreeze": 1}, 3),
    ],
)
def test_only_frozen_blocks_with_dropout_are_trained_again(
    settings: dict[str, Scalar], version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of version 5."""
    pretrained = replace(SPEC, model=ModelSpec(PRETRAINED_BUILDER, settings))
    key = pretrained.key("v")
    monkeypatch.setattr(specs.ReplicateSpec, "_version", lambda _: version)
    assert pretrained.key("v") == key


@pytest.mark.parametrize("builder", BUILT_IN)
def test_every_setting_has_a_neutral_value(builder: str) -> None:
    assert set(specs.NEUTRAL_TRAINING) == set(asdict(TrainingSpec()))
    assert set(specs.NEUTRAL_NETWORK[builder]) == set(network_settings(builder))


def test_omitted_settings_have_the_defaults_that_keys_take_them_for() -> None:
    """A default that changes must change the key: raise TRAINING_VERSION then."""
    assert asdict(TrainingSpec()) == specs.NEUTRAL_TRAINING
    for builder in BUILT_IN:
        assert network_settings(builder) == specs.NEUTRAL_NETWORK[builder]


def test_trainings_that_differ_only_in_their_length_have_equal_prefix_keys() -> None:
    short, long = (SPEC.with_levels({"epochs": epochs}) for epochs in (5, 20))
    assert short.prefix_key("v") == long.prefix_key("v") != short.prefix_key("w")
    assert short.prefix_key("v") != replace(short, seed=2).prefix_key("v")
    assert short.key("v") != long.key("v")


@pytest.mark.parametrize("epochs", [1, 8, 20])
def test_a_prefix_key_is_never_the_key_of_a_replicate(epochs: int) -> None:
    spec = SPEC.with_levels({"epochs": epochs})
    assert spec.prefix_key("v") != spec.key("v")


def test_the_prefix_keys_of_stored_runs_stay_as_they_are() -> None:
    assert SPEC.prefix_key("data") == "4020460938c5cd8d0e740846178af539"


def test_a_longer_training_continues_only_a_shorter_one_of_the_same_replicate() -> None:
    short, long = (SPEC.with_levels({"epochs": epochs}) for epochs in (5, 20))
    assert continues(short, long)
    assert not continues(long, short)
    assert not continues(long, long)
    for other in ({"learning_rate": 0.1}, {"filters": 9}):
        assert not continues(short.with_levels(other), long)
    assert not continues(replace(short, seed=2), long)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [({}, True), ({"schedule": "cosine"}, False), ({"warmup": 0.1}, False), ({"ema": 0.9}, True)],
)
def test_a_training_whose_schedule_depends_on_its_length_continues_no_other(
    setting: dict[str, Scalar], *, expected: bool
) -> None:
    short, long = (SPEC.with_levels({"epochs": epochs, **setting}) for epochs in (5, 20))
    assert continues(short, long) == expected


def test_the_levels_of_augmentation_that_had_no_names_keep_their_keys() -> None:
    for name, before in (("none", False), ("light", True)):
        named, unnamed = (SPEC.with_levels({"augment": level}) for level in (name, before))
        assert named == unnamed
        assert named.key("v") == unnamed.key("v")
        assert ReplicateSpec.from_dict(named.to_dict()) == unnamed
    keys = {SPEC.with_levels({"augment": level}).key("v") for level in (False, True, "flip")}
    assert len(keys) == 3


def test_every_setting_that_depends_on_the_length_is_a_setting_with_a_neutral_value() -> None:
    assert set(specs.NEUTRAL_TRAINING) >= specs.LENGTH_DEPENDENT
