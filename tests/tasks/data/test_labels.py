"""The classes of pictures: which level of folders tells them apart, or which part of file names."""

import unicodedata
from collections import Counter
from collections.abc import Sequence

import pytest

from tasks.data.file_names import reason_to_pass_over
from tasks.data.labels import Labelled, label_entries, may_have_two_classes
from tasks.data.reason import Reason, reason_as_text
from tasks.data.source import Entry
from tasks.errors import DataError

KOREAN = ("고양이", "강아지")


def labelled(names: Sequence[str]) -> tuple[Labelled, dict[str, Reason]]:
    passed_over = {name: why for name in names if (why := reason_to_pass_over(name))}
    found = [Entry(name, None, "", name) for name in names if name not in passed_over]
    return label_entries(found, passed_over, "--data X"), passed_over


def files(folders: str, n: int = 4, ending: str = "jpg") -> list[str]:
    """Return n names in each of some folders, which are separated by blanks."""
    return [f"{folder}/{i}.{ending}" for folder in folders.split() for i in range(n)]


def classes_in(names: Sequence[str]) -> dict[str | None, int]:
    return dict(Counter(entry.label for entry in labelled(names)[0].entries))


#: Folders of four pictures each -> the classes and their counts.
LAYOUTS: dict[str, dict[str, int]] = {
    "PetImages/Cat PetImages/Dog": {"cat": 4, "dog": 4},
    "data/data/cats data/data/dogs": {"cats": 4, "dogs": 4},
    "a/b/c/cat z/dog": {"cat": 4, "dog": 4},
    # splits
    "train/cat train/dog val/cat val/dog test/cat": {"cat": 12, "dog": 8},
    "cats/train cats/test dogs/train dogs/test": {"cats": 8, "dogs": 8},
    "훈련/강아지 훈련/고양이 검증/강아지": {"강아지": 8, "고양이": 4},
    "seg_train/seg_train/sea seg_train/seg_train/ice seg_test/seg_test/sea": {"sea": 8, "ice": 4},
    "x/train/NORMAL x/train/ILL x/x/train/NORMAL x/x/train/ILL": {"normal": 8, "ill": 8},
    "pets_train/cat pets_train/dog pets_test/cat": {"cat": 8, "dog": 4},
    "train_cats train_dogs test_cats": {"cats": 8, "dogs": 4},
    "test_pass test_fail": {"test_pass": 4, "test_fail": 4},
    # parts and properties of a class, inside and outside
    "cats/batch0 cats/batch1 dogs/batch0": {"cats": 8, "dogs": 4},
    "rust/2022 rust/2023 ok/2022": {"rust": 8, "ok": 4},
    "cats/2021-03-01 cats/2021-03-02 dogs/2021-04-05": {"cats": 8, "dogs": 4},
    "2022/rust 2022/ok 2023/rust 2023/ok": {"rust": 8, "ok": 8},
    "siteA/ok siteA/rust siteB/ok": {"ok": 8, "rust": 4},
    "color/apple color/corn grayscale/apple": {"apple": 8, "corn": 4},
    "cats/indoor cats/outdoor dogs/indoor": {"cats": 8, "dogs": 4},
    "fold1/cat fold1/dog fold2/cat": {"cat": 8, "dog": 4},
    "10253/0 10253/1 10254/0 10255/0": {"0": 12, "1": 4},
    "cats/siamese cats/persian dogs/beagle dogs/pug": {"cats": 8, "dogs": 8},
    "cats dogs more/cats more/dogs": {"cats": 8, "dogs": 8},
    # numbers, and words that have another meaning elsewhere, that are classes
    "0 1 2": {"0": 4, "1": 4, "2": 4},
    "training/0 training/1 testing/0": {"0": 8, "1": 4},
    "class_0/part_1 class_0/part_2 class_1/part_1": {"class_0": 8, "class_1": 4},
    "covid19 normal": {"covid19": 4, "normal": 4},
    "train/n01440764 train/n01443537": {"n01440764": 4, "n01443537": 4},
    "valid invalid": {"valid": 4, "invalid": 4},
    "train bus car": {"train": 4, "bus": 4, "car": 4},
    "airport train_station": {"airport": 4, "train_station": 4},
    "left right": {"left": 4, "right": 4},
    "mask no_mask": {"mask": 4, "no_mask": 4},
    # capital letters
    "train/Cat train/Dog val/cat val/dog": {"cat": 8, "dog": 8},
    "train/A train/a val/A": {"A": 8, "a": 4},
}


@pytest.mark.parametrize("folders", LAYOUTS)
def test_the_level_that_tells_classes_apart_gives_them(folders: str) -> None:
    assert classes_in(files(folders)) == LAYOUTS[folders]


@pytest.mark.parametrize("folders", ["train test", "cats/batch0 cats/batch1", "2022 2023", "a"])
def test_the_quick_check_does_not_take_other_folders_for_classes(folders: str) -> None:
    assert not may_have_two_classes(files(folders))


