from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from models.spec import ModelSpec, ReplicateSpec, TrainingSpec

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
