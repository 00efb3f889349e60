"""The class of each picture: from its folder, or from its file name."""

import re
from collections import Counter

from tasks.data.file_names import ENDINGS
from tasks.data.source import Entry
from tasks.errors import DataError

#: Kaggle's flat names: cat.0.jpg.
FLAT = re.compile(r"^([^\W\d][^.]*)\.\d+\.\w+$")
#: Kaggle's pictures to be predicted, which have numbers and no class: test1/17.jpg.
UNLABELLED = re.compile(r"^test\d*/(?:.*/)?\d+\.\w+$")
#: Where so large a share of the names is like cat.0.jpg, the names are the labels.
NAMES_RULE = 0.5


def label_entries(found: list[Entry], passed: dict[str, str], where: str) -> list[Entry]:
    """Give every picture its label: by its name where names are like cat.0.jpg, else its folder."""
    paths = [entry.path.replace("\\", "/") for entry in found]
    flat = [FLAT.match(path.rpartition("/")[2]) for path in paths]
    names = Counter(match[1].lower() for match in flat if match)
    by_name = len(names) > 1 and names.total() >= NAMES_RULE * len(paths)
    entries = []
    for entry, path, match in zip(found, paths, flat, strict=True):
        if by_name and not match and UNLABELLED.match(path):
            passed[entry.path] = "Kaggle's test picture, which has no class"
            continue
        own = match[1] if match else ""
        said = own if by_name else path.rpartition("/")[0].rpartition("/")[2]
        label = said.lower().strip(" .") or None
        entries.append(Entry(entry.path, label, entry.stamp, entry.where, entry.fault))
    _at_least_two(entries, len(passed), where)
    return entries


def _at_least_two(entries: list[Entry], passed: int, where: str) -> None:
    labels = sorted({entry.label for entry in entries if entry.label})
    if not entries:
        raise DataError(
            f"{where}: no pictures among its {passed} files; expected a folder a class (Cat/0.jpg) "
            f"or names like cat.0.jpg, ending in {', '.join(ENDINGS)}"
        )
    if len(labels) < 2:  # noqa: PLR2004 # two classes make a classification
        classes = f"one class, {labels[0]!r}" if labels else "no class that their names tell"
        raise DataError(
            f"{where}: all {len(entries)} pictures are of {classes}; expected a folder a class "
            "(Cat/0.jpg) or names like cat.0.jpg, of two classes or more"
        )
