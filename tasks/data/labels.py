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
    paths = [entry.path.replace("\\", "/") for entry in found]
    matches = [NAME_WITH_CLASS.match(path.rpartition("/")[2]) for path in paths]
    names = Counter(match[1].lower() for match in matches if match)
    by_name = len(names) > 1 and names.total() >= MIN_SHARE_OF_NAMES * len(paths)
    entries = []
    for entry, path, match in zip(found, paths, matches, strict=True):
        if by_name and not match and KAGGLE_TEST.match(path):
            passed_over[entry.path] = Reason("kaggle_test_picture")
            continue
        in_name = match[1] if match else ""
        label = in_name if by_name else path.rpartition("/")[0].rpartition("/")[2]
        entries.append(entry._replace(label=label.lower().strip(" .") or None))
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
        folder, _, file = name.replace("\\", "/").rpartition("/")
        match = NAME_WITH_CLASS.match(file)
        folders.add(folder.rpartition("/")[2].lower())
        if match:
            prefixes.add(match[1].lower())
        if len(prefixes) > 1 or len(folders - {""}) > 1:
            return True
    return False