#: Folders of classes, folders without a class, and the kind of the reason.
WITHOUT_CLASS = [
    ("cats dogs", "test", "unlabelled_folder"),
    ("cats dogs", "unlabeled", "unlabelled_folder"),
    ("cats dogs", "시험", "unlabelled_folder"),
    ("seg_train/seg_train/sea seg_train/seg_train/ice", "seg_pred/seg_pred", "unlabelled_folder"),
    ("train/cats train/dogs", "test/unknown", "unlabelled_folder"),
    ("fruit/Training/Pear fruit/Training/Fig", "fruit/test-mixed", "unlabelled_folder"),
    ("train/cats train/dogs", "test/images", "unlabelled_folder"),
    ("benign/images malignant/images", "benign/masks malignant/masks", "mask"),
    ("images/benign images/malignant", "masks/benign masks/malignant", "mask"),
    ("bottle/test/good bottle/test/broken", "bottle/ground_truth/broken", "mask"),
]


@pytest.mark.parametrize(("with_class", "without", "kind"), WITHOUT_CLASS)
def test_folders_without_a_class_are_passed_over_with_a_word(
    with_class: str, without: str, kind: str
) -> None:
    found, passed_over = labelled([*files(with_class), *files(without)])
    assert sorted(passed_over) == sorted(files(without))
    assert {reason.kind for reason in passed_over.values()} == {kind}
    assert len({entry.label for entry in found.entries}) == 2
    notes = " ".join(reason_as_text(note) for note in found.notes)
    assert all(folder in notes for folder in without.split())


def test_folders_of_classes_are_not_overruled_by_file_names() -> None:
    names = ["cat/cat.0.jpg", "dog/cat.1.jpg", "dog/cat.2.jpg", "dog/dog.3.jpg"]
    assert classes_in(names) == {"cat": 1, "dog": 3}


def test_file_names_give_the_classes_if_folders_do_not() -> None:
    kaggle = ["train/cat.0.jpg", "train/dog.0.jpg", "train/dog.1.jpg"]
    assert classes_in(kaggle) == {"cat": 1, "dog": 2}
    assert classes_in([*kaggle, *files("test1", 9)]) == {"cat": 1, "dog": 2}
    assert classes_in([f"batch{i}/{c}.{i}.jpg" for i in (1, 2) for c in ("cat", "dog")]) == {
        "cat": 2,
        "dog": 2,
    }


def test_the_spelling_in_file_names_stays_where_it_means_the_same() -> None:
    """The label is a part of the dataset version: finished studies are found by it."""
    names = ["cats/cat.0.jpg", "cats/cat.1.jpg", "dogs/dog.0.jpg"]
    assert classes_in(names) == {"cat": 2, "dog": 1}


@pytest.mark.parametrize(
    "names",
    [
        [f"images/{c}_{i}.jpg" for c in ("Abyssinian", "great_pyrenees") for i in range(3)],
        [f"{c} ({i}).jpg" for c in ("abyssinian", "great_pyrenees") for i in range(3)],
        [f"train/{i}_{c}.png" for c in ("abyssinian", "great_pyrenees") for i in range(3)],
    ],
)
def test_numbered_file_names_give_the_classes_if_nothing_else_does(names: list[str]) -> None:
    assert classes_in(names) == {"abyssinian": 3, "great_pyrenees": 3}
    (note,) = labelled(names)[0].notes
    assert note == Reason("classes_in_names", {"example": names[0]})


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (files("train test"), "in the names of 8 pictures (no class folders in: test, train);"),
        ([f"{c}_{i}.jpg" for c in ("IMG", "DSC") for i in range(4)], "no class in the names of 8"),
        (files("train/cats test/cats"), "one class, 'cats', in 8 pictures"),
        (
            [*files("data/cat"), *files("data/bird", ending="HEIC")],
            "class 'bird' has no readable picture: its 4 files",
        ),
    ],
)
def test_what_gives_no_two_classes_is_one_line(names: list[str], message: str) -> None:
    with pytest.raises(DataError) as caught:
        labelled(names)
    assert message in str(caught.value)


def test_a_name_in_two_unicode_forms_is_one_class() -> None:
    names = [
        path
        for name in KOREAN
        for path in (
            f"train/{unicodedata.normalize('NFC', name)}/1.jpg",
            f"val/{unicodedata.normalize('NFD', name)}/2.jpg",
        )
    ]
    assert classes_in(names) == dict.fromkeys(KOREAN, 2)


@pytest.mark.parametrize("ending", ["HEIC", "tif", "avif", "dng"])
def test_a_class_of_which_no_file_is_read_is_named(ending: str) -> None:
    names = [*files("data/cat data/dog"), *files("data/bird", 3, ending)]
    (note,) = labelled(names)[0].notes
    details = {"label": "bird", "n": 3, "example": f"data/bird/0.{ending}"}
    assert note == Reason("class_not_read", details)


@pytest.mark.parametrize(
    ("folders", "kind", "named"),
    [
        ("train/cat train/dog val/cat", "split_joined", ["train", "val"]),
        ("cats/batch0 cats/batch1 dogs/batch0", "folders_joined", ["batch0", "batch1"]),
        ("x/foo x/bar y/foo y/bar", "folders_inside_joined", ["bar", "foo"]),
        ("A a b", "case_tells_classes", ["A", "a"]),
        ("data1/Cat data1/Dog data2/cat", "case_joined", ["Cat", "cat"]),
    ],
)
def test_what_is_not_obvious_is_said(folders: str, kind: str, named: list[str]) -> None:
    assert Reason(kind, {"folders": named}) in labelled(files(folders))[0].notes


def test_nothing_is_said_of_plain_folders() -> None:
    assert labelled(files("PetImages/Cat PetImages/Dog"))[0].notes == ()
