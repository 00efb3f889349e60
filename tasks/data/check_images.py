"""Checking the pictures of a source: rules, exclusions, copies, drift."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from models.images.decoding import FEW_BITS
from tasks.data.drift import drift, profile_of
from tasks.data.duplicates import find_duplicates
from tasks.data.garbage_collection import rare_garbage_collection
from tasks.data.measure import ReaderPool
from tasks.data.metadata_store import MetadataStore
from tasks.data.on_progress import OnProgress
from tasks.data.reason import Reason, reasons_as_text
from tasks.data.rules import Rules, Validation, Validator, read_rules
from tasks.data.scan import Scan, scan
from tasks.data.source import Source
from tasks.errors import DataError

#: The share of the pictures for validation, if a study says nothing else; and the number of
#: validation images from which on one of them changes the accuracy by 2 % at most.
VALIDATION_SHARE, MANY_FOR_VALIDATION = 0.15, 50
#: Of 16 bits, the bits that a picture uses at most if it comes out almost black.
BLACK_BITS = 12


@dataclass(frozen=True)
class CheckedImages:
    """The pictures of a source after validation.

    Attributes
    ----------
    description : of the source.
    metadata : one row per picture found, see `tasks.data.metadata_store.Scan`.
    validation : the result of checking the rules.
    reasons : file -> why it is quarantined; a picture without reasons is accepted.
    passed_over : file -> why it is not a picture.
    groups : file -> the digest that decides its side of the split.
    not_found : names of the exclusion list that are not among the pictures.
    profile : what the drift of the next version is measured from.
    read : number of pictures read; the others were known.
    notes : what was taken for a class, and what to know about the pictures before training.
    """

    description: str
    metadata: pd.DataFrame
    validation: Validation
    reasons: dict[str, list[Reason]]
    passed_over: dict[str, Reason]
    groups: dict[str, str] = field(default_factory=dict, repr=False)
    not_found: tuple[str, ...] = ()
    profile: dict[str, Any] = field(default_factory=dict, repr=False)
    read: int = 0
    notes: tuple[Reason, ...] = ()

    @property
    def classes(self) -> dict[str, int]:
        """Class -> the number of its accepted pictures, in the order of the classes."""
        return {str(name): int(n) for name, n in sorted(Counter(self.accepted["label"]).items())}

    @property
    def accepted(self) -> pd.DataFrame:
        """The rows of the accepted pictures."""
        return self.metadata[~self.metadata["path"].isin(list(self.reasons))]

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of files: accepted + quarantined + passed_over = found."""
        return {
            "found": len(self.metadata) + len(self.passed_over),
            "accepted": len(self.metadata) - len(self.reasons),
            "quarantined": len(self.reasons),
            "passed_over": len(self.passed_over),
        }

    def raise_if_failed(self) -> None:
        """Stop the study if a rule for the whole set is broken.

        Raises
        ------
        DataError
            With every broken rule.
        """
        if self.validation.faults:
            raise DataError(
                f"{self.description}: {reasons_as_text(self.validation.faults)}; see the reasons "
                "with `factorgrid validate`, then fix the pictures, or change the rules"
            )


@rare_garbage_collection()
def check_images(
    source: Source,
    store: MetadataStore,
    *,
    rules: Rules | None = None,
    exclude: Mapping[str, str] | None = None,
    readers: ReaderPool | None = None,
    progress: OnProgress | None = None,
) -> CheckedImages:
    """Read the new pictures of a source, and validate all of its pictures.

    Parameters
    ----------
    source : the pictures.
    store : the metadata of known pictures.
    rules : the rules that pictures must follow; the rules of FactorGrid if not given.
    exclude : file -> why a person excluded it.
    readers : the processes to use; if not given, some are started and ended here.
    progress : called with the number of pictures read.

    Raises
    ------
    DataError
        If a rule cannot be checked, or the store cannot be read or written.
    """
    with store.locked(source):
        found, _ = scan(source, store, progress=progress, readers=readers)
        return validate_scan(source, found, store, rules=rules, exclude=exclude)


