"""The folder level that tells classes apart.

It is the outermost level below the source, as in Keras and torchvision, after the levels that have
another purpose: folders around everything (``dataset/dataset``), splits (``train``, ``seg_test``),
parts of one class (``batch0``, ``2022``, ``images`` beside ``masks``).
"""

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from tasks.data.reason import Reason

#: A folder below the source, as the names on the way to it.
Folder = tuple[str, ...]


def _words_in(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words in the names of folders that are one side of a split.
SPLIT_WORDS = _words_in("train training trn val valid validation dev eval 학습 훈련 검증")
#: Words in the names of folders whose pictures may have no class, if no class folder is in them.
TEST_WORDS = _words_in(
    "test testing tst holdout pred preds predict predictions prediction inference submission "
    "unlabeled unlabelled unlabel nolabel unsup 시험 테스트"
)
#: Words that may stand beside these.
FILLING_WORDS = _words_in(
    "set sets data dataset datasets image images img imgs picture pictures photo photos folder "
    "folders file files seg split splits jpg jpeg png"
)
#: Words in the names of folders with drawings of the objects in the pictures.
MASK_WORDS = _words_in(
    "mask masks ground truth gt groundtruth annotation annotations trimap trimaps"
)
#: Words in the names of folders that are parts or properties of a class, unless no other level
#: tells classes apart.
PART_WORDS = _words_in(
    "batch batches part parts fold folds session site sites cam camera cameras day night week "
    "month year lot run shot group subset chunk shard user patient subject device machine line "
    "sensor scan seq sequence video clip trial position view angle location loc season dir page "
    "roll series vol volume slide plate round version v case person frame frames "
    "raw original originals augmented augmentation aug processed preprocessed resized cropped "
    "color colour grayscale greyscale gray grey rgb segmented extra additional more new old "
    "jan january feb february mar march apr april may jun june jul july aug august sep september "
    "oct october nov november dec december "
    "monday tuesday wednesday thursday friday saturday sunday "
    "morning noon afternoon evening spring summer autumn winter "
    "indoor outdoor indoors outdoors left right front back rear side top bottom"
)
#: Words with which numbered folders are classes: class_0, class_1.
CLASS_WORDS = _words_in("class category cat label type kind grade stage species")
DATE = re.compile(r"(19|20)\d\d([-_. ]?\d\d?([-_. ]?\d\d?)?)?|\d\d?[-_. ]\d\d?[-_. ](19|20)\d\d")


class Kind(IntEnum):
    """What the name of a folder says, beside the names of the folders around it."""

    CLASS = 0
    NUMBER = 1
    PART = 2
    SPLIT = 3
    TEST = 4
    MASK = 5


@dataclass(frozen=True)
class FolderClasses:
    """The classes that folders give.

    Attributes
    ----------
    labels : folder -> its class; without the folders that have none.
    unlabelled : folders of a test set or the like, without class folders in them.
    masks : folders of masks, beside the pictures.
    label_of : returns the class of another folder, None if it has none.
    sides_of : returns the folders on the way to a folder that are sides of a split.
    are_parts : whether the classes are numbers, or names that are usually parts of a class.
    notes : what the folders were taken for, where that is not obvious.
    """

    labels: Mapping[Folder, str]
    unlabelled: Collection[Folder]
    masks: Collection[Folder]
    label_of: Callable[[Folder], str | None]
    sides_of: Callable[[Folder], list[Folder]]
    are_parts: bool
    notes: tuple[Reason, ...]


def folder_classes(folders: Collection[Folder], flat: Collection[Folder] = ()) -> FolderClasses:
    """Return the classes that folders give, without numbers and parts if there are other classes.

    Parameters
    ----------
    folders : the folders with pictures in them.
    flat : those in which the names of the files give two classes or more.
    """
    found = _Folders(folders, flat)
    for most in (Kind.CLASS, Kind.NUMBER, Kind.PART):
        classes = found.classes(most)
        if len(set(classes.labels.values())) > 1 and found.are_complete(classes, most):
            break
    return classes


def tells_no_class(name: str) -> bool:
    """Whether the name of a folder alone says that it may be no class."""
    words = _words(name)
    return bool({*words} & (SPLIT_WORDS | TEST_WORDS)) or _is_part(name) or "#" in _shape(name)


def tidy_name(name: str) -> str:
    """Return the name of a folder or class in Unicode's composed form, without outer blanks."""
    return unicodedata.normalize("NFC", name).strip(" .")


class _Folders:
    """Folders with pictures, and the kind of each folder on the way to them."""

    def __init__(self, folders: Collection[Folder], flat: Collection[Folder]) -> None:
        self.folders = sorted(folders)
        self.flat = set(flat)
        children: dict[Folder, set[str]] = {}
        for folder in self.folders:
            for at, name in enumerate(folder):
                children.setdefault(folder[:at], set()).add(name)
        self.children = children
        self.two_cases = {
            case
            for names in children.values()
            for case, n in Counter(n.lower() for n in {tidy_name(n) for n in names}).items()
            if n > 1
        }
        self.kinds: dict[Folder, Kind] = {}
        self.classes_of_sides: dict[Folder, str] = {}
        for parent in sorted(children, key=len):
            self.kinds |= self._kinds_below(parent)

    def _kinds_below(self, parent: Folder) -> dict[Folder, Kind]:
        names = self.children[parent]
        kinds = dict.fromkeys(names, Kind.CLASS)
        are_sides = self._are_sides(parent, names)
        for name in names:
            if self._is_repeated(parent, name):
                kinds[name] = self.kinds[parent]
            elif _is_mask(name) and any(_is_beside_masks(other) for other in names):
                kinds[name] = Kind.MASK
            elif are_sides or _is_side(name):
                kinds[name] = Kind.TEST if {*_words(name)} & TEST_WORDS else Kind.SPLIT
        sides = [name for name in names if kinds[name] in {Kind.SPLIT, Kind.TEST}]
        rest = {name for name in names if kinds[name] == Kind.CLASS}
        if len(sides) == 1 and rest and kinds[sides[0]] == Kind.SPLIT:
            folder = (*parent, sides[0])
            if folder not in self.children and folder not in self.flat:
                # A class of trains, or of valid parts: one side alone, without classes in it.
                kinds[sides[0]] = Kind.CLASS
                rest = set()
        kind = _kind_of_all(rest)
        return {(*parent, n): kind if n in rest else kinds[n] for n in names}

    def _are_sides(self, parent: Folder, names: Collection[str]) -> bool:
        """Whether folders differ only in the side of a split: pets_train, pets_test.

        Of train_cats, train_dogs and test_cats the rest of the name is the class.
        """
        sides = {name: {*_words(name)} & (SPLIT_WORDS | TEST_WORDS) for name in names}
        rests = {
            name: " ".join(
                w for w in _words(name) if w not in sides[name] and w not in FILLING_WORDS
            )
            for name in names
        }
        if not all(sides.values()):
            return False
        different = len({*rests.values()})
        if 1 < different < len(names) and all(rests.values()):
            self.classes_of_sides |= {(*parent, name): rest for name, rest in rests.items()}
        return different == 1 or "" in rests.values()

    def _is_repeated(self, parent: Folder, name: str) -> bool:
        """Whether a folder is in a folder of its own name: seg_train/seg_train."""
        return bool(parent) and tidy_name(name).lower() == tidy_name(parent[-1]).lower()

    def _label(self, name: str) -> str:
        tidy = tidy_name(name)
        return tidy if tidy.lower() in self.two_cases else tidy.lower()

    def _kind(self, folder: Folder) -> Kind:
        """Return the kind of a folder, which may be one without readable pictures."""
        if folder in self.kinds:
            return self.kinds[folder]
        return Kind.TEST if _is_side(folder[-1]) else _kind_of_all([folder[-1]])

    def _candidates(self, folder: Folder, most: Kind) -> list[str]:
        """Return the names on the way to a folder that may be its class, the outermost first."""
        names = [
            self._label(self.classes_of_sides.get(folder[:at], name))
            for at, name in enumerate(folder, 1)
            if self._kind(folder[:at]) <= most and tidy_name(name)
        ]
        return list(dict.fromkeys(names))

    def sides_of(self, folder: Folder) -> list[Folder]:
        """Return the folders on the way to a folder that are sides of a split."""
        ways = (folder[:at] for at in range(1, len(folder) + 1))
        return [
            way
            for way in ways
            if self._kind(way) in {Kind.SPLIT, Kind.TEST} or way in self.classes_of_sides
        ]

    def classes(self, most: Kind) -> FolderClasses:
        """Return the classes, from names of at most a kind."""
        masks = {f for f in self.folders if self._is_in_masks(f)}
        ways = {f: self._candidates(f, most) for f in self.folders if f not in masks}
        shared = _shared(ways.values())
        ways = {f: way[shared:] for f, way in ways.items()}
        around = _around_others(ways.values())
        ways = {f: way[1:] if way[:1] and way[0] in around else way for f, way in ways.items()}
        chosen = _chosen_level(ways, most)

        def label_of(folder: Folder) -> str | None:
            way = self._candidates(folder, most)[shared:]
            return chosen(way[1:] if way[:1] and way[0] in around else way)

        labels = {f: label for f, way in ways.items() if (label := chosen(way)) is not None}
        labels = self._without_test_only(labels)
        unlabelled = {
            f for f in self.folders if f not in labels and f not in masks and self.sides_of(f)
        }
        inner = ways if most == Kind.CLASS else {}
        notes = (*self._joined(labels, inner), *self._spellings(labels))
        return FolderClasses(
            labels, unlabelled, masks, label_of, self.sides_of, most > Kind.CLASS, notes
        )

    def are_complete(self, classes: FolderClasses, most: Kind) -> bool:
        """Whether no folder is left out that another kind of name would give a class."""
        if most == Kind.PART:
            return True
        left = [f for f in self.folders if f not in classes.labels and f not in classes.masks]
        return not any(
            self._candidates(f, Kind.PART) and not self.sides_of(f)
            for f in left
            if not any(other[: len(f)] == f for other in classes.labels)
        )

    def _is_in_masks(self, folder: Folder) -> bool:
        return any(self._kind(folder[:at]) == Kind.MASK for at in range(1, len(folder) + 1))

    def _without_test_only(self, labels: dict[Folder, str]) -> dict[Folder, str]:
        """Leave out names that only a test set has, as test/all: the training set has classes."""
        in_test = {
            f for f in labels if any(self._kind(side) == Kind.TEST for side in self.sides_of(f))
        }
        elsewhere = {label for f, label in labels.items() if f not in in_test}
        if len(elsewhere) < 2:  # noqa: PLR2004 # two classes make a classification
            return labels
        return {f: label for f, label in labels.items() if f not in in_test or label in elsewhere}

    def _joined(
        self, labels: Mapping[Folder, str], ways: Mapping[Folder, Sequence[str]]
    ) -> list[Reason]:
        """Return the names that could have been classes, and those that are usually parts."""
        used = {*labels.values()}
        inside = {name for way in ways.values() for name in way} - used
        if len({tuple(ways[folder]) for folder in labels if folder in ways}) == len(used):
            inside = set()  # one inner folder in each outer one: the classes are the same
        parts = [
            {
                tidy_name(name)
                for at, name in enumerate(f, 1)
                if Kind.CLASS < self._kind(f[:at]) <= Kind.PART
            }
            for f in labels
        ]
        everywhere = set[str](parts[0]).intersection(*parts) if parts else set[str]()
        differing = set[str]().union(*parts) - everywhere
        notes = []
        if inside:
            notes.append(Reason("folders_inside_joined", {"folders": sorted(inside)}))
        if left := sorted(n for n in differing if n.lower() not in used and n not in used):
            notes.append(Reason("folders_joined", {"folders": left}))
        return notes

    def _spellings(self, labels: Mapping[Folder, str]) -> list[Reason]:
        """Return the names of classes that differ only in capital letters."""
        used, spelled = {*labels.values()}, dict[str, set[str]]()
        for name in {tidy_name(name) for folder in labels for name in folder}:
            if {name, name.lower()} & used:
                spelled.setdefault(name.lower(), set()).add(name)
        return [
            Reason("case_tells_classes", {"folders": sorted(names)})
            if lower in self.two_cases
            else Reason("case_joined", {"folders": sorted(names)})
            for lower, names in sorted(spelled.items())
            if len(names) > 1
        ]


@functools.lru_cache(4096)
def _words(name: str) -> tuple[str, ...]:
    """Return the words and numbers in a name, in lower case: ``trainSet_2`` -> train, set, 2."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFC", name)).lower()
    return tuple(re.findall(r"[^\W\d_]+|\d+", parted))


def _shape(name: str) -> str:
    return re.sub(r"\d+", "#", tidy_name(name).lower())


def _is_side(name: str) -> bool:
    """Whether a name says nothing but that a folder is a side of a split, or unlabelled."""
    words = {word for word in _words(name) if not word.isdigit()}
    return bool(words & (SPLIT_WORDS | TEST_WORDS)) and not (
        words - SPLIT_WORDS - TEST_WORDS - FILLING_WORDS
    )


def _is_mask(name: str) -> bool:
    words = set(_words(name))
    return bool(words & MASK_WORDS) and not words - MASK_WORDS - FILLING_WORDS


def _is_beside_masks(name: str) -> bool:
    """Whether a folder has the pictures to which the masks beside it belong."""
    words = set(_words(name))
    return _is_side(name) or (bool(words) and not words - FILLING_WORDS - PART_WORDS)


def _is_part(name: str) -> bool:
    words = [word for word in _words(name) if not word.isdigit()]
    long = {word for word in words if len(word) > 1 or word == "v"}
    return DATE.fullmatch(tidy_name(name)) is not None or (
        bool(long) and not long - PART_WORDS - FILLING_WORDS
    )


def _kind_of_all(names: Collection[str]) -> Kind:
    """Return the kind of folders that are beside each other: their names are read together."""
    if names and all(_is_part(name) for name in names):
        return Kind.PART
    shapes = {_shape(name) for name in names}
    if len(shapes) == 1 and (shape := shapes.pop()).count("#"):
        words = {*re.findall(r"[^\W\d_#]+", shape)}
        if (not words or len(names) > 1) and not words & CLASS_WORDS:
            return Kind.NUMBER
    return Kind.CLASS


def _shared(ways: Iterable[Sequence[str]]) -> int:
    """Return how many of the first names all ways share, if different names follow."""
    ways = [way for way in ways if way]
    shared = 0
    while len({way[shared] for way in ways if len(way) > shared}) == 1:
        shared += 1
        if all(len(way) <= shared for way in ways):
            return 0
    return shared


def _around_others(ways: Iterable[Sequence[str]]) -> set[str]:
    """Return the first names in which there are only folders that are also beside them."""
    inner: dict[str, set[str]] = {}
    for way in ways:
        if way:
            inner.setdefault(way[0], set()).add(way[1] if len(way) > 1 else "")
    return {name for name, names in inner.items() if names <= inner.keys() and name not in names}


def _chosen_level(
    ways: Mapping[Folder, Sequence[str]], most: Kind
) -> Callable[[Sequence[str]], str | None]:
    """Return a function that takes the class from the names on the way to a folder."""
    pairs = {(way[0], way[-1]) for way in ways.values() if way}
    first, last = {a for a, _ in pairs}, {b for _, b in pairs}
    same = len(pairs) == len(first) == len(last)
    # Of two levels of numbers the one with fewer is taken: patient 10253 has pictures of 0 and 1.
    fewer = most == Kind.NUMBER and len(last) < len(first)
    return lambda way: (way[-1] if same or fewer else way[0]) if way else None
