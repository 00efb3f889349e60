"""The report's section about the pictures: reasons of this version and of earlier ones."""

from types import SimpleNamespace
from typing import Any

import pytest

from tasks.data.reason import Reason
from tasks.languages import translator
from tasks.report.sections import data
from tasks.report.sections.data import _by_kind, _notes

EMPTY = Reason("not_decodable", {"why": Reason("empty")}).as_json()


def test_reasons_are_counted_by_kind_in_the_language_of_the_report() -> None:
    reasons = {
        "a.jpg": EMPTY,
        "b.jpg": EMPTY,
        "c.jpg": EMPTY,
        "d.jpg": Reason("copy", {"of": "z.jpg"}).as_json(),
    }
    english = _by_kind(reasons, translator("en"))
    assert english == [
        {"kind": "not decodable", "n": "3", "examples": ["a.jpg", "b.jpg"]},
        {"kind": "a copy", "n": "1", "examples": ["d.jpg"]},
    ]
    korean = _by_kind(reasons, translator("ko"))
    assert [row["kind"] for row in korean] == ["디코딩할 수 없음", "복사본"]


def test_sentences_that_an_earlier_version_logged_are_still_counted_by_kind() -> None:
    reasons = {
        "a.jpg": "not decodable: empty: 0 bytes",
        "b.jpg": "a copy of c.jpg",
        "d.jpg": "not decodable: damaged: image file is truncated",
    }
    assert _by_kind(reasons, translator("ko")) == [
        {"kind": "not decodable", "n": "2", "examples": ["a.jpg", "d.jpg"]},
        {"kind": "a copy", "n": "1", "examples": ["b.jpg"]},
    ]


def test_notes_are_sentences_in_the_language_of_the_report() -> None:
    validation = {"notes": [Reason("folders_joined", {"folders": ["batch0", "batch1"]}).as_json()]}
    (english,) = _notes(validation, translator("en"))
    assert english.startswith("Folders that are parts of a class and not classes: batch0, batch1;")
    (korean,) = _notes(validation, translator("ko"))
    assert "batch0, batch1" in korean
    assert "클래스" in korean
    assert _notes({}, translator("en")) == []


@pytest.mark.parametrize(("accepted", "is_said"), [(7, True), (6, False)])
def test_a_sample_is_mentioned_only_if_not_all_images_were_used(
    accepted: int, monkeypatch: pytest.MonkeyPatch, *, is_said: bool
) -> None:
    validation = {
        "reasons": {},
        "passed_over_reasons": {},
        "found": 9,
        "accepted": accepted,
        "quarantined": 1,
        "passed_over": 1,
    }
    monkeypatch.setattr(data, "_last_validation", lambda _: validation)
    source: Any = SimpleNamespace(
        execution=None,
        translate=translator("en"),
        study=SimpleNamespace(data=SimpleNamespace(per_class=50)),
        pictures={"counts": {"training": [2, 1], "validation": [1, 1], "test": [0, 1]}},
    )
    said = data._left_out(source)["found"]
    assert ("a sample was used, at most 50 images of each class" in said) == is_said