def validate_scan(
    source: Source,
    found: Scan,
    store: MetadataStore,
    *,
    rules: Rules | None = None,
    exclude: Mapping[str, str] | None = None,
    validation_share: float = VALIDATION_SHARE,
) -> CheckedImages:
    """Validate scanned pictures: rules for each picture, exclusions, copies, rules for the set."""
    table, exclude = found.table, exclude or {}
    paths = set(table["path"])
    validator = Validator(rules or read_rules())
    broken = validator.check_pictures(table, found.unreadable)
    reasons = {path: list(own) for path, own in broken.items()}
    for path, reason in _excluded(table, exclude):
        reasons.setdefault(path, []).append(reason)
    copies = find_duplicates(table[~table["path"].isin(list(reasons))])
    for path, reason in [*copies.two_labels.items(), *copies.left_out.items()]:
        reasons.setdefault(path, []).append(reason)
    profile = profile_of(table[~table["path"].isin(list(reasons))])
    counted: tuple[Mapping[str, object], ...] = (broken, copies.left_out, copies.two_labels)
    names = ("quarantined_share", "copies_share", "two_labels_share")
    shares = {k: len(v) / max(len(table), 1) for k, v in zip(names, counted, strict=True)}
    differences = drift(profile, store.profile(source))
    faults = validator.check_set({**_class_figures(profile), **shares, **differences})
    return CheckedImages(
        source.description,
        table,
        Validation(broken, faults, validator.result, validator.write_docs),
        reasons,
        source.passed_over,
        copies.groups,
        tuple(sorted(exclude.keys() - paths)),
        profile,
        found.read,
        (
            *source.notes,
            *_classes_without_pictures(table, reasons),
            *_few_bits(table),
            *_few_for_validation(profile["accepted"], validation_share),
        ),
    )


def _excluded(table: pd.DataFrame, exclude: Mapping[str, str]) -> list[tuple[str, Reason]]:
    """Return the pictures that a person excluded, and byte-identical copies of them."""
    named = table[table["path"].isin(list(exclude)) & (table["digest"] != "")]
    by_digest = dict(zip(named["digest"], named["path"], strict=True))
    found = [
        (path, Reason("excluded", {"note": exclude[path]}))
        for path in table["path"]
        if path in exclude
    ]
    for path, digest in zip(table["path"], table["digest"], strict=True):
        if digest in by_digest and path not in exclude:
            found.append((path, Reason("copy_of_excluded", {"of": by_digest[digest]})))
    return found


def _class_figures(profile: Mapping[str, Any]) -> dict[str, float]:
    classes = profile["classes"]
    smallest = min(classes.values()) if len(classes) > 1 else 0.0
    return {
        "accepted": profile["accepted"],
        "classes": len(classes),
        "smallest_class_share": smallest,
        "smallest_class_of_equal_share": smallest * len(classes),
    }


def _classes_without_pictures(
    table: pd.DataFrame, reasons: Mapping[str, list[Reason]]
) -> list[Reason]:
    """Return the classes whose pictures are all in quarantine."""
    files: dict[str, list[str]] = {}
    for path, label in zip(table["path"], table["label"], strict=True):
        if label is not None:
            files.setdefault(label, []).append(path)
    return [
        Reason(
            "class_without_pictures",
            {"label": label, "n": len(own), "example": own[0], "why": reasons[own[0]][0]},
        )
        for label, own in sorted(files.items())
        if all(path in reasons for path in own)
    ]


def _few_bits(table: pd.DataFrame) -> list[Reason]:
    """Return whether pictures of 16 bits have values of fewer bits, so that they come out dark."""
    deep = [int(mode.partition(";")[2]) for mode in table["mode"] if mode and ";" in mode]
    # Some pictures of 16 bits are dark by themselves, but not most pictures of a set.
    are_all = bool(deep) and max(deep) <= FEW_BITS and 2 * len(deep) > len(table)
    few = [bits for bits in deep if are_all or bits <= BLACK_BITS]
    if not few:
        return []
    bits, scale = max(few), 2 ** (16 - max(few))
    details = {"n": len(few), "bits": bits, "factor": scale, "brightest": 255 // scale}
    return [Reason("few_bits", details)]


def _few_for_validation(accepted: int, share: float) -> list[Reason]:
    """Return whether the accuracy on the validation images can only change in large steps."""
    images = round(accepted * share)
    if not 0 < images < MANY_FOR_VALIDATION:
        return []
    return [Reason("few_for_validation", {"accepted": accepted, "n": images, "step": 1 / images})]
