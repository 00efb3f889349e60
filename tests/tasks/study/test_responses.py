"""The responses of a study file: mistakes, defaults, and the identity of stored studies."""

from typing import Any

import pytest

from models.spec import Scalar
from tasks.errors import StudyError
from tasks.study.study_file import Study, parse_study, study_with_response

CONTENT: dict[str, Any] = {
    "name": "s",
    "factors": {"learning_rate": {"low": 0.001, "high": 0.1}},
}


def study(**changes: Any) -> Study:
    return parse_study({**CONTENT, **changes}, "s.toml")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"response": "val_acuracy"}, "did you mean val_accuracy?"),
        ({"response": "auc"}, "did you mean val_auc?"),
        ({"second": "parameter"}, "did you mean parameters?"),
        ({"second": "bytes"}, "did you mean bytes_on_disk?"),
        ({"pick": {"within": 0.01}}, "without a second response"),
        (
            {"second": "parameters", "pick": {"within": 0.01, "at_most": 5}},
            "are two rules; keep one of them",
        ),
        ({"second": "parameters", "pick": {"within": 0}}, "pick.within"),
        ({"second": "parameters", "pick": {"smallest": 1}}, "unknown key"),
        (
            {"second": "seconds_per_image", "model": {"network": "pretrained"}},
            "frozen backbone",
        ),
        (
            {
                "second": "seconds_per_image",
                "model": {"network": "pretrained", "unfreeze": "last"},
            },
            "'last' is not none, all, or a number of blocks",
        ),
        ({"factors": {"val_auc": {"low": 1, "high": 2}}}, "rename the argument"),
    ],
)
def test_a_mistake_is_one_line_with_the_field_and_the_remedy(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(StudyError) as caught:
        study(**changes)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_rules_have_both_responses_and_how_the_cell_is_picked() -> None:
    rules = study(response="val_loss", second="parameters", pick={"at_most": 1000}).rules
    assert rules.measured.lower
    assert rules.second == "parameters"
    assert rules.pick is not None
    assert (rules.pick.second, rules.pick.within, rules.pick.at_most) == ("parameters", None, 1000)


def test_a_study_without_the_new_keys_keeps_its_identity() -> None:
    own = study().identity
    assert not {"response", "second", "pick"} & own.keys()
    assert study(response="val_accuracy").identity == own
    assert study(response="val_auc").identity != own


@pytest.mark.parametrize("response", ["val_auc", "val_loss"])
def test_the_key_of_a_replicate_does_not_depend_on_the_response(response: str) -> None:
    levels: dict[str, Scalar] = {"learning_rate": 0.01}
    other = study(response=response, second="parameters")
    assert study().spec(levels, 1) == other.spec(levels, 1)


def test_an_imbalanced_set_gets_the_balanced_accuracy_unless_the_study_names_a_response() -> None:
    assert study_with_response(study(), [900, 100]).response == "val_balanced_accuracy"
    assert study_with_response(study(), [100, 100]).response == "val_accuracy"
    named = study(response="val_accuracy")
    assert study_with_response(named, [900, 100]).response == "val_accuracy"
