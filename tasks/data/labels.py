"""The class of each picture: from its folder, or from its file name."""

import re
from collections import Counter
from collections.abc import Iterable

from tasks.data.file_names import ENDINGS
from tasks.data.reason import Reason
from tasks.data.source import Entry
from tasks.errors import DataError

#: Kaggle's names with the class in them: cat.0.jpg.
NAME_WITH_CLASS = re.compile(r"^([^\W\d][^.]*)\.\d+\.\w+$")
#: Kaggle's pictures without a class, which are to be predicted: test1/17.jpg.
KAGGLE_TEST = re.compile(r"^test\d*/(?:.*/)?\d+\.\w+$")
#: If at least this share of the names has a class in it, the names are the labels.
MIN_SHARE_OF_NAMES = 0.5


def label_entries(found: list[Entry], passed_over: dict[str, Reason], where: str) -> list[Entry]:
    """Return the pictures with their labels: from names like cat.0.jpg, or else from folders.

    Parameters
    ----------
    found : the pictures.
    passed_over : file -> why it is not a picture; gets Kaggle's test pictures.
    where : the option and the path, for error messages.

    Raises
    ------
    DataError
        If there are no pictures, or fewer than two classes.
    """
    signs = [_class_signs(entry.path) for entry in found]
    names = Counter(in_name for _, in_name in signs if in_name)
    by_name = len(names) > 1 and names.total() >= MIN_SHARE_OF_NAMES * len(found)
    entries = []
    for entry, (folder, in_name) in zip(found, signs, strict=True):
        if by_name and not in_name and KAGGLE_TEST.match(entry.path.replace("\\", "/")):
            passed_over[entry.path] = Reason("kaggle_test_picture")
            continue
        label = in_name if by_name else folder
        entries.append(entry._replace(label=label.strip(" .") or None))
    _require_two_classes(entries, len(passed_over), where)
    return entries


def _require_two_classes(entries: list[Entry], passed_over: int, where: str) -> None:
    labels = sorted({entry.label for entry in entries if entry.label})
    if not entries:
        raise DataError(
            f"{where}: no pictures among its {passed_over} files; expected one folder per class "
            f"(Cat/0.jpg) or names like cat.0.jpg, ending in {', '.join(ENDINGS)}"
        )
    if len(labels) < 2:  # noqa: PLR2004 # two classes make a classification
        classes = f"have one class, {labels[0]!r}" if labels else "have no class in their names"
        raise DataError(
            f"{where}: all {len(entries)} pictures {classes}; expected one folder per class "
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
        folder, in_name = _class_signs(name)
        folders.add(folder)
        prefixes.add(in_name)
        if len(prefixes - {""}) > 1 or len(folders - {""}) > 1:
            return True
    return False


def _class_signs(path: str) -> tuple[str, str]:
    """Return a picture's folder, and the class in its file name, in lower case; "" for none."""
    folder, _, file = path.replace("\\", "/").rpartition("/")
    match = NAME_WITH_CLASS.match(file)
    return folder.rpartition("/")[2].lower(), match[1].lower() if match else ""
