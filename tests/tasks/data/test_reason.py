"""Reasons: data that is worded where it is shown, in each language."""

import ast
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import DecodeError
from models.images.decoding import load
from tasks.data.reason import Reason, kind_as_text, reason_as_text, reasons_as_text
from tasks.languages import LANGUAGES, translator, words

ROOT = Path(__file__).parents[3]
NESTED = Reason("not_decodable", {"why": Reason("too_large", {"bytes": 2**31, "limit": 2**28})})


def test_a_reason_within_a_reason_is_worded_first() -> None:
    expected = "not decodable: too large: 2,147,483,648 bytes; at most 268,435,456 are read"
    assert reason_as_text(NESTED) == expected
    assert kind_as_text(NESTED) == "not decodable"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_reason_has_one_text_per_language(language: str) -> None:
    say = translator(language)
    text = reason_as_text(NESTED, say)
    assert text.startswith(words()["kind_not_decodable"][language])
    assert "2,147,483,648" in text


def test_a_reason_without_details_is_its_own_heading() -> None:
    hidden = Reason("system_file")
    assert kind_as_text(hidden) == reason_as_text(hidden)


def test_the_reasons_of_a_picture_are_one_line() -> None:
    text = reasons_as_text([Reason("copy", {"of": "a.jpg"}), Reason("no_label")])
    assert text == "a copy of a.jpg; no label: neither its name nor its folder gives a class"


def test_of_a_long_list_three_items_are_named() -> None:
    two = Reason("two_labels", {"others": ["a (dog)", "b (dog)"]})
    assert reason_as_text(two).endswith("also a (dog), b (dog)")
    five = Reason("two_labels", {"others": [f"{name} (dog)" for name in "abcde"]})
    assert reason_as_text(five).endswith("also a (dog), b (dog), c (dog) and 2 more")


def test_a_reason_survives_json() -> None:
    assert Reason.from_json(json.loads(json.dumps(NESTED.as_json()))) == NESTED


def _kinds_in_code() -> Iterator[str]:
    """Yield the kinds that the code gives to pictures and files."""
    position = {"Reason": 0, "UnreadableError": 0, "DecodeError": 1}
    for path in [*(ROOT / "tasks" / "data").glob("*.py"), ROOT / "models/images/decoding.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            at = position.get(node.func.id)
            if at is not None and isinstance(node.args[at], ast.Constant):
                yield str(node.args[at].value)  # type: ignore[attr-defined] # a constant, see above
    rules = tomllib.loads((ROOT / "tasks" / "data" / "rules.toml").read_text(encoding="utf-8"))
    yield from (rule["kind"] for table in rules.values() for rule in table)


def test_every_kind_has_a_text_and_every_text_a_kind() -> None:
    # The last two are in stored validations, and the last one in copies of older rules.
    kinds = {"copy", "near_copy", "kaggle_test_picture", "small_class", *_kinds_in_code()}
    texts = {key.removeprefix("reason_") for key in words() if key.startswith("reason_")}
    assert len(kinds) > 30
    assert texts == kinds


def test_every_kind_with_details_that_is_counted_has_a_heading() -> None:
    rules = tomllib.loads((ROOT / "tasks" / "data" / "rules.toml").read_text(encoding="utf-8"))
    counted = {rule["kind"] for rule in rules["pictures"]}
    counted |= {"copy", "near_copy", "two_labels", "excluded", "copy_of_excluded", "broken_rule"}
    for kind in counted:
        has_details = "{" in words()[f"reason_{kind}"]["en"]
        assert has_details == (f"kind_{kind}" in words()), kind


@pytest.mark.parametrize("data", [b"", b"text", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"])
def test_a_decoders_message_and_its_reason_are_the_same_text(data: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        load(data, 64)
    reason = Reason(caught.value.kind, caught.value.details)
    assert reason_as_text(reason) == str(caught.value)
