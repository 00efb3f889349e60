"""What is said about a set of pictures before training: its classes, and what to know of them."""

from pathlib import Path

import numpy as np
from support.picture_files import check_path, encode, picture, write_class_folders

from tasks.data.reason import Reason


def test_twelve_equal_classes_break_no_rule(tmp_path: Path) -> None:
    for index in range(48):
        path = tmp_path / "data" / f"flower {index % 12 + 1:02d}" / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(picture(index)))
    checked = check_path(tmp_path / "data", tmp_path)
    assert checked.validation.faults == ()
    assert checked.classes == {f"flower {number:02d}": 4 for number in range(1, 13)}


def test_a_class_with_only_damaged_pictures_is_named(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "data", 4, 4)
    (tmp_path / "data" / "bird").mkdir()
    for index in range(3):
        (tmp_path / "data" / "bird" / f"{index}.jpg").write_bytes(b"%d" % index)
    checked = check_path(tmp_path / "data", tmp_path)
    assert checked.classes == {"cat": 4, "dog": 4}
    (note,) = (note for note in checked.notes if note.kind == "class_without_pictures")
    assert note.details["label"] == "bird"
    assert note.details["n"] == 3
    assert note.details["why"] == checked.reasons["bird/0.jpg"][0]


def test_pictures_of_16_bits_that_use_12_are_named_before_training(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "data", 4, 4, lambda image: image.astype(np.uint16) * 16)
    checked = check_path(tmp_path / "data", tmp_path)
    details = {"n": 8, "bits": 12, "factor": 16, "brightest": 15}
    assert Reason("few_bits", details) in checked.notes


def test_few_pictures_are_said_to_show_no_small_difference(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "data", 20, 20)
    details = {"accepted": 40, "n": 6, "step": 1 / 6}
    assert Reason("few_for_validation", details) in check_path(tmp_path / "data", tmp_path).notes
