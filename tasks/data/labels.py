"""The class of each picture: from its folder, or from its file name."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tasks.data.class_folders import (
    Folder,
    FolderClasses,
    folder_classes,
    tells_no_class,
    tidy_name,
)
from tasks.data.file_names import ENDINGS, OTHER_ENDINGS
from tasks.data.reason import Reason, reason_as_text
from tasks.data.source import Entry
from tasks.errors import DataError
from tasks.languages import counted

#: Kaggle's names with the class in them: cat.0.jpg.
NAME_WITH_CLASS = re.compile(r"^([^\W\d][^.]*)\.\d+\.\w+$")
#: Names with the class before a number, as in the Oxford pets, or after it, as in CIFAR-10:
#: great_pyrenees_12.jpg, cat (3).jpg, 29_truck.png.
NUMBERED_NAME = re.compile(r"^(?:([^\W\d].*?)[ _-]*\(?\d+\)?|\d+[ _-]+([^\W\d][^\d]*))\.\w+$")
#: What cameras and programs put before a number.
NO_CLASS = {
    *("img", "image", "images", "dsc", "dscn", "dscf", "dcim", "p", "pic", "picture", "photo"),
    *("frame", "screenshot", "scan", "file", "download", "pxl", "mvimg", "wp", "sam", "gopr"),
    *("train", "test", "val", "valid"),
}
#: If at least this share of the names has a class in it, the names are the labels.
MIN_SHARE_OF_NAMES = 0.5
#: The same for names with a number, which many cameras give, too.
MIN_SHARE_OF_NUMBERED = 0.95


class Labelled(NamedTuple):
    """Pictures with their labels.

    Attributes
    ----------
    entries : the pictures.
    notes : what was taken for a class and what was not, where that is not obvious.
    """

    entries: list[Entry]
    notes: tuple[Reason, ...]


class _Signs(NamedTuple):
    """What the path of a picture says about its class: its folder, and the class in its name."""

    folder: Folder
    in_name: str


def label_entries(found: list[Entry], passed_over: dict[str, Reason], where: str) -> Labelled:
    """Return the pictures with their labels: from folders, or else from names like cat.0.jpg.

    Parameters
    ----------
    found : the pictures.
    passed_over : file -> why it is not a picture; gets the pictures in folders that have no class,
        such as test sets and masks.
    where : the option and the path, for error messages.

    Raises
    ------
    DataError
        If there are no pictures, or fewer than two classes.
    """
    signs = [_signs_of(entry.path) for entry in found]
    classes = folder_classes({sign.folder for sign in signs}, _flat_folders(signs))
    labels, notes = _labels(found, signs, classes)
    notes += _unread_classes(passed_over, classes)
    _require_two_classes(labels, len(passed_over), classes, notes, where)
    with_class = {sign.folder for sign, label in zip(signs, labels, strict=True) if label}
    unlabelled = {*classes.unlabelled} - with_class
    entries = []
    left_out: dict[str, set[Folder]] = {"mask": set(), "unlabelled_folder": set()}
    for entry, sign, label in zip(found, signs, labels, strict=True):
        if not label and sign.folder in classes.masks:
            passed_over[entry.path] = Reason("mask")
            left_out["mask"].add(sign.folder)
        elif not label and sign.folder in unlabelled:
            passed_over[entry.path] = Reason("unlabelled_folder")
            left_out["unlabelled_folder"].add(sign.folder)
        else:
            entries.append(entry._replace(label=label or None))
    sides = {tidy_name(side[-1]) for folder in with_class for side in classes.sides_of(folder)}
    if len(sides) > 1:
        notes.append(Reason("split_joined", {"folders": sorted(sides)}))
    if folders := left_out["unlabelled_folder"]:
        notes.append(Reason("folders_unlabelled", {"folders": _paths(folders)}))
    if folders := left_out["mask"]:
        notes.append(Reason("folders_of_masks", {"folders": _paths(folders)}))
    return Labelled(entries, tuple(notes))


def _labels(
    found: list[Entry], signs: list[_Signs], classes: FolderClasses
) -> tuple[list[str], list[Reason]]:
    """Return the class of each picture, "" for none, and notes on how it was found."""
    in_names = Counter(sign.in_name for sign in signs if sign.in_name)
    named_folders = {sign.folder for sign in signs if sign.in_name}
    unlabelled = {*classes.unlabelled} - named_folders
    expected = sum(sign.folder not in unlabelled for sign in signs)
    by_name = len(in_names) > 1 and in_names.total() >= MIN_SHARE_OF_NAMES * expected
    has_two = len({*classes.labels.values()}) > 1
    # Names do not overrule folders that tell classes apart: dog/cat.1.jpg is a dog.
    labelled = sum(sign.folder in classes.labels for sign in signs) if has_two else 0
    if not has_two and not by_name and (guessed := _labels_by_number(found, signs, classes)):
        example = next(e.path for e, label in zip(found, guessed, strict=True) if label)
        return guessed, [Reason("classes_in_names", {"example": example})]
    one_name = len(in_names) == 1 and not has_two  # for the message: one class, 'cat'
    if one_name or (by_name and (classes.are_parts or labelled < in_names.total())):
        return [sign.in_name for sign in signs], []
    return _labels_by_folder(signs, classes, by_name=by_name), list(classes.notes)


def _signs_of(path: str) -> _Signs:
    *folder, file = path.replace("\\", "/").split("/")
    match = NAME_WITH_CLASS.match(file)
    return _Signs(tuple(folder), tidy_name(match[1]).lower() if match else "")


def _paths(folders: Iterable[Folder]) -> list[str]:
    return sorted("/".join(folder) for folder in folders)


def _flat_folders(signs: Iterable[_Signs]) -> set[Folder]:
    """Return the folders in which file names give two classes or more."""
    pairs = {sign for sign in signs if sign.in_name}
    return {folder for folder, n in Counter(sign.folder for sign in pairs).items() if n > 1}


def _labels_by_folder(signs: list[_Signs], classes: FolderClasses, *, by_name: bool) -> list[str]:
    """Return the class of each picture's folder, "" for none, in the spelling of the file names.

    The spelling (cats/cat.0.jpg is a cat) has been that of the file names from the first version
    on, and is a part of the dataset version.
    """
    labels = [classes.labels.get(sign.folder, "") for sign in signs]
    pairs = {(label, sign.in_name) for label, sign in zip(labels, signs, strict=True)}
    pairs = {(label, in_name) for label, in_name in pairs if label and in_name}
    spelled = dict(pairs)
    if not by_name or len({*spelled.values()}) < len(pairs) or len(spelled) < len(pairs):
        return labels
    return [
        sign.in_name or spelled.get(label, label) for label, sign in zip(labels, signs, strict=True)
    ]


def _labels_by_number(found: list[Entry], signs: list[_Signs], classes: FolderClasses) -> list[str]:
    """Return the classes in names like great_pyrenees_12.jpg; nothing if names have no classes."""
    labels = []
    for entry, sign in zip(found, signs, strict=True):
        match = NUMBERED_NAME.match(entry.path.replace("\\", "/").rpartition("/")[2])
        is_picture = match and sign.folder not in classes.masks
        labels.append(tidy_name(match[1] or match[2]).lower() if match and is_picture else "")
    counts = Counter(label for label in labels if label)
    pictures = sum(sign.folder not in classes.masks for sign in signs)
    are_classes = (
        len(counts) > 1
        and counts.total() >= MIN_SHARE_OF_NUMBERED * pictures
        and min(counts.values()) > 1
        and not any({*re.split(r"[\W_]+", label)} & NO_CLASS for label in counts)
    )
    return labels if are_classes else []


def _unread_classes(passed_over: Mapping[str, Reason], classes: FolderClasses) -> list[Reason]:
    """Return the classes of which there are only pictures in formats that are not read."""
    files: dict[str, list[str]] = {}
    if not classes.labels:
        return []
    for path, reason in passed_over.items():
        if reason.kind == "not_a_picture_name" and path.lower().endswith(OTHER_ENDINGS):
            label = classes.label_of(_signs_of(path).folder)
            if label is not None and label not in classes.labels.values():
                files.setdefault(label, []).append(path)
    return [
        Reason("class_not_read", {"label": label, "n": len(paths), "example": paths[0]})
        for label, paths in sorted(files.items())
    ]


def _require_two_classes(
    labels: list[str],
    passed_over: int,
    classes: FolderClasses,
    notes: list[Reason],
    where: str,
) -> None:
    found = sorted({*labels} - {""})
    if not labels:
        raise DataError(
            f"{where}: no pictures among its {counted(passed_over, 'file')}; expected one "
            f"folder per class (Cat/0.jpg) or names like cat.0.jpg, ending in {', '.join(ENDINGS)}"
        )
    if len(found) < 2:  # noqa: PLR2004 # two classes make a classification
        n = sum(map(bool, labels)) if found else len(labels)
        have = f"one class, {found[0]!r}, in" if found else "no class in the names of"
        explained = [reason_as_text(n) for n in notes if n.kind == "class_not_read"]
        if classes.unlabelled:
            explained.append(f"no class folders in: {', '.join(_paths(classes.unlabelled))}")
        more = f" ({'; '.join(explained)})" if explained else ""
        raise DataError(
            f"{where}: {have} {counted(n, 'picture')}{more}; expected one folder per class "
            "(Cat/0.jpg) or names like cat.0.jpg, of at least two classes"
        )


def may_have_two_classes(names: Iterable[str]) -> bool:
    """Whether names of pictures show at least two classes; stops at the first names that do.

    Parameters
    ----------
    names : names below the source, with slashes.
    """
    folders, prefixes = set[str](), set[str]()
    for name in names:
        sign = _signs_of(name)
        folder = tidy_name(sign.folder[-1]).lower() if sign.folder else ""
        folders.add("" if tells_no_class(folder) else folder)
        prefixes.add(sign.in_name)
        if len(prefixes - {""}) > 1 or len(folders - {""}) > 1:
            return True
    return False
